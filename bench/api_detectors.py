"""Our detectors and classifiers beside scikit-learn's, on the same rows: AUROC of both.

    python bench/api_detectors.py OUTLIER_SETS_DIR WORK_DIR [SET …]

OUTLIER_SETS_DIR holds Parquet files with columns f0, f1, … and is_outlier (as `gleaner evaluate outliers` reads). WORK_DIR is filled with the rows, our scores
(made by `GLEANER_BESIDE=WORK_DIR cargo test --workspace --lib beside -- --ignored`, which this runs, or the command in GLEANER_BESIDE_COMMAND) and the table, as
JSON lines. Needs scikit-learn and pyarrow.

Theirs: IsolationForest (100 trees of 256), KMeans (32 clusters; distance to the nearest of all, ours to the nearest crowd), PCA (95% of the variance), DBSCAN (with our
eps rule redone here; distance to the nearest core row), OneClassSVM (nu 0.05, 4,096 rows, decision), MLPRegressor as an autoencoder of the same widths (scikit-learn has no other)
and, where `bench/autoencoder_torch.py` or `bench/candle` was run on WORK_DIR meanwhile, PyTorch's and candle's with the same activations and
schedule (`cargo run --release --manifest-path bench/candle/Cargo.toml --target-dir target/candle WORK_DIR`, then this script again), RandomForestClassifier, SVC. Rows are standardised and clipped at ten deviations, but for forests. Classifiers are fitted on every
second row (at most 4,096) and tested on the rest; the semi-supervised one has labels of every twentieth row, at most 200, and its counterpart is LogisticRegression on those.
"""

import json
import os
import pathlib
import shlex
import subprocess
import sys
import time
import warnings

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.neighbors import NearestNeighbors
from sklearn.neural_network import MLPRegressor
from sklearn.svm import SVC, OneClassSVM

warnings.simplefilter("ignore")
FEW = 200


def knee(scaled, k):
    """The k-distance farthest below the chord of the sorted curve."""
    curve = np.sort(NearestNeighbors(n_neighbors=k).fit(scaled).kneighbors(scaled[:2048])[0][:, -1])
    below = np.linspace(0, 1, len(curve)) * (curve[-1] - curve[0]) - (curve - curve[0])
    best = curve[below.argmax()]
    return best if best > 0 else curve[curve > 0][0]


