"""Run the command line as ``python -m medsyn2``, which ``torchrun -m medsyn2`` starts too."""

from medsyn2.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
