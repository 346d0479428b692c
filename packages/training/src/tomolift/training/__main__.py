"""`python -m tomolift.training`: the same as the `tomolift` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
