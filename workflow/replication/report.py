"""Write the report once a run of everything has succeeded.

Snakemake's report is an action on a finished workflow and so cannot be one of its rules. The
workflow calls this from its ``onsuccess`` hook, which does not run when there was nothing to do:
an unchanged project keeps the report that it has.
"""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["report_command", "write_report"]

_log = logging.getLogger(__name__)


def write_report(*, snakefile: str | Path, config: Mapping[str, Any], results: str | Path) -> Path:
    """Write ``report.html`` into the folder of results.

    The completed configuration is written beside it, which makes the run repeatable and gives the
    reporting process the very settings of this one.

    Raises:
        subprocess.CalledProcessError: Snakemake cannot make the report; its output says why.
    """
    folder = Path(results)
    settings = folder / "config.json"
    settings.write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    report = folder / "report.html"
    command = report_command(snakefile=snakefile, settings=settings, report=report)
    finished = subprocess.run(command, capture_output=True, text=True, check=False)
    if finished.returncode:
        _log.error("%s", finished.stderr)
        finished.check_returncode()
    return report


def report_command(*, snakefile: str | Path, settings: str | Path, report: str | Path) -> list[str]:
    """The command line that makes a report of a finished run.

    It takes no lock, because the run that calls it still holds the one of the folder, and reads
    no profile, because it starts no job.
    """
    return [
        sys.executable,
        "-m",
        "snakemake",
        "--snakefile",
        str(snakefile),
        "--workflow-profile",
        "none",
        "--nolock",
        "--report",
        str(report),
        "--configfile",
        str(settings),
        "--",
        "all",
    ]
