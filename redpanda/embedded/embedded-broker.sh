#!/bin/sh
# The command: on Bun where it is installed, else on Node.
dist=$(dirname "$(readlink -f "$0")")/dist
if command -v bun >/dev/null; then exec bun "$dist/main.js" "$@"; fi
exec node "$dist/main.js" "$@"
