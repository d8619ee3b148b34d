#!/bin/sh
# The contract of the official postgres image (POSTGRES_USER, POSTGRES_PASSWORD, POSTGRES_DB, POSTGRES_HOST_AUTH_METHOD, PGDATA,
# /docker-entrypoint-initdb.d) for a plain process. E2E_PORT is the port to listen on, E2E_WORK a private directory, E2E_DATA and E2E_INIT are
# the places of the data and of the files to run at first, with E2E_INIT_PORT. Arguments are those of the container.
set -eu
if [ "${1:-}" = postgres ]; then shift; fi

# A variable of the image, or the content of the file that it names with _FILE.
setting() {
    value='' file=''
    eval "value=\${$1:-} file=\${$1_FILE:-}"
    if [ -n "$file" ]; then cat "$file"; else printf '%s' "$value"; fi
}

export PGDATA="${PGDATA:-$E2E_DATA}"
user=$(setting POSTGRES_USER)
user="${user:-postgres}"
database=$(setting POSTGRES_DB)
database="${database:-$user}"
password=$(setting POSTGRES_PASSWORD)
# In a container the superuser needs no password.
(umask 077 && printf '127.0.0.1:*:*:%s:%s\n' "$user" "$(printf '%s' "$password" | sed 's/[\\:]/\\&/g')" > "$HOME/.pgpass")

first_start() {
    method="${POSTGRES_HOST_AUTH_METHOD:-scram-sha-256}"
    if [ -z "$password" ] && [ "$method" != trust ]; then
        echo "the database is uninitialized and the superuser has no password: set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust" >&2
        exit 1
    fi
    (umask 077 && mkdir -p "$PGDATA" && printf '%s\n' "$password" > "$E2E_WORK/password")
    set -- --pgdata="$PGDATA" --username="$user" --auth="$method" --encoding=UTF8 --locale=C --no-sync --no-instructions
    if [ -n "$password" ]; then set -- "$@" --pwfile="$E2E_WORK/password"; fi
    # The data directory lives as long as the run, so initdb need not wait for the disk; the server itself does.
    # shellcheck disable=SC2086 # the image's contract: a list of options in one variable
    initdb "$@" ${POSTGRES_INITDB_ARGS:-} >&2
    rm "$E2E_WORK/password"
    if [ "$database" != postgres ]; then
        printf 'CREATE DATABASE "%s"\n' "$database" | postgres --single -j -D "$PGDATA" postgres > /dev/null
    fi
}

# Each file of the image's directory, as the image runs it: what is executable by itself, the rest in a bash of its own.
run_files() {
    export POSTGRES_USER="$user" POSTGRES_DB="$database" POSTGRES_PASSWORD="$password" PGPORT="$E2E_INIT_PORT"
    until pg_isready --quiet; do
        kill -0 "$1" 2> /dev/null || { wait "$1"; exit 1; }
        sleep 0.1
    done
    for file in "$E2E_INIT"/*; do
        case $file in
            *.sh) if [ -x "$file" ]; then "$file"; else bash -e "$file"; fi ;;
            *.sql) run_sql < "$file" ;;
            *.sql.gz) gunzip -c "$file" | run_sql ;;
        esac
    done
}

run_sql() {
    psql --no-psqlrc --no-password --set=ON_ERROR_STOP=1 --username="$user" --dbname="$database"
}

# No Unix socket: its path may have 107 bytes, and a project may lie deeper. PGHOST leads tools to the port.
serve() {
    port=$1
    shift
    exec postgres "$@" -c listen_addresses=127.0.0.1 -c port="$port" -c unix_socket_directories=
}

if [ ! -s "$PGDATA/PG_VERSION" ]; then
    first_start
    if [ -n "$(ls "$E2E_INIT" 2> /dev/null)" ]; then
        serve "$E2E_INIT_PORT" "$@" &
        server=$!
        (run_files "$server")
        kill -INT "$server"
        wait "$server"
    fi
fi
serve "$E2E_PORT" "$@"
