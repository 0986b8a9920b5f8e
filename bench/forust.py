"""Training and test lines for `bench/forust.sh`: recorded lines, whole sources held out as the test, filled up with made ones.

    python bench/forust.py DATA MADE.parquet ROWS OUT

DATA has commands_benign.parquet and commands_malicious.parquet (command_line, source, ambiguous), MADE the truth of `gleaner synth`
(command_line, label). Of the recorded lines, and then of the made ones, a draw by hash is taken. OUT/train.lines and OUT/test.lines have a label (0 or 1) and the
line's bytes in hexadecimal a row.
"""

import hashlib
import sys
from pathlib import Path

import pyarrow.parquet as pq

# What seed 7 of `gleaner evaluate experiment` holds out.
TEST = {"MicrosoftDocs/azure-docs-cli", "NVIDIA-NeMo/Curator", "dtrizna/slp", "redcanaryco/atomic-red-team"}


def drawn(line):
    return hashlib.sha256(line.encode()).digest()


def main(data, made, rows, out):
    labels, sources = {}, {}
    for label, name in enumerate(["benign", "malicious"]):
        table = pq.read_table(f"{data}/commands_{name}.parquet", columns=["command_line", "source", "ambiguous"])
        for row in table.to_pylist():
            if not row["ambiguous"]:
                labels.setdefault(row["command_line"], set()).add(label)
                sources[row["command_line"]] = row["source"].split(":")[0]
    # A text that both classes have tells nothing.
    labels = {line: min(of) for line, of in labels.items() if len(of) == 1}
    test = [line for line in labels if sources[line] in TEST]
    train = sorted((line for line in labels if sources[line] not in TEST), key=drawn)
    if len(train) < rows:
        more = {row["command_line"]: int(row["label"] == "malicious") for row in pq.read_table(made).to_pylist()}
        more = {line: label for line, label in more.items() if line not in labels}
        labels |= more
        train += sorted(more, key=drawn)
    train = train[:rows]
    assert len(train) == rows, f"{len(train)} lines; make more"
    for name, lines in [("train", train), ("test", sorted(test, key=drawn))]:
        text = "".join(f"{labels[line]} {line.encode().hex()}\n" for line in lines)
        Path(out, f"{name}.lines").write_text(text)
        print(f"{name}: {len(lines)} lines, {sum(labels[line] for line in lines)} malicious")


if __name__ == "__main__":
    data, made, rows, out = sys.argv[1:]
    main(data, made, int(rows), out)
