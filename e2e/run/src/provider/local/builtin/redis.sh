#!/bin/sh
# The contract of the official redis and valkey images for a plain process. E2E_SERVER is the program, E2E_PORT the port to listen on, E2E_DATA
# the place of the data.
set -eu
case "${1:-}" in redis-server | valkey-server) shift ;; esac
mkdir -p "$E2E_DATA"
exec "$E2E_SERVER" "$@" --port "$E2E_PORT" --bind 127.0.0.1 --dir "$E2E_DATA"
