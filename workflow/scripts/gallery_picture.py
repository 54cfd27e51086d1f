"""Write a small copy of a figure for the documentation."""

from replication.job import run_script
from replication.style import save_small


def gallery_picture(*, figure: str, picture: str, width: int) -> None:
    """Scale the figure to at most ``width`` pixels."""
    save_small(figure, picture, width=width)


if __name__ == "__main__":
    run_script(gallery_picture, snakemake)  # noqa: F821
