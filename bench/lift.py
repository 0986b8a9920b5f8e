"""The classifiers of `gleaner evaluate lift` beside other people's, on one training set and one test.

    python bench/lift.py GLEANER TRAIN.parquet TEST.parquet

TRAIN and TEST have the columns command_line and label (benign or malicious). scikit-learn's logistic regression (C = 10) reads hashed words
and character n-grams of 3 to 5 as scikit-learn makes them; XGBoost reads Gleaner's features (`cmd_features`) and the 2,048 n-grams that chi2
chooses on the training rows, with the parameters of `classifier/src/boosting.rs`. Prints one JSON object a classifier. Needs xgboost-cpu,
scikit-learn and pyarrow.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import HashingVectorizer
from sklearn.feature_selection import chi2
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize
from xgboost import XGBClassifier


def read(gleaner, file, scratch):
    """Lines, labels and features of a file, in one order."""
    out = Path(scratch) / f"{Path(file).stem}-features.parquet"
    sql = (
        f"COPY (SELECT command_line, label, cmd_features(command_line) AS features FROM '{file}' "
        f"WHERE label IN ('benign', 'malicious')) TO '{out}' STORED AS PARQUET"
    )
    subprocess.run([gleaner, "sql", sql], check=True, stdout=subprocess.DEVNULL)
    table = pq.read_table(out)
    labels = np.array([label == "malicious" for label in table["label"].to_pylist()])
    features = np.array(table["features"].to_pylist(), dtype=np.float32)
    return table["command_line"].to_pylist(), labels, features


def main(gleaner, train, test):
    with tempfile.TemporaryDirectory() as scratch:
        (train_lines, y, train_features), (test_lines, truth, test_features) = (
            read(gleaner, file, scratch) for file in (train, test)
        )
    folded = [[f" {''.join('0' if c.isdigit() else c for c in t.lower())} " for t in lines] for lines in (train_lines, test_lines)]
    kinds = [
        HashingVectorizer(analyzer="char", ngram_range=(3, 5), n_features=1 << 17, alternate_sign=False, norm=None, lowercase=False),
        HashingVectorizer(ngram_range=(1, 2), n_features=1 << 16, alternate_sign=False, norm=None, lowercase=False),
    ]
    x, tested = (hstack([kind.transform(lines) for kind in kinds]).tocsr() for lines in folded)
    for matrix in (x, tested):
        matrix.data = np.log1p(matrix.data)
    x, tested = normalize(x), normalize(tested)
    linear = LogisticRegression(C=10, max_iter=500).fit(x, y)
    report("linear", "scikit-learn", roc_auc_score(truth, linear.decision_function(tested)), y)

    present = csr_matrix((np.ones_like(x.data), x.indices, x.indptr), x.shape)
    statistic = np.nan_to_num(chi2(present, y)[0])
    statistic[np.asarray(present.sum(axis=0)).ravel() < 4] = 0
    chosen = np.sort(np.argsort(-statistic, kind="stable")[:2048])
    columns = lambda sparse, dense: np.hstack([dense, (sparse[:, chosen] > 0).toarray().astype(np.float32)])
    trees = XGBClassifier(
        n_estimators=120, max_depth=6, learning_rate=0.15, reg_lambda=1, min_child_weight=1, colsample_bytree=0.5, max_bin=64,
        tree_method="hist", random_state=1, n_jobs=2,
    ).fit(columns(x, train_features), y)
    scores = trees.predict_proba(columns(tested, test_features))[:, 1]
    report("boosting", "xgboost", roc_auc_score(truth, scores), y)


def report(family, peer, auc, y):
    print(json.dumps({"family": family, "peer": peer, "auc": round(float(auc), 4), "rows": len(y), "malicious": int(y.sum())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
