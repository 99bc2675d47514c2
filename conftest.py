"""What is not collected where an extra is not installed: the examples of modules that need it."""

from importlib.util import find_spec

collect_ignore_glob = [] if find_spec("torch") else ["src/kithkin/models/deep*.py"]
