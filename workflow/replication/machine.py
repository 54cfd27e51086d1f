"""What this machine offers, asked without importing torch or starting R."""

from __future__ import annotations

import shutil
from pathlib import Path

__all__ = ["gpu_visible", "r_visible"]


def gpu_visible(devices: Path = Path("/dev")) -> bool:
    """Whether the system shows an NVIDIA GPU; torch has the last word in the job."""
    return any(devices.glob("nvidia[0-9]*"))


def r_visible() -> bool:
    """Whether there is an R on PATH; the cross-check has the last word in the job."""
    return shutil.which("R") is not None
