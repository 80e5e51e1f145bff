"""Run the command line as ``medsyn2``, or as ``python -m medsyn2``, which ``torchrun -m medsyn2`` starts too.

The imports take longer than some commands, so that signals are awaited before them.
"""

import signal
import sys

from medsyn2.signals import end_in_a_line


def main() -> int:
    """Run one verb and return the exit status."""
    try:
        return end_in_a_line(sys.argv[1:], _run)
    finally:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # while the interpreter ends, without a traceback


def _run(arguments: list[str]) -> int:
    from medsyn2.cli import main as run_verb

    return run_verb(arguments)


if __name__ == "__main__":
    raise SystemExit(main())
