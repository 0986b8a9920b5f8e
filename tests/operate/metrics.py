"""Reads what a program tells on standard input with the strict parser of Prometheus' own client, and checks its conventions."""

import re
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

# Labels of fixed sets, and those that the format itself brings.
LABELS = {"stage", "outcome", "detector", "state", "version", "le"}
# What a name ends with, when its value has a unit.
UNITS = {"seconds", "bytes", "usd"}

samples = 0
for family in text_string_to_metric_families(sys.stdin.read()):
    name = family.name
    assert re.fullmatch(r"(gleaner|process)_[a-z_]+", name), name
    assert family.documentation, f"{name} has no help"
    assert family.type in {"counter", "gauge", "histogram", "info"}, (name, family.type)
    assert not name.endswith("_total"), name
    if family.type == "histogram":
        assert name.rsplit("_", 1)[-1] in UNITS, name
    for sample in family.samples:
        samples += 1
        assert set(sample.labels) <= LABELS, sample
        for value in sample.labels.values():
            assert re.fullmatch(r"[a-zA-Z0-9_.+\-]{1,32}", value), sample
assert samples > 10, samples
print(f"{samples} samples")
