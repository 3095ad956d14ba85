#!/bin/sh
# The demonstration, for `make demo`, which has built what it needs.
exec python3 "$(dirname "$0")/../tests/qemu/demo.py" "$@"
