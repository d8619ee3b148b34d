#!/bin/sh
# The contract of the official memcached image for a plain process. E2E_PORT is the port to listen on. Arguments are those of the container.
set -eu
if [ "${1:-}" = memcached ]; then shift; fi
# Of several addresses memcached listens on each, so those of the container go.
left=$#
while [ "$left" -gt 0 ]; do
    argument=$1
    shift
    left=$((left - 1))
    case $argument in
        -l | --listen) shift && left=$((left - 1)) ;;
        -l* | --listen=*) ;;
        *) set -- "$@" "$argument" ;;
    esac
done
exec memcached "$@" --port="$E2E_PORT" --udp-port=0 --listen=127.0.0.1
