#!/usr/bin/env bash
# Exact near-duplicate search of TODAY vectors against EARLIER ones, beside faiss's flat index, in turns; both must find the
# same pairs. Needs faiss-cpu and numpy in the interpreter that GLEANER_PYTHON names.
#   bench/near_dup.sh 100000 1000000 [rounds] [width] [cosine] [threads]
set -euo pipefail
cd "$(dirname "$0")/.."
python="${GLEANER_PYTHON:-python3}"
today="$1" earlier="$2" rounds="${3:-1}" width="${4:-384}" cosine="${5:-0.9}" threads="${6:-2}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
"$python" bench/near_dup.py make "$work" "$today" "$earlier" "$width"
cargo bench -q --workspace --profile "${GLEANER_PROFILE:-release}" --bench near_dup --no-run
for _ in $(seq "$rounds"); do
    cargo bench -q --workspace --profile "${GLEANER_PROFILE:-release}" --bench near_dup -- \
        "$work/today.f32" "$work/earlier.f32" "$width" "$cosine" "$threads"
    "$python" bench/near_dup.py faiss "$work" "$width" "$cosine" "$threads"
done | tee "$work/out"
"$python" - "$work/out" <<'PYTHON'
import json, statistics, sys
runs = [json.loads(line) for line in open(sys.argv[1])]
ours, peers = [r for r in runs if "ours" in r], [r for r in runs if "peer" in r]
same = {(r["covered"], r["sum_of_places"]) for r in ours + peers}
secs = lambda runs: statistics.median(r["secs"] for r in runs)
print(json.dumps({"ratio": round(secs(ours) / secs(peers), 3), "same_answer": len(same) == 1}))
PYTHON
