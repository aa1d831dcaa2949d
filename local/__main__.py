"""make run."""

import sys

from local.stack import main

if __name__ == "__main__":
    sys.exit(main())
