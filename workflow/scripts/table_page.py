"""Summarise a table over seeds for readers, in Markdown and HTML."""

from replication.job import read_tables, run_script, staged
from replication.tables import LAYOUTS, over_seeds, to_html, to_markdown


def table_page(*, table: str, banner: str, tidy: str, markdown: str, page: str) -> None:
    """Write both pages.

    Args:
        table: Name of the table.
        banner: A warning for the head of the page, or nothing.
        tidy: CSV file with a row per seed.
        markdown: Markdown file to write.
        page: HTML file to write.
    """
    layout = LAYOUTS[table]
    summary = over_seeds(read_tables([tidy], columns=layout.columns), layout)
    for path, render in ((markdown, to_markdown), (page, to_html)):
        with staged(path) as temporary:
            temporary.write_text(
                render(summary, title=layout.title, note=layout.note, banner=banner),
                encoding="utf-8",
            )


if __name__ == "__main__":
    run_script(table_page, snakemake)  # noqa: F821
