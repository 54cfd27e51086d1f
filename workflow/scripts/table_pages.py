"""Summarise every table over seeds for readers, in Markdown and HTML."""

from collections.abc import Sequence
from pathlib import Path

from replication.job import read_tables, run_script, staged
from replication.tables import LAYOUTS, over_seeds, to_html, to_markdown


def table_pages(
    *, banner: str, tidy: Sequence[str], markdown: Sequence[str], pages: Sequence[str]
) -> None:
    """Write both pages of every table.

    Args:
        banner: A warning for the head of the pages, or nothing.
        tidy: CSV files with a row per seed, named as the tables.
        markdown: Markdown files to write, in the same order.
        pages: HTML files to write, in the same order.
    """
    for table, *targets in zip(tidy, markdown, pages, strict=True):
        layout = LAYOUTS[Path(table).stem]
        summary = over_seeds(read_tables([table], columns=layout.columns), layout)
        for path, render in zip(targets, (to_markdown, to_html), strict=True):
            with staged(path) as temporary:
                temporary.write_text(
                    render(summary, title=layout.title, note=layout.note, banner=banner),
                    encoding="utf-8",
                )


if __name__ == "__main__":
    run_script(table_pages, snakemake)  # noqa: F821
