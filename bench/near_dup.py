"""Vectors for bench/near_dup.sh, and the peer: faiss's flat index, which holds all earlier vectors.

    near_dup.py make DIR TODAY EARLIER WIDTH     writes DIR/today.f32 and DIR/earlier.f32: length 1, a fifth of today's near one of the earlier
    near_dup.py faiss DIR WIDTH COSINE THREADS   prints one JSON object: seconds of adding and searching, pairs, covered rows
"""
import json, resource, sys, time

import numpy as np

what, folder, *rest = sys.argv[1:]


def unit(x):
    return np.ascontiguousarray(x / np.linalg.norm(x, axis=1, keepdims=True), np.float32)


if what == "make":
    today, earlier, width = map(int, rest)
    rng = np.random.default_rng(1)
    centres = rng.standard_normal((1000, width), np.float32)
    with open(f"{folder}/earlier.f32", "wb") as out:
        first = None
        for start in range(0, earlier, 100_000):
            n = min(100_000, earlier - start)
            piece = unit(centres[rng.integers(0, 1000, n)] + rng.standard_normal((n, width), np.float32))
            first = piece if first is None else first
            out.write(piece.tobytes())
    rows = centres[rng.integers(0, 1000, today)] + rng.standard_normal((today, width), np.float32)
    near = today // 5
    rows[:near] = first[rng.integers(0, len(first), near)] * np.sqrt(width) + 0.3 * rng.standard_normal((near, width), np.float32)
    open(f"{folder}/today.f32", "wb").write(unit(rows).tobytes())
else:
    import faiss

    width, cosine, threads = int(rest[0]), float(rest[1]), int(rest[2])
    faiss.omp_set_num_threads(threads)
    read = lambda name: np.fromfile(f"{folder}/{name}.f32", np.float32).reshape(-1, width)
    today, earlier = read("today"), read("earlier")
    started = time.perf_counter()
    index = faiss.IndexFlatIP(width)
    index.add(earlier)
    lims, cosines, places = index.range_search(today, cosine)
    covered = places_sum = 0
    for row in range(len(today)):
        low, high = int(lims[row]), int(lims[row + 1])
        if high > low:
            covered += 1
            places_sum += int(places[low + int(np.argmax(cosines[low:high]))])
    print(json.dumps({
        "peer": "faiss-flat", "version": faiss.__version__, "today": len(today), "earlier": len(earlier), "width": width,
        "covered": covered, "sum_of_places": places_sum, "pairs": int(lims[-1]), "secs": round(time.perf_counter() - started, 2),
        "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }))
