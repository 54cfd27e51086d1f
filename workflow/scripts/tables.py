"""Collect the tables of all experiments, tidy for programs and summarised for readers."""

from collections.abc import Sequence
from pathlib import Path

from replication.job import read_tables, run_script, staged, write_csv
from replication.tables import LAYOUTS, TRUTH_COLUMNS, over_seeds, to_html, to_markdown, with_truth


def tables(
    *,
    truth: Sequence[str],
    true_coefficients: Sequence[str],
    banner: str,
    tidy: Sequence[str],
    markdown: Sequence[str],
    pages: Sequence[str],
    **inputs: Sequence[str],
) -> None:
    """Write every table as tidy CSV, and its summary over seeds as Markdown and HTML.

    Args:
        truth: Tables of the generators' average effects.
        true_coefficients: Tables of the generators' linear weights.
        banner: A warning for the head of every page, or nothing.
        tidy: CSV files to write, named as the tables.
        markdown: Markdown files to write.
        pages: HTML files to write.
        inputs: Parts of each table by its name.
    """
    collected = {
        name: read_tables(parts, columns=LAYOUTS[name].columns) for name, parts in inputs.items()
    }
    collected["truth"] = read_tables(truth, columns=TRUTH_COLUMNS)
    if true_coefficients:
        collected["coefficients"] = with_truth(
            collected["coefficients"], read_tables(true_coefficients)
        )
    for path in tidy:
        write_csv(path, collected[Path(path).stem])
    for path in [*markdown, *pages]:
        layout = LAYOUTS[Path(path).stem]
        render = to_html if path.endswith(".html") else to_markdown
        table = over_seeds(collected[Path(path).stem], layout)
        with staged(path) as temporary:
            temporary.write_text(
                render(table, title=layout.title, note=layout.note, banner=banner),
                encoding="utf-8",
            )


if __name__ == "__main__":
    run_script(tables, snakemake)  # noqa: F821