def detectors(rows, scaled):
    rng = np.random.default_rng(1)
    order = rng.permutation(len(rows))
    few = scaled[order[:16384]]
    yield "iforest", lambda: -IsolationForest(n_estimators=100, max_samples=min(256, len(rows)), random_state=1).fit(rows).score_samples(rows)
    yield "kmeans", lambda: KMeans(min(32, len(few)), n_init=3, random_state=1).fit(few).transform(scaled).min(1)

    def pca():
        share = np.cumsum(PCA().fit(scaled).explained_variance_ratio_)
        model = PCA(min(int(np.searchsorted(share, 0.95) + 1), rows.shape[1] - 1)).fit(scaled)
        return ((scaled - model.inverse_transform(model.transform(scaled))) ** 2).sum(1)

    yield "pca", pca

    def dbscan():
        core = few[DBSCAN(eps=knee(few, 16), min_samples=16).fit(few).core_sample_indices_]
        distances = NearestNeighbors(n_neighbors=1).fit(core).kneighbors(scaled)[0][:, 0]
        # A core row is at distance 0 of itself, but for roundings, which would break ties by chance.
        return np.where(distances < 1e-5, 0, distances)

    yield "dbscan", dbscan
    yield "ocsvm", lambda: -OneClassSVM(nu=0.05, tol=1e-4).fit(scaled[order[:4096]]).decision_function(scaled)

    def autoencoder():
        d = rows.shape[1]
        hidden, code = max(8, -(-d // 2)), max(1, -(-d // 4))
        model = MLPRegressor(hidden_layer_sizes=(hidden, code, hidden), learning_rate_init=2e-3, batch_size=min(128, len(few)), max_iter=100,
                             early_stopping=True, n_iter_no_change=8, random_state=1).fit(few, few)
        return ((scaled - model.predict(scaled).reshape(scaled.shape)) ** 2).mean(1)

    yield "autoencoder", autoencoder


def classifiers(rows, scaled, outlier, train):
    fit, test, few = train == 1, train == 0, train == 1
    yield "random_forest", lambda: RandomForestClassifier(n_estimators=100, random_state=1).fit(rows[fit], outlier[fit]).predict_proba(rows[test])[:, 1]
    yield "svm", lambda: SVC(C=1.0).fit(scaled[fit], outlier[fit]).decision_function(scaled[test])
    yield "logistic", lambda: LogisticRegression(max_iter=1000, class_weight="balanced").fit(scaled[few], outlier[few]).decision_function(scaled[test])


def main(sets, work, names):
    work.mkdir(parents=True, exist_ok=True)
    read = {}
    for path in sorted(sets.glob("*.parquet")):
        if names and path.stem not in names:
            continue
        table = pq.read_table(path)
        columns = [c for c in table.column_names if c != "is_outlier"]
        rows = np.stack([table[c].to_numpy() for c in columns], 1).astype("<f4")
        outlier = np.array(table["is_outlier"].to_pylist(), bool)
        shuffled = np.random.default_rng(2).permutation(len(rows))
        rows, outlier = rows[shuffled], outlier[shuffled]
        train = np.zeros(len(rows), "u1")
        train[::2] = 2
        chosen = np.flatnonzero(train == 2)
        for variant, most in (("", 4096), ("few", FEW)):
            part = train.copy()
            part[chosen[: min(most, len(chosen) // (1 if variant == "" else 10))]] = 1
            stem = work / f"{path.stem}{variant}.{len(columns)}"
            rows.tofile(f"{stem}.rows")
            outlier.astype("u1").tofile(f"{stem}.outlier")
            part.tofile(f"{stem}.train")
            exact = rows.astype("f8")
            deviation = exact.std(0)
            scaled = np.clip((exact - exact.mean(0)) / np.where(deviation > 0, deviation, 1), -10, 10)
            read[f"{path.stem}{variant}"] = (stem, rows, scaled, outlier, part)
    command = os.environ.get("GLEANER_BESIDE_COMMAND", "cargo test --workspace --lib beside -- --ignored --nocapture")
    subprocess.run(shlex.split(command), env={**os.environ, "GLEANER_BESIDE": str(work.absolute())}, check=True, stdout=sys.stderr)
    with open(work / "table.jsonl", "w") as out:
        for name, (stem, rows, scaled, outlier, train) in read.items():
            few = name.endswith("few")
            jobs = [] if few else list(detectors(rows, scaled))
            jobs += classifiers(rows, scaled, outlier, train)
            for what, score in jobs:
                unsupervised = what in ("iforest", "kmeans", "pca", "dbscan", "ocsvm", "autoencoder")
                truth = outlier if unsupervised else outlier[train == 0]
                ours = "semi_supervised" if what == "logistic" else what
                started = time.perf_counter()
                theirs = roc_auc_score(truth, score())
                seconds = time.perf_counter() - started
                mine = roc_auc_score(truth, np.fromfile(f"{stem}.ours.{ours}", "<f4"))
                line = json.dumps({"set": name, "detector": ours, "theirs_is": what, "ours": round(float(mine), 4),
                                   "theirs": round(float(theirs), 4), "theirs_seconds": round(seconds, 2)})
                print(line, flush=True)
                out.write(line + "\n")
            for library in ("candle", "torch"):
                scores = pathlib.Path(f"{stem}.{library}")
                if not scores.exists():
                    continue
                mine, theirs = (np.fromfile(path, "<f4") for path in (f"{stem}.ours.autoencoder", scores))
                line = json.dumps({"set": name, "detector": "autoencoder", "theirs_is": library, "ours": round(float(roc_auc_score(outlier, mine)), 4),
                                   "theirs": round(float(roc_auc_score(outlier, theirs)), 4), "mean_error_ours": round(float(mine.mean()), 4),
                                   "mean_error_theirs": round(float(theirs.mean()), 4)})
                print(line, flush=True)
                out.write(line + "\n")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3:])
