#!/usr/bin/env bash
# A cluster on this machine: one scheduler and N executors of one slot each, on loopback, until Ctrl-C.
#   deploy/cluster.sh [EXECUTORS] [SCHEDULER_PORT]
# Then: gleaner run --cluster df://127.0.0.1:50050 …
# The ports have no certificates here, so nothing listens on another address than 127.0.0.1. Queries may name files below
# GLEANER_DIRECTORIES (with commas between), by default those below the directory that this is started in.
set -euo pipefail
export GLEANER_DIRECTORIES="${GLEANER_DIRECTORIES-$PWD}"
executors="${1:-2}"
port="${2:-50050}"
bin="${GLEANER_BIN:-$(cd "$(dirname "$0")/.." && pwd)/target/release}"
for program in gleaner-scheduler gleaner-executor; do
    if ! [ -x "$bin/$program" ]; then
        echo "$bin/$program is missing: cargo build --release, or set GLEANER_BIN" >&2
        exit 2
    fi
done
pids=()
trap 'kill "${pids[@]}" 2>/dev/null; wait' EXIT
trap 'exit 0' INT TERM
"$bin/gleaner-scheduler" --bind "127.0.0.1:$port" &
pids+=($!)
for i in $(seq 1 "$executors"); do
    "$bin/gleaner-executor" --scheduler "127.0.0.1:$port" --bind "127.0.0.1:$((port + 2 * i))" --slots 1 &
    pids+=($!)
done
echo "scheduler on df://127.0.0.1:$port, $executors executors; Ctrl-C ends them" >&2
wait
