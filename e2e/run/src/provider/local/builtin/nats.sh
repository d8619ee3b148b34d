#!/bin/sh
# The contract of the official nats image for a plain process. E2E_PORT and E2E_MONITOR_PORT are the ports to listen on. Arguments are those of
# the container.
set -eu
case "${1:-}" in nats-server | /nats-server) shift ;; esac
# Without arguments the image has a monitor, else where they or their file ask for one.
monitor=$([ $# -gt 0 ] || echo yes)
for argument; do
    case $argument in -m | --m | -m=* | --m=* | -http_port* | --http_port*) monitor=yes ;; esac
    file=${argument#*=}
    if [ -f "$file" ] && grep -Eq '^[[:space:]]*(http|http_port|monitor_port)\b' "$file"; then monitor=yes; fi
done
if [ -n "$monitor" ]; then set -- "$@" --http_port "$E2E_MONITOR_PORT"; fi
exec nats-server "$@" --addr 127.0.0.1 --port "$E2E_PORT"
