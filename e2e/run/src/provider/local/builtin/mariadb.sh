#!/bin/sh
# The contract of the official mysql and mariadb images (MYSQL_* and MARIADB_* variables, /docker-entrypoint-initdb.d, files in /etc/mysql)
# for MariaDB as a plain process. E2E_PORT is the port to listen on, E2E_WORK a private directory, E2E_DATA, E2E_INIT and E2E_CONFIG are the
# places of the data, of the files to run at first, and of the configuration. Arguments are those of the container.
set -eu
case "${1:-}" in mysqld | mariadbd) shift ;; esac
# Clients come here by a short name: a Unix socket's path may have 107 bytes, the target of a link 4096. Their own file outdoes this machine's.
ln -s "$E2E_DATA/mysqld.sock" "$E2E_WORK/mysqld.sock"
printf '[client]\nuser=root\nport=%s\nsocket=mysqld.sock\n' "$E2E_PORT" > "$HOME/.my.cnf"

# A variable of the images by its name without a prefix, or the content of the file that it names with _FILE.
setting() {
    for prefix in MARIADB MYSQL; do
        eval "value=\${${prefix}_$1:-} file=\${${prefix}_$1_FILE:-}"
        if [ -n "$file" ]; then value=$(cat "$file"); fi
        if [ -n "$value" ]; then printf '%s' "$value"; return; fi
    done
}

quoted() {
    printf "'%s'" "$(printf '%s' "$1" | sed "s/[\\\\']/\\\\&/g")"
}

{
    # The images' own settings: a client of any address is meant by `%`, without a look at its name.
    printf '[mysqld]\nskip-name-resolve\nhost-cache-size=0\n'
    if [ -f "$E2E_CONFIG/my.cnf" ]; then echo "!include $E2E_CONFIG/my.cnf"; fi
    for directory in "$E2E_CONFIG/conf.d" "$E2E_CONFIG/mariadb.conf.d"; do
        if [ -d "$directory" ]; then echo "!includedir $directory"; fi
    done
} > "$E2E_WORK/my.cnf"

case ${E2E_IMAGE##*/} in
    # MariaDB passes over `loose` options that only MySQL knows, and says so.
    mysql*)
        for argument; do
            shift
            case $argument in --loose-*) ;; --*) argument="--loose-${argument#--}" ;; esac
            set -- "$@" "$argument"
        done
        ;;
esac

serve() {
    # What the manifest says of the data, the socket and the port is true in a container only. The relative socket is one of the data.
    exec mariadbd --defaults-file="$E2E_WORK/my.cnf" "$@" --datadir="$E2E_DATA" --socket=mysqld.sock --pid-file="$E2E_WORK/mysqld.pid" \
        --port="$E2E_PORT" --bind-address=127.0.0.1
}

# Without the escapes that some shells' echo reads.
line() {
    printf '%s\n' "$1"
}

client() {
    mariadb --user=root "$@"
}

# As the images do it: with a server that only this script can reach.
first_start() {
    root_password=$(setting ROOT_PASSWORD)
    if [ -z "$root_password" ] && [ -n "$(setting RANDOM_ROOT_PASSWORD)" ]; then
        root_password=$(od -An -N16 -tx1 /dev/urandom | tr -d ' \n')
        echo "GENERATED ROOT PASSWORD: $root_password"
    fi
    if [ -z "$root_password$(setting ALLOW_EMPTY_PASSWORD)$(setting ALLOW_EMPTY_ROOT_PASSWORD)" ]; then
        echo "the database is uninitialized and no password option is set: set one of MYSQL_ROOT_PASSWORD, MYSQL_ALLOW_EMPTY_PASSWORD and" \
            "MYSQL_RANDOM_ROOT_PASSWORD, or the same of MARIADB" >&2
        exit 1
    fi
    mkdir -p "$E2E_DATA"
    mariadb-install-db --no-defaults --datadir="$E2E_DATA" --auth-root-authentication-method=normal --skip-test-db --skip-name-resolve \
        > "$E2E_WORK/install.log" 2>&1 || { cat "$E2E_WORK/install.log" >&2; exit 1; }
    serve "$@" --skip-networking &
    server=$!
    until client --execute='SELECT 1' > "$E2E_WORK/first.log" 2>&1; do
        kill -0 "$server" 2> /dev/null || { wait "$server"; exit 1; }
        sleep 0.1
    done
    database=$(setting DATABASE) user=$(setting USER) password=$(setting PASSWORD) host=$(setting ROOT_HOST)
    {
        line "SET @@SESSION.SQL_LOG_BIN=0; SET @@SESSION.SQL_MODE=REPLACE(@@SESSION.SQL_MODE, 'NO_BACKSLASH_ESCAPES', '');"
        line "DROP USER IF EXISTS root@'127.0.0.1', root@'::1'; EXECUTE IMMEDIATE CONCAT('DROP USER IF EXISTS root@\'', @@hostname, '\'');"
        line "ALTER USER root@localhost IDENTIFIED BY $(quoted "$root_password");"
        if [ "${host:=%}" != localhost ]; then
            line "CREATE USER root@$(quoted "$host") IDENTIFIED BY $(quoted "$root_password");"
            line "GRANT ALL ON *.* TO root@$(quoted "$host") WITH GRANT OPTION;"
        fi
        if [ -n "$database" ]; then line "CREATE DATABASE IF NOT EXISTS \`$database\`;"; fi
        if [ -n "$user" ] && [ -n "$password" ]; then
            line "CREATE USER $(quoted "$user")@'%' IDENTIFIED BY $(quoted "$password");"
            if [ -n "$database" ]; then line "GRANT ALL ON \`$database\`.* TO $(quoted "$user")@'%';"; fi
        fi
    } | client
    export MYSQL_PWD="$root_password"
    for file in "$E2E_INIT"/*; do
        case $file in
            *.sh) run_script "$file" ;;
            *.sql) client --database="$database" < "$file" ;;
            *.sql.gz) gunzip -c "$file" | client --database="$database" ;;
        esac
    done
    unset MYSQL_PWD
    kill "$server"
    wait "$server"
}

# The images run what is executable and read the rest into a bash of their own.
run_script() {
    if [ -x "$1" ]; then "$1"; else bash -e "$1"; fi
}

if [ ! -d "$E2E_DATA/mysql" ]; then first_start "$@"; fi
serve "$@"
