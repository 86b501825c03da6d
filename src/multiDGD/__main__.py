"""Run the command ``multidgd`` with ``python -m multiDGD``."""

import sys

from multiDGD.cli import main

if __name__ == "__main__":
    sys.exit(main())
