"""What each encoding of categorical values finds, and costs.

    python bench/api_categorical.py GLEANER WORK_DIR [LABELLED.parquet]

Made days with planted attacks (`gleaner synth --kind api`, three seeds, 20,000 requests, a fiftieth of them of incidents) are run
with every `--categorical`: the share of the planted requests that is among a detector's quota of 2%, by kind of incident, and
the seconds of the run. Then `gleaner evaluate api` on labelled requests, where a file of them is given: means over three seeds.
"""

import json
import os
import subprocess
import sys
import time
from collections import defaultdict

CHOICES = ["rarity", "one-hot", "hashed", "embedding"]
# Those of a day's run that names none.
DETECTORS = ["iforest", "pca", "kmeans"]


def gleaner(*args):
    program = sys.argv[1].split()
    done = subprocess.run([*program, *args], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]


def made_days(work):
    found = defaultdict(lambda: [0, 0])
    seconds = defaultdict(float)
    for seed in range(1, 4):
        days = os.path.join(work, f"days-{seed}")
        gleaner("synth", days, "--kind", "api", "--lines", "20000", "--attacks", "0.02", "--seed", str(seed))
        truth = f"{days}/_truth/day=2025-01-01"
        for choice in CHOICES:
            warehouse = os.path.join(work, f"warehouse-{seed}-{choice}")
            started = time.monotonic()
            gleaner("run", "--kind", "api", "--date", "2025-01-01", "--quota", "2%", "--telemetry", days,
                    "--warehouse", warehouse, "--categorical", choice)
            seconds[choice] += time.monotonic() - started
            chosen = ", ".join(f"count({d}_rank) AS {d}" for d in DETECTORS)
            rows = gleaner(
                "sql", "--json", "--warehouse", warehouse,
                f"""SELECT i.kind, count(*) AS planted, {chosen}
                    FROM (SELECT DISTINCT r.incident, a.hash
                          FROM '{truth}.requests.parquet' AS r JOIN requests AS a
                            ON a.event_time = CAST(r.event_time AS TIMESTAMP) AND a.path = r.path AND a.client_ip = r.client_ip) AS p
                    JOIN '{truth}.incidents.parquet' AS i ON i.incident = p.incident
                    LEFT JOIN anomalies AS x ON x.hash = p.hash GROUP BY i.kind ORDER BY i.kind""")
            for row in rows:
                for detector in DETECTORS:
                    for kind in (row["kind"], "all"):
                        cell = found[choice, detector, kind]
                        cell[0] += row[detector]
                        cell[1] += row["planted"]
    kinds = sorted({kind for _, _, kind in found})
    print("made days: share of planted requests within a quota of 2%; seconds of three runs")
    for choice in CHOICES:
        for detector in DETECTORS:
            cells = [found[choice, detector, kind] for kind in kinds]
            shares = "  ".join(f"{kind} {a}/{b}={a / b:.3f}" for kind, (a, b) in zip(kinds, cells))
            print(f"{choice:<10} {detector:<12} {shares}")
        print(f"{choice:<10} {seconds[choice]:.1f} s")


def labelled(file):
    sums = defaultdict(lambda: [0.0, 0.0, 0])
    for seed in range(3):
        for choice in CHOICES:
            for row in gleaner("evaluate", "api", file, "--json", "--seed", str(seed), "--categorical", choice):
                if row["auroc"] is not None and row["recall"] is not None:
                    cell = sums[row["kind"], row["detector"], choice]
                    cell[0] += row["auroc"]
                    cell[1] += row["recall"]
                    cell[2] += 1
    print("labelled requests: mean AUROC, recall at 1% false alarms")
    for kind, detector in sorted({(kind, detector) for kind, detector, _ in sums}):
        cells = [sums[kind, detector, choice] for choice in CHOICES]
        shown = "  ".join(f"{choice} {a / n:.4f}, {r / n:.4f}" for choice, (a, r, n) in zip(CHOICES, cells))
        print(f"{kind:<11} {detector:<12} {shown}")


if __name__ == "__main__":
    os.makedirs(sys.argv[2], exist_ok=True)
    made_days(sys.argv[2])
    if len(sys.argv) > 3:
        labelled(sys.argv[3])
