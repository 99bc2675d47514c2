"""Mini-batches of shuffled rows: cells per CPU second, beside annbatch on the same folder, and beside random access.

    python benchmarks/loader.py COUNTS.zarr [--peer PYTHON] [--buffer 16384] [--images TISSUE.zarr ...]

COUNTS.zarr is a folder that kithkin wrote, TISSUE.zarr one with obsm/thumbnails (`kithkin read-image`), PYTHON an
interpreter with annbatch and zarrs. Batches are of 512 rows in float32, CSR matrices or pictures, drawn over whole
epochs of two CPU seconds at least; both programs hold `--buffer` rows of counts (16,384 are annbatch's default: 32
chunks of 512), each in one thread of a process of its own. CPU seconds are those of all threads. Beside it 512 random
rows at a time by `ds.rows`, and pictures one by one.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from itertools import islice
from typing import Any

from timing import markdown, peak_memory, run_apart

SIZE, RUNS, LEAST = 512, (1, 32, 64, 256), 2.0


def rate(batches: Callable[[], Iterable[Any]], rows_of: Callable[[Any], int], most: int | None = None) -> float:
    """Cells per CPU second over whole passes of two seconds at least, after a few batches that are not counted."""
    for _ in islice(batches(), 2):
        pass
    began, rows = time.process_time(), 0
    while time.process_time() < began + LEAST:
        rows += sum(rows_of(batch) for batch in islice(batches(), most))
    return rows / (time.process_time() - began)


def ours(path: str, buffer: int) -> dict[str, float]:
    """Draw batches with kithkin; also rows of each batch alone, as a reader without a loader would."""
    import numpy as np

    import kithkin as kk

    ds = kk.open(path, threads=1, progress=False)
    rows = np.random.default_rng(0).permutation(ds.n_obs)
    alone = lambda: (ds.rows(rows[start : start + SIZE]) for start in range(0, len(rows), SIZE))  # noqa: E731
    found = {"rows alone": rate(alone, lambda block: block.shape[0], 10)}
    for chunk in RUNS:
        drawn = partial(ds.batches, SIZE, shuffle=True, chunk=chunk, buffer=buffer)
        found[str(chunk)] = rate(drawn, lambda batch: len(batch.rows))
    return found | {"peak_MB": peak_memory()}


def theirs(path: str, buffer: int) -> dict[str, float]:
    """Draw batches with annbatch."""
    import anndata as ad
    import numpy as np
    import zarr
    from annbatch import Loader

    zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline", "threading.max_workers": 1})
    X = zarr.open_group(path, mode="r", use_consolidated=False)["X"]
    found = {}
    for chunk in RUNS:
        loader = Loader(
            batch_size=SIZE,
            chunk_size=chunk,
            preload_nchunks=buffer // chunk,
            shuffle=True,
            rng=np.random.default_rng(0),
            preload_to_gpu=False,
        ).add_dataset(ad.io.sparse_dataset(X))
        found[str(chunk)] = rate(lambda one=loader: one, lambda batch: batch["X"].shape[0])
    return found | {"peak_MB": peak_memory()}


def images(path: str) -> dict[str, Any]:
    """Draw thumbnails by the loader and at random."""
    import numpy as np
    import zarr

    import kithkin as kk

    ds = kk.open(path, threads=1, progress=False)
    key, rows = "obsm/thumbnails", np.random.default_rng(0).permutation(ds.n_obs)
    alone = lambda: (ds.rows(rows[start : start + SIZE], key) for start in range(0, len(rows), SIZE))  # noqa: E731
    one = lambda: (ds.rows([row], key) for row in rows)  # noqa: E731
    found = {"one by one": rate(one, len, 100), "rows alone": rate(alone, len, 10)}
    for chunk in RUNS:
        found[str(chunk)] = rate(partial(ds.batches, SIZE, key, shuffle=True, chunk=chunk), lambda one: len(one.rows))
    shape, chunk = ds.blocks(key).shape, zarr.open_array(f"{path}/{key}", mode="r").chunks[0]
    what = f"{shape[1]} x {shape[2]} x {shape[3]} pixels, {chunk} in a chunk"
    return found | {"peak_MB": peak_memory(), "what": what}


CHILDREN = {"kithkin": ours, "annbatch": theirs, "thumbnails": images}


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("counts")
    parser.add_argument("--images", nargs="*", default=[])
    parser.add_argument("--peer")
    parser.add_argument("--buffer", type=int, default=16384)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--child", choices=list(CHILDREN))
    given = parser.parse_args()
    if given.child:
        arguments = given.images if given.child == "thumbnails" else (given.counts, given.buffer)
        print(json.dumps(CHILDREN[given.child](*arguments)))
        return
    shared = [given.counts, "--buffer", str(given.buffer)]
    found = {"kithkin": run_apart(sys.executable, __file__, "kithkin", shared, 1)}
    if given.peer:
        found["annbatch"] = run_apart(given.peer, __file__, "annbatch", shared, 1)
    for path in given.images:
        one = run_apart(sys.executable, __file__, "thumbnails", [*shared, "--images", path], 1)
        found[f"kithkin, {one.pop('what')}"] = one
    names = [*map(str, RUNS), "rows alone", "one by one", "peak_MB"]
    rows = [[who, *(f"{one[name]:,.0f}" if name in one else "" for name in names)] for who, one in found.items()]
    heads = (*(f"runs of {chunk}" for chunk in RUNS), "512 random rows", "one by one", "peak MB")
    print(markdown(("cells per CPU second", *heads), rows))


if __name__ == "__main__":
    main()
