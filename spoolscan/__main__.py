"""``python -m spoolscan``."""

import sys

from spoolscan.cli import main

if __name__ == "__main__":
    sys.exit(main())
