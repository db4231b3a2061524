"""The `ijepa` command."""

import signal
import sys

from ijepa import _ijepa


def main() -> int:
    # Ctrl-C belongs to the command, as if there were no Python: it ends it, or a run saves first.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    return _ijepa.run(["ijepa", *sys.argv[1:]])


if __name__ == "__main__":
    sys.exit(main())
