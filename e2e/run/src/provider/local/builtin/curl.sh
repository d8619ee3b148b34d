#!/bin/sh
# The contract of the image curlimages/curl: options and addresses are curl's, anything else is a command.
set -eu
case ${1:-} in
    '' | -* | *://*) exec curl "$@" ;;
    *) exec "$@" ;;
esac
