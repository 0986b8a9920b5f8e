"""What scikit-learn makes of an outlier set: for tests/tests/it/detectors.rs.

    outliers.py SET.parquet OUT_DIR

A set has feature columns f0, f1, … or one list column `features`; missing values become the median.
Writes, as little-endian float32, rows.f32 (raw features), scaled.f32 (standardised, clipped at 10 deviations, constant
columns 0), forest1.f32 to forest5.f32 (minus score_samples of five
seeds), pca.f32 (squared reconstruction errors of as
few components as explain 95%, at least one left out), noise.f32 (1 where DBSCAN with min_samples 16 says noise), ocsvm.f32
(decisions of a one-class SVM of the first 4,096 rows, nu 0.05), and prints JSON: features, components, the least inertia of
ten k-means runs with 8 and with 32 clusters, and DBSCAN's eps: half way between two distances to a sixteenth neighbour, at nine in ten.
"""

import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from sklearn.cluster import DBSCAN, KMeans
from sklearn.decomposition import PCA
from sklearn.ensemble import IsolationForest
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import OneClassSVM


def main(path, out):
    table = pq.read_table(path)
    names = [name for name in table.column_names if name != "is_outlier"]
    if names == ["features"]:
        rows = np.array(table["features"].to_pylist(), "f8")
    else:
        rows = np.stack([table[name].to_numpy() for name in names], 1)
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        median = np.nan_to_num(np.nanmedian(rows, 0))
    rows = np.where(np.isfinite(rows), rows, median).astype("<f4")
    deviation = rows.astype("f8").std(0)
    scaled = (rows - rows.astype("f8").mean(0)) / np.where(deviation > 0, deviation, 1)
    scaled = np.where(deviation > 0, np.clip(scaled, -10, 10), 0).astype("<f4")
    rows.tofile(out / "rows.f32")
    scaled.tofile(out / "scaled.f32")
    for seed in range(1, 6):
        forest = IsolationForest(n_estimators=100, max_samples=min(256, len(rows)), random_state=seed).fit(rows)
        (-forest.score_samples(rows)).astype("<f4").tofile(out / f"forest{seed}.f32")
    exact = scaled.astype("f8")
    explained = np.cumsum(PCA().fit(exact).explained_variance_ratio_)
    components = min(int(np.searchsorted(explained, 0.95) + 1), rows.shape[1] - 1)
    pca = PCA(n_components=components, svd_solver="full").fit(exact)
    errors = ((exact - pca.inverse_transform(pca.transform(exact))) ** 2).sum(1)
    errors.astype("<f4").tofile(out / "pca.f32")
    inertia = {
        str(k): min(KMeans(k, n_init=1, random_state=seed).fit(exact).inertia_ for seed in range(10)) for k in (8, 32)
    }
    sixteenth = np.unique(NearestNeighbors(n_neighbors=16).fit(exact).kneighbors(exact)[0][:, -1])
    sixteenth = sixteenth[np.append(np.diff(sixteenth) > 1e-4 * sixteenth[1:], True)]
    place = min(int(0.9 * len(sixteenth)), len(sixteenth) - 2)
    eps = float(np.float32(sixteenth[place : place + 2].mean()))
    noise = DBSCAN(eps=eps, min_samples=16).fit(exact).labels_ < 0
    noise.astype("<f4").tofile(out / "noise.f32")
    machine = OneClassSVM(nu=0.05, tol=1e-6).fit(exact[:4096])
    machine.decision_function(exact).astype("<f4").tofile(out / "ocsvm.f32")
    print(json.dumps({"features": rows.shape[1], "components": components, "inertia": inertia, "eps": eps}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
