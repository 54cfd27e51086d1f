"""Draw the treatment's odds ratio as a function of the modifier."""

from collections.abc import Mapping

from replication.figures_ladder import draw_odds_ratio_by_modifier
from replication.job import read_csv, run_script
from replication.style import save_figure


def odds_ratio_by_modifier(
    *,
    curves: str,
    units: Mapping[str, str],
    modifier: str,
    treatment: str,
    outcome: str,
    titles: Mapping[str, str],
    png: str,
    pdf: str,
) -> None:
    """Write the figure in both formats."""
    figure = draw_odds_ratio_by_modifier(
        read_csv(curves),
        titles=titles,
        units=units,
        modifier=modifier,
        treatment=treatment,
        outcome=outcome,
    )
    save_figure(figure, png=png, pdf=pdf)


if __name__ == "__main__":
    run_script(odds_ratio_by_modifier, snakemake)  # noqa: F821
