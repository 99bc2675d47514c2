"""Run the command line by `python -m kithkin.cli`."""

import sys

from kithkin.cli.main import main

sys.exit(main())
