#!/bin/sh
# The contract of the official nginx image for a plain process. The mounted configuration already names this machine's ports.
set -eu
if [ "${1:-}" = nginx ]; then shift; fi
if [ $# -eq 0 ]; then set -- -g 'daemon off;'; fi
exec nginx -e stderr "$@"
