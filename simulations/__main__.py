"""Command line: ``python -m simulations freeze|verify [--data DIR]``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from .freeze import freeze, verify


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return 0, or 1 if a frozen file is missing or differs."""
    parser = argparse.ArgumentParser(
        prog="python -m simulations", description="Freeze the simulated data, or verify them."
    )
    parser.add_argument(
        "command",
        choices=("freeze", "verify"),
        help="freeze: write what is missing, refuse to overwrite what differs; "
        "verify: regenerate everything and compare",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=Path("data"),
        metavar="DIR",
        help="folder of the frozen files (default: data in the current folder)",
    )
    options = parser.parse_args(arguments)
    try:
        reports = freeze(options.data) if options.command == "freeze" else verify(options.data)
        mismatches = 0
        for report in reports:
            mismatches += not report.ok
            state = "ok  " if report.ok else "FAIL"
            print(f"{state} {options.data / report.file}: {report.detail}")
    except OSError as error:
        print(f"{parser.prog} {options.command}: {error}", file=sys.stderr)
        return 1
    if mismatches:
        print(f"{mismatches} files are missing or differ from their generators.", file=sys.stderr)
    return 1 if mismatches else 0


if __name__ == "__main__":
    raise SystemExit(main())
