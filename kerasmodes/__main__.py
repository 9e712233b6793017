"""`python -m kerasmodes`: the command `kerasmodes`, where no script of it is installed."""

import sys

from kerasmodes import cli

if __name__ == "__main__":
    sys.exit(cli.main())
