#!/usr/bin/env bash
# The anomaly part of a day (scan, exact dedup, features, fit, score, quota, write) beside pipelines that a user would
# write instead, in turns on the same made telemetry; prints the seconds of every run, then medians and ratios, as JSON.
# Build first: cargo build --release --bin gleaner
#   bench/peers.sh LINES PEERS_DIR PYTHON [rounds]
# PEERS_DIR holds python_pipeline.py (Polars with scikit-learn or isotree) and spark_pipeline.py; PYTHON is an
# interpreter with what they need. Each prints one JSON line with `peer`, `rows`, `total` and `peak_mib`.
set -euo pipefail
lines="$1" peers="$2" python="$3" rounds="${4:-3}"
gleaner="${GLEANER_BIN:-$(cd "$(dirname "$0")/.." && pwd)/target/release}/gleaner"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$gleaner" synth "$work/telemetry" --lines "$lines" --json >"$work/synth.json"
python3 - "$gleaner" "$work" "$lines" "$peers" "$python" "$rounds" <<'PYTHON'
import collections, glob, json, os, shutil, statistics, subprocess, sys, time

gleaner, work, lines, peers, python, rounds = sys.argv[1:]
telemetry = f"{work}/telemetry"
day = f"{telemetry}/day=2025-01-01"


def run(command):
    """Seconds of the process, its peak memory in MiB, its standard output."""
    started = time.monotonic()
    with open(f"{work}/err", "w") as err:
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True)
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{command[0]} failed:\n{open(f'{work}/err').read()}")
    return time.monotonic() - started, usage.ru_maxrss // 1024, out


def ours():
    shutil.rmtree(f"{work}/warehouse", ignore_errors=True)
    secs, peak, out = run([gleaner, "run", "--date", "2025-01-01", "--telemetry", telemetry, "--warehouse",
                           f"{work}/warehouse", "--through", "anomalies", "--json"])
    stages = [json.loads(line) for line in out.splitlines()]
    rows = {s["stage"]: s["rows_kept"] for s in stages}
    return {"peer": "gleaner", "rows": rows["commands"], "anomalies": rows["anomalies"], "total": round(secs, 2),
            "by_stage": {s["stage"]: round(s["secs"], 2) for s in stages}, "peak_mib": peak}


def theirs(script, *flags):
    # Their own clock: neither the interpreter's start nor Spark's is held against them.
    _, peak, out = run([python, f"{peers}/{script}", day if "spark" in script else f"{day}/*.parquet", f"{work}/out", *flags])
    return json.loads(out.splitlines()[-1])


took = collections.defaultdict(list)
for _ in range(int(rounds)):
    for one in (ours, lambda: theirs("python_pipeline.py"), lambda: theirs("python_pipeline.py", "--forest", "isotree"),
                lambda: theirs("spark_pipeline.py")):
        result = one()
        print(json.dumps(result), flush=True)
        took[result["peer"]].append(result["total"])
median = {peer: round(statistics.median(secs), 2) for peer, secs in took.items()}
print(json.dumps({"lines": int(lines), "median_secs": median,
                  "ratio": {peer: round(secs / median["gleaner"], 2) for peer, secs in median.items()}}))
PYTHON
