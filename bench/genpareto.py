"""scipy's fit of the generalised Pareto distribution to the excesses that our test makes (`threshold/tests.rs`).

    GLEANER_BESIDE=DIR cargo test --workspace --lib genpareto -- --ignored
    python bench/genpareto.py DIR          # needs scipy; shape and scale of each file
"""

import pathlib
import sys

import numpy as np
from scipy.stats import genpareto

for path in sorted(pathlib.Path(sys.argv[1]).glob("genpareto*.f32")):
    excesses = np.fromfile(path, "<f4").astype(float)
    shape, _, scale = genpareto.fit(excesses, floc=0)
    print(path.name, len(excesses), f"{shape:.6f} {scale:.6f}")
