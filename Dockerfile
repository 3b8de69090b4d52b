# One image for the four services and for the provisioning of topics; SERVICE says which service a container is.

# The version is pinned in scripts/bootstrap.sh; a test holds this line to it.
FROM oven/bun:1.4.5-slim AS base
WORKDIR /app

FROM base AS dependencies
COPY package.json bun.lock bunfig.toml ./
COPY shared/contracts/package.json shared/contracts/
COPY shared/messaging/package.json shared/messaging/
COPY shared/service/package.json shared/service/
COPY services/package.json services/
COPY services/api-gateway/package.json services/api-gateway/
COPY services/inventory/package.json services/inventory/
COPY services/notification/package.json services/notification/
COPY services/order/package.json services/order/
COPY services/supervisor/package.json services/supervisor/
COPY services/web/package.json services/web/
COPY redpanda/package.json redpanda/
COPY redpanda/embedded/package.json redpanda/embedded/
COPY e2e/package.json e2e/
COPY scripts/package.json scripts/
RUN bun install --frozen-lockfile --production --ignore-scripts

FROM base
ENV NODE_ENV=production \
    HOST=0.0.0.0 \
    DATA_DIR=/data \
    BUN_RUNTIME_TRANSPILER_CACHE_PATH=/tmp/transpiled
COPY --from=dependencies /app/node_modules node_modules
COPY package.json tsconfig.json ./
COPY shared shared
COPY services services
COPY redpanda redpanda
COPY scripts scripts
# A named volume takes over the owner of the directory that it is first mounted on.
RUN mkdir /data && chown bun:bun /data
USER bun
VOLUME /data
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["bun", "scripts/healthcheck.ts"]
CMD ["sh", "-c", "exec bun services/$SERVICE/main.ts"]
