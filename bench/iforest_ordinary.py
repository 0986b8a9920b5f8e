"""Isolation forests that are fitted on ordinary rows alone, ours and others', on the same rows.

    python bench/iforest_ordinary.py OUTLIER_SETS_DIR REQUESTS.parquet WORK_DIR [SET …]

OUTLIER_SETS_DIR holds Parquet files with columns f0, f1, … and is_outlier (as `gleaner evaluate outliers` reads), REQUESTS.parquet labelled requests (as `gleaner evaluate
api` reads). WORK_DIR is filled with the rows, and our scores, made by `GLEANER_BESIDE=WORK_DIR cargo test --workspace --lib ordinary_rows -- --ignored --nocapture`, which this runs, or
the command in GLEANER_BESIDE_COMMAND. Of an outlier set a random half of the inliers is fitted on; requests are parted as the evaluation parts them. The test is the other ordinary rows and all
outliers. Prints a JSON line a set: mean over three seeds of AUROC, average precision, and recall where 1% of the ordinary test rows are above.

Needs scikit-learn and pyarrow (`pip install scikit-learn==1.9.1 pyarrow==26.0.1`), and isotree if it is there (`isotree==0.6.1.post10`, which pip compiles).
All forests: 100 trees of 256 rows, one feature a cut. `insertion` is ours as the evaluation fits it, `plain` as a day's run does; `penalised` is isotree with penalize_range.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from sklearn.ensemble import IsolationForest
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

TEXTS = ["user_id", "session_id", "client_ip", "method", "host", "path", "query", "error_code", "user_agent", "referer", "request_body", "request_headers"]
NUMBERS = ["status", "request_bytes", "response_bytes", "latency_ms"]


def outlier_sets(sets, work, names):
    for path in sorted(sets.glob("*.parquet")):
        if names and path.stem not in names:
            continue
        table = pq.read_table(path)
        columns = [c for c in table.column_names if c != "is_outlier"]
        rows = np.stack([table[c].to_numpy() for c in columns], 1).astype("<f4")
        outlier = np.array(table["is_outlier"].to_pylist(), bool)
        part = np.where(outlier, 3, 2).astype("u1")
        inliers = np.random.default_rng(2).permutation(np.flatnonzero(~outlier))
        part[inliers[: len(inliers) // 2]] = 0
        rows.tofile(work / f"{path.stem}.{len(columns)}.rows")
        part.tofile(work / f"{path.stem}.{len(columns)}.part")


def requests(path, work):
    table = pq.read_table(path)
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "event_time"}
    times = table["event_time"].cast(pa.timestamp("us", "UTC")).cast(pa.int64()).to_pylist()
    with open(work / "requests.jsonl", "w") as out:
        for i, time in enumerate(times):
            row = [columns[c][i] for c in ("kind", "source", "label", "attack_type")] + [time]
            print(json.dumps(row + [columns[c][i] for c in NUMBERS + TEXTS]), file=out)


def theirs(fit, rows, seed):
    size = min(256, len(fit))
    yield "scikit-learn", -IsolationForest(n_estimators=100, max_samples=size, random_state=seed).fit(fit).score_samples(rows)
    try:
        import isotree
    except ImportError:
        return
    for name, penalised in (("isotree", False), ("isotree penalised", True)):
        forest = isotree.IsolationForest(ntrees=100, sample_size=size, ndim=1, penalize_range=penalised, missing_action="fail", random_seed=seed, nthreads=1)
        yield name, forest.fit(fit.astype("f8")).predict(rows.astype("f8"))


def main(sets, labelled, work, names):
    work.mkdir(parents=True, exist_ok=True)
    outlier_sets(sets, work, names)
    requests(labelled, work)
    command = os.environ.get("GLEANER_BESIDE_COMMAND", "cargo test --workspace --lib ordinary_rows -- --ignored --nocapture")
    subprocess.run(shlex.split(command), env={**os.environ, "GLEANER_BESIDE": str(work.absolute())}, check=True, stdout=sys.stderr)
    for path in sorted(work.glob("*.part")):
        stem, d = str(path)[: -len(".part")], int(path.stem.rsplit(".", 1)[1])
        part = np.fromfile(path, "u1")
        rows = np.fromfile(f"{stem}.rows", "<f4").reshape(-1, d)
        fitted = np.where(np.isfinite(rows[part == 0]), rows[part == 0], np.nan)
        known = np.isfinite(fitted).any(0)
        median = np.zeros(d)
        median[known] = np.nanmedian(fitted[:, known], 0)
        rows = np.where(np.isfinite(rows), rows, median)
        tested, truth = part >= 2, part[part >= 2] == 3
        results = {}
        for seed in (1, 2, 3):
            ours = [(name, np.fromfile(f"{stem}.{name}.{seed}", "<f4")) for name in ("plain", "insertion")]
            for name, scores in ours + list(theirs(rows[part == 0], rows, seed)):
                fpr, tpr, _ = roc_curve(truth, scores[tested], drop_intermediate=False)
                low = float(tpr[fpr <= 0.01].max())
                measured = (roc_auc_score(truth, scores[tested]), average_precision_score(truth, scores[tested]), low)
                results.setdefault(name, []).append(measured)
        line = {"set": path.stem.rsplit(".", 1)[0], "fitted": int((part == 0).sum()), "ordinary": int((~truth).sum()), "outliers": int(truth.sum())}
        for name, measured in results.items():
            line[name] = dict(zip(("auroc", "average_precision", "recall_at_1%"), np.mean(measured, 0).round(4).tolist()))
        print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3]), sys.argv[4:])
