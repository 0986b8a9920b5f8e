#!/usr/bin/env bash
# One made day of N lines on one executor and on two, one core and one slot each, in turns; prints the medians of the
# seconds by stage and their ratios as JSON. Build first:
#   cargo build --release --bin gleaner --bin gleaner-scheduler --bin gleaner-executor
#   bench/executors.sh 1000000 [rounds]
set -euo pipefail
lines="$1"
rounds="${2:-3}"
bin="${GLEANER_BIN:-$(cd "$(dirname "$0")/.." && pwd)/target/release}"
work=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; rm -rf "$work"' EXIT
"$bin/gleaner" synth "$work/telemetry" --lines "$lines" --rows-per-file $((lines / 16)) >/dev/null
# Two clusters side by side, of which one idles: one executor on core 0; one on core 0 and one on core 1.
first=$((20000 + RANDOM % 20000))
for n in 1 2; do
    port=$((first + 10 * n))
    export GLEANER_DIRECTORIES='*'
    "$bin/gleaner-scheduler" --bind 127.0.0.1:$port 2>>"$work/cluster.log" &
    sleep 1
    for core in $(seq 0 $((n - 1))); do
        taskset -c "$core" "$bin/gleaner-executor" --scheduler 127.0.0.1:$port --bind 127.0.0.1:$((port + 1 + core)) \
            --slots 1 --work-dir "$work/work-$n-$core" 2>>"$work/cluster.log" &
    done
done
sleep 2
for _ in $(seq "$rounds"); do
    for n in 1 2; do
        rm -rf "$work/warehouse"
        "$bin/gleaner" run --date 2025-01-01 --telemetry "$work/telemetry" --warehouse "$work/warehouse" \
            --cluster df://127.0.0.1:$((first + 10 * n)) --slots "$n" --json >>"$work/$n.json"
    done
done
python3 - "$work" "$lines" <<'PYTHON'
import collections, json, statistics, sys

work, lines = sys.argv[1:]
secs = {}
for n in (1, 2):
    stages = collections.defaultdict(list)
    for line in open(f"{work}/{n}.json"):
        stage = json.loads(line)
        stages[stage["stage"]].append(stage["secs"])
    secs[n] = {stage: statistics.median(took) for stage, took in stages.items()}
    secs[n]["total"] = sum(secs[n].values())
print(json.dumps({
    "lines": int(lines),
    "one": {k: round(v, 2) for k, v in secs[1].items()},
    "two": {k: round(v, 2) for k, v in secs[2].items()},
    "ratio": {k: round(v / secs[2][k], 2) for k, v in secs[1].items()},
}))
PYTHON
