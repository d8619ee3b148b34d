#!/bin/sh
# The contract of the official redis image for a plain process. E2E_PORT is the port to listen on, E2E_WORK a private directory.
set -eu
if [ "${1:-}" = redis-server ]; then shift; fi
exec redis-server "$@" --port "$E2E_PORT" --bind 127.0.0.1 --dir "$E2E_WORK"
