"""``python -m multiDGD``, the same as the command ``multidgd``."""

import sys

from multiDGD.cli import main

if __name__ == "__main__":
    sys.exit(main())
