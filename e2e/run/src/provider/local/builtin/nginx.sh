#!/bin/sh
# The contract of the official nginx image for a plain process: its default configuration, and what is mounted in its place. E2E_WORK is a
# private directory, E2E_CONFIG, E2E_SITES and E2E_PAGES are the places of /etc/nginx, its conf.d and the pages, and E2E_PORT replaces
# port 80. Mounted files already name this machine's ports. Arguments are those of the container.
set -eu
case ${1:-} in nginx | nginx-debug) shift ;; esac
if [ $# -eq 0 ]; then set -- -g 'daemon off;'; fi
for argument; do
    # The container names its own configuration.
    if [ "$argument" = -c ]; then exec nginx -e stderr "$@"; fi
done
if [ -d "$E2E_CONFIG/templates" ]; then
    echo "the files in /etc/nginx/templates are not filled in without the image: mount what they become in /etc/nginx/conf.d" >&2
    exit 1
fi

# Relative names in nginx.conf count from its directory.
own=$E2E_WORK/nginx
mkdir -p "$own" "$E2E_SITES" "$E2E_PAGES"
for file in /etc/nginx/mime.types /etc/nginx/*_params "$E2E_CONFIG"/*; do
    if [ -e "$file" ]; then ln -sfn "$file" "$own/${file##*/}"; fi
done
if [ -f "$E2E_CONFIG/nginx.conf" ]; then
    configuration=$(cat "$E2E_CONFIG/nginx.conf")
else
    configuration="worker_processes auto;
error_log stderr notice;
events { worker_connections 1024; }
http {
    include mime.types;
    default_type application/octet-stream;
    access_log /dev/stdout;
    sendfile on;
    keepalive_timeout 65;
    include \"$E2E_SITES/*.conf\";
}"
fi
# A volume in place of conf.d or of the pages hides those of the image.
case $E2E_SITES in
    "$E2E_WORK"/*)
        if [ ! -e "$E2E_SITES/default.conf" ]; then
            echo "server { listen 127.0.0.1:$E2E_PORT; location / { root \"$E2E_PAGES\"; index index.html index.htm; } }" > "$E2E_SITES/default.conf"
        fi
        ;;
esac
case $E2E_PAGES in
    "$E2E_WORK"/*) [ -e "$E2E_PAGES/index.html" ] || echo '<h1>Welcome to nginx!</h1>' > "$E2E_PAGES/index.html" ;;
esac

# What the image keeps in directories of root is kept in the private one.
rm -f "$own/nginx.conf"
CONFIGURATION=$configuration awk '
    BEGIN {
        text = ENVIRON["CONFIGURATION"]
        work = ENVIRON["E2E_WORK"]
        count = split("client_body proxy fastcgi uwsgi scgi", kinds, " ")
        for (i = 1; i <= count; i++) {
            if (text !~ (kinds[i] "_temp_path")) { places = places "\n    " kinds[i] "_temp_path \"" work "/" kinds[i] "_temp\";" }
        }
        if (match(text, /(^|[;}\n])[ \t]*http[ \t\n]*\{/)) {
            text = substr(text, 1, RSTART + RLENGTH - 1) places substr(text, RSTART + RLENGTH)
        }
        if (text !~ /(^|[;}\n])[ \t]*pid[ \t]/) { print "pid \"" work "/nginx.pid\";" }
        print text
    }
' > "$own/nginx.conf"
exec nginx -e stderr -c "$own/nginx.conf" "$@"
