"""Hold the estimates of all cohorts against the truth."""

from collections.abc import Mapping, Sequence
from typing import Any

from replication.job import read_csv, read_tables, run_script, write_csv
from replication.monte_carlo_summary import summarise_cohorts, with_errors
from replication.questions import effect_label
from replication.reference import true_effect


def monte_carlo_summary(
    *,
    estimates: Sequence[str],
    trials: Sequence[str],
    experiment: str,
    variants: Mapping[str, Mapping[str, Any]],
    models: Sequence[str],
    effects: Sequence[Mapping[str, Any]],
    rows: int,
    cohorts: str,
    summary: str,
) -> None:
    """Write the estimates with the truth, and bias, spread and coverage by model.

    Args:
        estimates: Tables of the groups of cohorts.
        trials: The population of each variant.
        experiment: Name of the experiment.
        variants: Process by name of the variant.
        models: Names of the models, the first to compare with.
        effects: Entries ``{"treatment", "outcome", "at_most"}``.
        rows: Rows of a cohort.
        cohorts: CSV file to write, a row per cohort, which goes by the name of a seed.
        summary: CSV file to write.
    """
    truths = {
        (variant, effect_label(effect)): true_effect(process, effect, read_csv(trial))
        for (variant, process), trial in zip(variants.items(), trials, strict=True)
        for effect in effects
    }
    table = with_errors(read_tables(estimates), truths)
    write_csv(cohorts, table.rename(columns={"cohort": "seed"}).assign(n=rows))
    found = summarise_cohorts(table, models=models)
    found.insert(0, "experiment", experiment)
    write_csv(summary, found.assign(n=rows))


if __name__ == "__main__":
    run_script(monte_carlo_summary, snakemake)  # noqa: F821
