"""Reads exports as their users would, offline.

    python exports.py lines DIRECTORY EXPECTED.ndjson    parquet/, csv/, hf/, libsvm/ of one set; its train rows as NDJSON (command_line, label)
    python exports.py scores LIBSVM_DIRECTORY ONNX_DIRECTORY EXPECTED.json    the probability of malice of each test row

Fails with what differs, never with a line. Needs the packages of requirements.txt beside this file.
"""

import csv
import json
import os
import sys
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"

import numpy as np
from sklearn.datasets import load_svmlight_file


def lines(directory, expected):
    import datasets
    import duckdb
    import pandas
    import pyarrow.parquet
    import xgboost

    wanted = [(row["command_line"], row["label"]) for row in map(json.loads, expected.read_text().split("\n")[:-1])]

    def same(reader, got):
        got = list(got)
        assert len(got) == len(wanted), f"{reader}: {len(got)} rows, expected {len(wanted)}"
        wrong = [place for place, (a, b) in enumerate(zip(got, wanted)) if a != b]
        assert not wrong, f"{reader}: rows {wrong} differ"
        print(f"{reader}: {len(got)} rows")

    table = pyarrow.parquet.read_table(directory / "parquet/train.parquet")
    same("pyarrow", zip(table["command_line"].to_pylist(), table["label"].to_pylist()))
    lineage = json.loads(table.schema.metadata[b"gleaner.lineage"])
    assert table.schema.metadata[b"gleaner.version"] and lineage["days"][0]["fingerprint"]

    with open(directory / "csv/train.csv", newline="", encoding="utf-8") as file:
        same("csv", ((row["command_line"], row["label"]) for row in csv.DictReader(file, strict=True)))
    frame = pandas.read_csv(directory / "csv/train.csv", keep_default_na=False, na_values={})
    same("pandas", zip(frame["command_line"], frame["label"]))
    read = duckdb.sql(f"SELECT command_line, label FROM read_csv('{directory}/csv/train.csv', header = true, all_varchar = true, quote = '\"', escape = '\"', delim = ',')")
    same("duckdb", read.fetchall())

    data = datasets.load_dataset(str(directory / "hf"), split="train", cache_dir=str(directory / "cache"))
    names = data.features["label"].names
    same("datasets", ((row["command_line"], names[row["label"]]) for row in data))
    assert names == ["benign", "malicious"], names
    # A list of texts came as one.
    assert any(isinstance(row["detectors"], list) and row["detectors"] for row in data)
    builder = datasets.load_dataset_builder(str(directory / "hf"), cache_dir=str(directory / "cache"))
    assert set(builder.info.features) == set(table.column_names)

    rows, labels = load_svmlight_file(str(directory / "libsvm/train.libsvm"), zero_based=False)
    assert [("malicious" if label else "benign") for label in labels] == [label for _, label in wanted]
    with open(directory / "libsvm/features.csv", newline="") as file:
        features = list(csv.DictReader(file))
    length = next(int(f["index"]) for f in features if f["name"] == "commandline_len") - 1
    lengths = np.asarray(rows[:, length].todense())[:, 0]
    assert [int(n) for n in lengths] == [len(line) for line, _ in wanted]
    print(f"scikit-learn: {rows.shape[0]} rows of {len(features)} columns")
    matrix = xgboost.DMatrix(f"{directory}/libsvm/train.libsvm?format=libsvm")
    assert matrix.num_row() == len(wanted) and list(matrix.get_label()) == list(labels)
    print(f"xgboost: {matrix.num_row()} rows")


def scores(export, graph, expected):
    import onnxruntime

    session = onnxruntime.InferenceSession(str(graph / "classifier.onnx"), providers=["CPUExecutionProvider"])
    with open(export / "features.csv", newline="") as file:
        columns = [row["kind"] for row in csv.DictReader(file)]
    rows, _ = load_svmlight_file(str(export / "test.libsvm"), n_features=len(columns), zero_based=False, dtype=np.float32)
    if session.get_inputs()[0].name == "features":
        features = columns.count("feature")
        dense = np.zeros(rows.shape, dtype=np.float32)
        dense[:, :features] = np.nan
        place = np.repeat(np.arange(rows.shape[0]), np.diff(rows.indptr))
        dense[place, rows.indices] = rows.data
        inputs = {"features": dense}
    else:
        width = int(np.diff(rows.indptr).max())
        inputs = {"buckets": np.zeros((rows.shape[0], width), np.int64), "values": np.zeros((rows.shape[0], width), np.float32)}
        for row in range(rows.shape[0]):
            start, end = rows.indptr[row], rows.indptr[row + 1]
            inputs["buckets"][row, : end - start] = rows.indices[start:end]
            inputs["values"][row, : end - start] = rows.data[start:end]
    got = session.run(["probability"], inputs)[0][:, 0]
    wanted = np.array(json.loads(expected.read_text()))
    assert got.shape == wanted.shape, (got.shape, wanted.shape)
    difference = float(np.abs(got - wanted).max())
    assert difference < 1e-5, f"probabilities differ by {difference}"
    print(f"onnxruntime: {len(got)} rows, greatest difference {difference:.2e}")


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    {"lines": lines, "scores": scores}[what](*map(Path, paths))
