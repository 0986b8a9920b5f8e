#!/usr/bin/env bash
# Times a day of N made lines through the whole path, in this process, and prints one JSON object: seconds by stage,
# total, peak memory. Build first: cargo build --release --bin gleaner
#   bench/day.sh 1000000 [more flags of gleaner run]
set -euo pipefail
lines="$1"
shift
gleaner="${GLEANER_BIN:-$(cd "$(dirname "$0")/.." && pwd)/target/release}/gleaner"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$gleaner" synth "$work/telemetry" --lines "$lines" --json >"$work/synth.json"
python3 - "$gleaner" "$work" "$lines" "$@" <<'PYTHON'
import json, resource, subprocess, sys, time

gleaner, work, lines, *flags = sys.argv[1:]
started = time.monotonic()
run = [gleaner, "run", "--date", "2025-01-01", "--telemetry", f"{work}/telemetry", "--warehouse", f"{work}/warehouse", "--json"]
out = subprocess.run(run + flags, check=True, capture_output=True, text=True).stdout
total = time.monotonic() - started
stages = [json.loads(line) for line in out.splitlines()]
print(json.dumps({
    "lines": int(lines),
    "synth_secs": round(json.load(open(f"{work}/synth.json"))["secs"], 2),
    "unique": stages[1]["rows_kept"],
    "anomalies": stages[3]["rows_kept"],
    "secs": round(total, 2),
    "by_stage": {s["stage"]: round(s["secs"], 2) for s in stages},
    "peak_mib": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024,
}))
PYTHON
