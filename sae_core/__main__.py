"""`python -m sae_core`: the command line."""

import sys

from sae_core.cli import main

if __name__ == "__main__":
    sys.exit(main())
