"""Trains XGBoost on an export of `gleaner export --format libsvm` and says how its AUC stands beside that of Gleaner's own trees.

    python scripts/xgboost_on_export.py EXPORT [--classifier classifier.json]... [--seeds 5] [--onnx classifier.onnx]

EXPORT holds train.libsvm and test.libsvm, of the columns of a classifier of the family boosting (--classifier FILE of `gleaner export`); classifier.json is that
classifier, exported with --format json: one, or one for each seed that it was trained with. Both read the same rows and the same columns with the same
parameters (classifier/src/boosting.rs). Our trees are walked here, from the JSON, so that nothing but the export is trusted. With --onnx the same
rows are scored by ONNX Runtime, and the greatest difference is said. Prints one JSON object. Needs xgboost (or xgboost-cpu), scikit-learn, numpy; onnxruntime for --onnx.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from sklearn.datasets import load_svmlight_file
from sklearn.metrics import roc_auc_score
from xgboost import DMatrix, train

PARAMETERS = {
    "objective": "binary:logistic",
    "tree_method": "hist",
    "max_depth": 6,
    "eta": 0.15,
    "lambda": 1.0,
    "min_child_weight": 1.0,
    "colsample_bytree": 0.5,
    # As many as ours, of which one is for missing values.
    "max_bin": 63,
    "nthread": 1,
}
TREES = 120


def dense(rows, columns):
    """A matrix in which a feature that a row does not have is NaN, and an n-gram that it does not have is 0."""
    features = sum(column["kind"] == "feature" for column in columns)
    matrix = np.zeros(rows.shape, dtype=np.float32)
    matrix[:, :features] = np.nan
    place = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
    matrix[place, rows.indices] = rows.data
    return matrix


def score(model, matrix):
    """The probability of malice of each row, by the classifier's JSON."""
    features = sum(column["kind"] == "feature" for column in model["column"])
    odds = np.full(len(matrix), model["base"], dtype=np.float64)
    for tree in model["trees"]:
        column, edge, missing_left, left, right, value = (
            np.array(tree[name]) for name in ("column", "edge", "missing_left", "left", "right", "value")
        )
        # As 32 bits, which they are: values lie on edges.
        edge = edge.astype(np.float32)
        at = np.zeros(len(matrix), dtype=np.int64)
        while True:
            inner = column[at] >= 0
            if not inner.any():
                break
            node = at[inner]
            read = matrix[np.flatnonzero(inner), column[node]]
            goes_left = np.where(column[node] < features, read <= edge[node], read == 0)
            goes_left = np.where(np.isnan(read), missing_left[node], goes_left)
            at[inner] = np.where(goes_left, left[node], right[node])
        odds += value[at]
    return 1 / (1 + np.exp(-odds))


def main():
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("export", type=Path)
    arguments.add_argument("--classifier", type=Path, action="append", required=True)
    arguments.add_argument("--seeds", type=int, default=5)
    arguments.add_argument("--onnx", type=Path)
    given = arguments.parse_args()
    models = [json.loads(path.read_text()) for path in given.classifier]
    columns = models[0]["column"]
    parts = {}
    for part in ("train", "test"):
        rows, labels = load_svmlight_file(
            str(given.export / f"{part}.libsvm"), n_features=len(columns), zero_based=False, dtype=np.float32
        )
        weights = given.export / f"{part}.libsvm.weight"
        weights = np.loadtxt(weights) if weights.exists() else None
        parts[part] = (dense(rows, columns), labels, weights)
    (x, y, weights), (tested, truth, _) = parts["train"], parts["test"]
    matrix, test = DMatrix(x, y, weight=weights), DMatrix(tested)
    theirs = []
    for seed in range(1, given.seeds + 1):
        booster = train(PARAMETERS | {"seed": seed}, matrix, TREES)
        theirs.append(roc_auc_score(truth, booster.predict(test)))
    scores = [score(model, tested) for model in models]
    ours = [roc_auc_score(truth, s) for s in scores]
    said = {
        "train_rows": len(y),
        "train_malicious": int(y.sum()),
        "test_rows": len(truth),
        "test_malicious": int(truth.sum()),
        "columns": len(columns),
        "gleaner_auc": ours,
        "xgboost_auc": theirs,
        "gleaner_auc_mean": float(np.mean(ours)),
        "xgboost_auc_mean": float(np.mean(theirs)),
        "difference": float(np.mean(ours) - np.mean(theirs)),
    }
    if given.onnx:
        import onnxruntime

        session = onnxruntime.InferenceSession(str(given.onnx), providers=["CPUExecutionProvider"])
        probability = session.run(["probability"], {"features": tested})[0][:, 0]
        said["onnx_greatest_difference"] = float(np.abs(probability - scores[0]).max())
    print(json.dumps(said))


if __name__ == "__main__":
    main()
