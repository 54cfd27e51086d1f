"""Runs of seeds or replicates that one job handles, and their labels in paths."""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["chunk_label", "chunks", "seeds_of"]


def chunks(numbers: Sequence[int], size: int) -> list[str]:
    """Labels of the groups of at most ``size`` numbers, in their order."""
    starts = range(0, len(numbers), size)
    return [chunk_label(numbers[i : i + size]) for i in starts]


def chunk_label(seeds: Sequence[int]) -> str:
    """``"3"`` for one seed or replicate, ``"0-2"`` for a run of them."""
    return str(seeds[0]) if len(seeds) == 1 else f"{seeds[0]}-{seeds[-1]}"


def seeds_of(label: str) -> list[int]:
    """The seeds or replicates behind a label of :func:`chunk_label`."""
    first, _, last = label.partition("-")
    return list(range(int(first), int(last or first) + 1))
