"""Isolation forest scoring by scikit-learn and isotree, on one thread, on the rows of the kernels' benchmark.

    cargo bench --workspace --bench kernels -- --rows rows.f32
    python bench/forest.py rows.f32            # needs scikit-learn and isotree; one JSON object a line

100 trees of 256 rows, 100 features; rows a second, median of five rounds, as `iforest_score` of the kernels.
"""

import json
import statistics
import sys
import time

import numpy as np
from isotree import IsolationForest as Isotree
from sklearn.ensemble import IsolationForest

rows = np.fromfile(sys.argv[1], "<f4").reshape(-1, 100)
sklearn = IsolationForest(n_estimators=100, max_samples=256, n_jobs=1, random_state=1).fit(rows)
isotree = Isotree(ntrees=100, sample_size=256, ndim=1, max_depth=8, missing_action="fail", nthreads=1, random_seed=1)
isotree.fit(rows)
for name, score in (("scikit-learn", sklearn.score_samples), ("isotree", isotree.predict)):
    secs = []
    for _ in range(5):
        started = time.perf_counter()
        score(rows)
        secs.append(time.perf_counter() - started)
    print(json.dumps({"kernel": f"iforest_score of {name}", "rows_per_sec": round(len(rows) / statistics.median(secs))}))
