#!/bin/sh
# The contract of the official postgres image (POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, PGDATA) for a plain process.
# E2E_PORT is the port to listen on, E2E_WORK a private directory. Arguments are those of the container.
set -eu
if [ "${1:-}" = postgres ]; then shift; fi
export PGDATA="${PGDATA:-$E2E_WORK/data}"
user="${POSTGRES_USER:-postgres}"
database="${POSTGRES_DB:-$user}"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    umask 077
    printf '%s' "$POSTGRES_PASSWORD" > "$E2E_WORK/password"
    # The data directory lives as long as the run, so initdb need not wait for the disk; the server itself does.
    # shellcheck disable=SC2086 # the image's contract: a list of options in one variable
    initdb --pgdata="$PGDATA" --username="$user" --pwfile="$E2E_WORK/password" --auth=scram-sha-256 \
        --encoding=UTF8 --locale=C --no-sync --no-instructions ${POSTGRES_INITDB_ARGS:-} >&2
    rm "$E2E_WORK/password"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s"\n' "$database" | postgres --single -j -D "$PGDATA" postgres > /dev/null
    fi
fi
# No Unix socket: its path may have 107 bytes, and a project may lie deeper. PGHOST leads tools to the port.
exec postgres "$@" -c listen_addresses=127.0.0.1 -c port="$E2E_PORT" -c unix_socket_directories=
