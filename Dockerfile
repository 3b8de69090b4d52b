# One image for all services and for the provisioning of topics; SERVICE names the service that a container runs.

# The version is pinned in scripts/bootstrap.sh; a test holds this line to it.
FROM oven/bun:1.4.5-slim AS base
WORKDIR /app

# The manifests by themselves: dependencies are installed again only when one of them changes.
FROM base AS manifests
COPY shared shared
COPY services services
COPY redpanda redpanda
COPY e2e e2e
COPY scripts scripts
RUN find . -type f ! -name package.json -delete

FROM base AS dependencies
COPY package.json bun.lock bunfig.toml ./
COPY --from=manifests /app ./
# Without what only tests and scripts use, such as a browser's driver; `bun run sbom` lists the rest.
RUN bun install --frozen-lockfile --production --ignore-scripts \
    --filter '!@distributed-messaging/e2e' --filter '!@distributed-messaging/scripts'

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
# A named volume gets the owner of the directory that it is first mounted on.
RUN mkdir /data /keys /shared && chown bun:bun /data /keys /shared
USER bun
VOLUME /data
HEALTHCHECK --interval=5s --timeout=5s --start-period=30s --retries=6 CMD ["bun", "scripts/healthcheck.ts"]
CMD ["sh", "-c", "exec bun services/$SERVICE/main.ts"]
