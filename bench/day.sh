#!/usr/bin/env bash
# Times a day of N made lines through the whole path, in this process, and prints one JSON object: seconds, CPU
# seconds and peak memory (resident set, MiB) by stage, total. Build first: cargo build --release --bin gleaner
#   bench/day.sh 1000000 [more flags of gleaner run]
set -euo pipefail
lines="$1"
shift
gleaner="${GLEANER_BIN:-$(cd "$(dirname "$0")/.." && pwd)/target/release}/gleaner"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$gleaner" synth "$work/telemetry" --lines "$lines" --json >"$work/synth.json"
python3 - "$gleaner" "$work" "$lines" "$@" <<'PYTHON'
import json, os, subprocess, sys, time

gleaner, work, lines, *flags = sys.argv[1:]
started = time.monotonic()
run = [gleaner, "run", "--date", "2025-01-01", "--telemetry", f"{work}/telemetry", "--warehouse", f"{work}/warehouse", "--json"]
process = subprocess.Popen(run + flags, stdout=subprocess.PIPE, text=True)
stages, peaks, cpu = [], [], [0.0]
for line in process.stdout:
    stages.append(json.loads(line))
    spent = open(f"/proc/{process.pid}/stat").read().rsplit(")", 1)[1].split()[11:13]
    cpu.append(sum(map(int, spent)) / os.sysconf("SC_CLK_TCK"))
    # A stage tells of itself when it is done: its peak is taken, and the kernel's mark set back (proc(5), clear_refs).
    status = open(f"/proc/{process.pid}/status").read().split()
    peaks.append(int(status[status.index("VmHWM:") + 1]) // 1024 if "VmHWM:" in status else None)
    try:
        open(f"/proc/{process.pid}/clear_refs", "w").write("5")
    except OSError:
        pass
if process.wait() != 0:
    sys.exit(process.returncode)
total = time.monotonic() - started
print(json.dumps({
    "lines": int(lines),
    "synth_secs": round(json.load(open(f"{work}/synth.json"))["secs"], 2),
    "unique": stages[1]["rows_kept"],
    "anomalies": stages[3]["rows_kept"],
    "secs": round(total, 2),
    "by_stage": {s["stage"]: round(s["secs"], 2) for s in stages},
    "cpu_secs": cpu[-1],
    "cpu_secs_by_stage": {s["stage"]: round(b - a, 1) for s, a, b in zip(stages, cpu, cpu[1:])},
    "peak_mib_by_stage": dict(zip([s["stage"] for s in stages], peaks)),
    "peak_mib": max(p for p in peaks if p is not None),
}))
PYTHON
