#!/bin/sh
# The replay of a built fusebox-breaker against the oracle, on fixed seeds; under a minute.
#   tests/oracle/run.sh [PATH-TO-fusebox-breaker]
set -eu
here=$(dirname "$0")
breaker=${1:-"$here/../../target/debug/fusebox-breaker"}
export PYTHONDONTWRITEBYTECODE=1
exec python3 "$here/fuzz.py" --first 1 --count 400 --lines 140 -- "$breaker" replay
