"""ONNX Runtime's own Python on the texts of bench/embed.rs: `embed.py MODEL_DIR TEXTS [BATCH]`, one thread, sorted by length, padded to
the longest of each batch. Needs the packages onnxruntime, tokenizers and numpy."""

import sys
import time

import numpy as np
import onnxruntime
from tokenizers import Tokenizer

directory, texts = sys.argv[1], open(sys.argv[2], encoding="utf-8").read().splitlines()
batch = int(sys.argv[3]) if len(sys.argv) > 3 else 16
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = options.inter_op_num_threads = 1
options.add_session_config_entry("session.intra_op.allow_spinning", "0")
session = onnxruntime.InferenceSession(f"{directory}/model.onnx", options, providers=["CPUExecutionProvider"])
names = [i.name for i in session.get_inputs()]
tokenizer = Tokenizer.from_file(f"{directory}/tokenizer.json")
tokenizer.no_padding()
tokenizer.enable_truncation(256)


def embed(texts):
    encoded = tokenizer.encode_batch([text.strip() for text in texts])
    order = sorted(range(len(texts)), key=lambda i: -len(encoded[i].ids))
    vectors = [None] * len(texts)
    for start in range(0, len(order), batch):
        rows = order[start : start + batch]
        width = len(encoded[rows[0]].ids)
        ids, mask = np.zeros((len(rows), width), dtype=np.int64), np.zeros((len(rows), width), dtype=np.int64)
        for r, i in enumerate(rows):
            ids[r, : len(encoded[i].ids)] = encoded[i].ids
            mask[r, : len(encoded[i].ids)] = 1
        feeds = {"input_ids": ids, "attention_mask": mask, "token_type_ids": np.zeros_like(ids)}
        (hidden,) = session.run(["last_hidden_state"], {name: feeds[name] for name in names})
        pooled = (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdims=True)
        pooled /= np.linalg.norm(pooled, axis=1, keepdims=True)
        for r, i in enumerate(rows):
            vectors[i] = pooled[r]
    return vectors


embed(texts[:64])
for _ in range(3):
    started, cpu = time.perf_counter(), time.process_time()
    for start in range(0, len(texts), 1024):
        embed(texts[start : start + 1024])
    secs, cpu = time.perf_counter() - started, time.process_time() - cpu
    print(f"{len(texts)} texts in {secs:.2f} s, {cpu:.2f} s of CPU: {len(texts) / cpu:.1f} a CPU-second", flush=True)
