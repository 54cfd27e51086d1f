"""The scorecard as pages: for the repository (Markdown), the report's front page and a tab.

``elsewhere`` counts the claims that are left out, whose experiments are not part of the run.
"""

from __future__ import annotations

import html
import textwrap

import pandas as pd

from replication.tables import markdown_table
from replication.verdicts import VERDICTS

__all__ = ["scorecard_html", "scorecard_markdown", "scorecard_rst"]

_NOTE = (
    "The 95 % interval says where the number of another seed lies, or the expected one where the "
    "claim is about that (Student's t law over seeds); a number of a single fit or of a study has "
    "an interval of its own. A claim holds within error if it misses the tolerance but the target "
    "lies in the interval, unless the target is a number for the very same data. Tolerances are "
    "fixed in advance, verdicts follow from the numbers."
)

_COLOURS = dict(zip(VERDICTS, ("#d9ecd9", "#eef2d0", "#f6d5d0", "#e8e8e8"), strict=True))


def scorecard_markdown(card: pd.DataFrame, *, banner: str = "", elsewhere: int = 0) -> str:
    """The scorecard as a Markdown document."""
    shown = _shown(card)
    reasons = "\n".join(
        f"- **{row['id']}** ({row['source']}): tolerance {row['tolerance']:g}, {row['why']}."
        + (f" {row['note']}" if row["note"] else "")
        for row in _text(card).to_dict("records")
    )
    table = markdown_table(shown)
    head = ["# Scorecard", *([f"**{banner}**"] if banner else []), *_said(card, elsewhere)]
    if card.empty:
        return "\n\n".join(head) + "\n"
    return "\n\n".join([*head, table, "## Sources, tolerances, notes", reasons]) + "\n"


def scorecard_rst(card: pd.DataFrame, *, banner: str = "", elsewhere: int = 0) -> str:
    """The scorecard as a fragment of reStructuredText, for the front page of the report."""
    lines = [f".. warning:: {banner}", ""] if banner else []
    table = [".. list-table::", "   :header-rows: 1", "   :widths: 13 12 36 9 9 14 6 5 11", ""]
    for paragraph in _said(card, elsewhere):
        lines += [paragraph, ""]
    if card.empty:
        return "\n".join(lines)
    lines += table
    shown = _shown(card)
    for row in [list(shown.columns), *shown.to_numpy().tolist()]:
        for i, cell in enumerate(row):
            lines.append(("   * - " if i == 0 else "     - ") + _escaped(str(cell)))
    return "\n".join(lines) + "\n"


def scorecard_html(card: pd.DataFrame, *, banner: str = "", elsewhere: int = 0) -> str:
    """The scorecard with every column as a page of its own."""
    head = "".join(f"<th>{html.escape(name)}</th>" for name in [*_shown(card), "source", "why"])
    body = []
    for (_, row), (_, full) in zip(_shown(card).iterrows(), _text(card).iterrows(), strict=True):
        note = f" {full['note']}" if full["note"] else ""
        cells = [*row, full["source"], f"tolerance {full['tolerance']:g}: {full['why']}.{note}"]
        text = "".join(f"<td>{html.escape(str(cell))}</td>" for cell in cells)
        body.append(f"<tr style='background:{_COLOURS[full['verdict']]}'>{text}</tr>")
    said = "".join(f"<p>{html.escape(text)}</p>" for text in _said(card, elsewhere))
    rows = f"<table><thead><tr>{head}</tr></thead><tbody>{''.join(body)}</tbody></table>"
    warning = f"<p><strong>{html.escape(banner)}</strong></p>" if banner else ""
    return textwrap.dedent(f"""\
        <!doctype html>
        <html lang="en"><head><meta charset="utf-8"><title>Scorecard</title><style>
        body {{ font: 14px/1.4 system-ui, sans-serif; margin: 1.5em; color: #222; }}
        table {{ border-collapse: collapse; }}
        th, td {{ padding: 4px 10px; text-align: left; vertical-align: top; }}
        td {{ border-top: 1px solid #fff; font-variant-numeric: tabular-nums; }}
        </style></head><body><h1>Scorecard</h1>{warning}
        {said}
        {rows if body else ""}
        </body></html>
        """)


def _said(card: pd.DataFrame, elsewhere: int) -> list[str]:
    """What stands above the table: how many claims, where others are, how to read a verdict."""
    if card.empty:
        said = ["No published claim is about an experiment of this run."]
    else:
        said = [_counts(card)]
    if elsewhere:
        others = "1 claim concerns" if elsewhere == 1 else f"{elsewhere} claims concern"
        said.append(f"{others} experiments that are not part of this run.")
    return said if card.empty else [*said, _NOTE]


def _counts(card: pd.DataFrame) -> str:
    counts = card["verdict"].value_counts()
    parts = [f"{counts.get(verdict, 0)} {verdict}" for verdict in VERDICTS]
    return f"{len(card)} claims: " + ", ".join(parts) + "."


def _text(card: pd.DataFrame) -> pd.DataFrame:
    return card.assign(note=card["note"].fillna(""))


def _shown(card: pd.DataFrame) -> pd.DataFrame:
    """The columns that fit on a page, as text."""
    return pd.DataFrame(
        {
            "id": card["id"],
            "experiment": card["experiment"],
            "claim": card["claim"],
            "target": card["target"],
            "estimate": card["estimate"].map(_number),
            "interval": [
                "" if pd.isna(low) else f"{_number(low)} to {_number(high)}"
                for low, high in zip(card["low"], card["high"], strict=True)
            ],
            "rows": card["n"].map(lambda n: "" if pd.isna(n) else f"{n:.0f}"),
            "seeds": card["seeds"].map(lambda n: str(n) if n else ""),
            "verdict": card["verdict"],
        }
    )


def _number(value: float) -> str:
    return "" if pd.isna(value) else f"{value:.4g}"


def _escaped(text: str) -> str:
    """Characters that reStructuredText would read as markup."""
    for mark in ("\\", "*", "`", "|", "_"):
        text = text.replace(mark, f"\\{mark}")
    return text
