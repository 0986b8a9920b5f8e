"""The autoencoder's network trained by PyTorch, on the sets that `bench/api_detectors.py` wrote.

    python bench/autoencoder_torch.py WORK_DIR

For each NAME.D.rows of WORK_DIR it writes NAME.D.torch, the mean squared error of each row, as `bench/candle` writes NAME.D.candle; `bench/api_detectors.py`, run again, reads both. Widths, activations,
optimiser, batches, patience and the rows held out are ours; the first weights are drawn as ours (He's rule, no bias), the order of rows is PyTorch's. One thread, CPU alone.

Needs PyTorch (`pip install torch==2.15.0`: on PyPI the wheel for Linux on x86-64 is 539 MB, and does not start without the CUDA libraries that come with it, 2.6 GB more, though
nothing here uses them) and numpy.
"""

import pathlib
import sys
import time

import numpy as np
import torch

BATCH, EPOCHS, PATIENCE, MOST = 128, 100, 8, 16_384


def network(d):
    hidden, code = max(8, -(-d // 2)), max(1, -(-d // 4))
    widths = [d, hidden, code, hidden, d]
    layers = []
    for place, (a, b) in enumerate(zip(widths, widths[1:])):
        linear = torch.nn.Linear(a, b)
        torch.nn.init.uniform_(linear.weight, -((6 / a) ** 0.5), (6 / a) ** 0.5)
        torch.nn.init.zeros_(linear.bias)
        # The code and the output are straight.
        layers += [linear] + ([torch.nn.LeakyReLU(0.01)] if place in (0, 2) else [])
    return torch.nn.Sequential(*layers)


def train(rows, seed):
    torch.manual_seed(seed)
    model = network(rows.shape[1])
    few = rows[:MOST]
    held = torch.arange(len(few)) % 10 == 9
    test, fit = few[held], few[~held]
    adam = torch.optim.AdamW(model.parameters(), lr=2e-3, weight_decay=1e-4)
    best, kept, at = float("inf"), None, 0
    for epoch in range(1, EPOCHS + 1):
        for places in torch.randperm(len(fit)).split(BATCH):
            adam.zero_grad()
            ((model(fit[places]) - fit[places]) ** 2).mean().backward()
            adam.step()
        with torch.no_grad():
            loss = float(((model(test) - test) ** 2).mean())
        if loss < best:
            best, at = loss, epoch
            kept = {name: value.clone() for name, value in model.state_dict().items()}
        elif epoch - at >= PATIENCE:
            break
    model.load_state_dict(kept)
    with torch.no_grad():
        return ((model(rows) - rows) ** 2).mean(1).numpy(), at


def main(work):
    torch.set_num_threads(1)
    for path in sorted(work.glob("*.rows")):
        d = int(path.stem.rsplit(".", 1)[1])
        if path.stem.rsplit(".", 1)[0].endswith("few"):
            continue
        exact = np.fromfile(path, "<f4").reshape(-1, d).astype("f8")
        deviation = exact.std(0)
        scaled = np.clip((exact - exact.mean(0)) / np.where(deviation > 0, deviation, 1), -10, 10)
        started = time.perf_counter()
        errors, passes = train(torch.from_numpy(scaled.astype("f4")), 1)
        print(f"{path.stem}: {time.perf_counter() - started:.2f} s, {passes} passes", flush=True)
        errors.astype("<f4").tofile(path.with_suffix(".torch"))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
