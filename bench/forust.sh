#!/usr/bin/env bash
# Gleaner's gradient-boosted trees beside forust-ml's, on the same rows, columns and parameters: seconds, AUC on sources held out whole, peak memory and CPU of the process.
# Needs pyarrow in the interpreter that GLEANER_PYTHON names, GNU time, and recorded lines (see bench/forust.py).
#   bench/forust.sh DATA ROWS [grams are 2048, as in the product]
set -euo pipefail
data="$(realpath "$1")" rows="$2"
cd "$(dirname "$0")/.."
python="${GLEANER_PYTHON:-python3}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
measured() {
    local out
    out=$(/usr/bin/time -f '%M %e %U %S' -o "$work/time" "$@" | grep -oE '(ours|forust-ml) .*|ours, .*')
    read -r kib secs user system <"$work/time"
    echo "$out; the process: $((kib / 1024)) MiB, $secs s, of CPU $user s user, $system s system"
}
cargo build -q --workspace --locked --bin gleaner
target/debug/gleaner synth "$work/made" --lines 80000 --attacks 0.1 >/dev/null
"$python" bench/forust.py "$data" "$(ls "$work"/made/_truth/*.parquet)" "$rows" "$work"
test=$(cargo test -q --workspace --locked --lib --no-run --message-format json |
    "$python" -c 'import json, sys
for line in sys.stdin:
    built = json.loads(line)
    if built.get("executable") and built["target"]["name"] == "gleaner_classifier": print(built["executable"])')
export GLEANER_BESIDE="$work"
beside=(boosting::beside:: --ignored --nocapture --test-threads 1)
measured "$test" "${beside[@]}"
GLEANER_BESIDE_WRITE=1 "$test" "${beside[@]}" >/dev/null
cargo build -q --release --manifest-path bench/forust/Cargo.toml --target-dir target/forust
for histograms in column tiled; do
    for threads in 1 2; do
        measured target/forust/release/gleaner-bench-forust "$work" "$histograms" "$threads"
    done
done
for features in "" float_roundtrip; do
    cargo build -q --release --manifest-path bench/forust/numbers/Cargo.toml --target-dir target/forust --features "$features"
    echo "serde_json, features: ${features:-none}"
    target/forust/release/gleaner-bench-numbers
done
