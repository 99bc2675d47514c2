"""One thread of BLAS and OpenMP for each process of the tests, and what is not collected without an extra."""

import os
from importlib.util import find_spec

# threads of two workers on two cores wait for each other in loops that cost more than the work
os.environ.setdefault("OMP_NUM_THREADS", "1")

FOLDERS = ["deep/*", "gates/*", "nn/*"]
NEED_TORCH = [
    *FOLDERS,
    "images/encoder.py",
    "images/network.py",
    "images/store.py",
    "mixture/encoder.py",
    "mixture/encoder_network.py",
]

collect_ignore_glob = [] if find_spec("torch") else [f"src/kithkin/models/{name}" for name in NEED_TORCH]
