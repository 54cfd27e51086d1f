"""Put a figure of an experiment under a name of its own."""

import shutil

from replication.job import run_script, staged


def named_figure(*, source_png: str, source_pdf: str, png: str, pdf: str) -> None:
    """Copy both formats."""
    for source, target in ((source_png, png), (source_pdf, pdf)):
        with staged(target) as temporary:
            shutil.copyfile(source, temporary)


if __name__ == "__main__":
    run_script(named_figure, snakemake)  # noqa: F821
