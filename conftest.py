"""What is not collected where an extra is not installed: the examples of modules that need it."""

from importlib.util import find_spec

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
