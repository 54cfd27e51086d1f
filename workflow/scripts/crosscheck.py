"""Set the library's estimates of classical nodes beside those of other programs."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from replication.crosscheck import compare, our_rows
from replication.job import read_csv, read_tables, run_script, write_csv
from replication.questions import AVERAGED_ROWS, effect_label


def crosscheck(
    *,
    references: Sequence[str],
    parameters: str,
    nodes: str,
    effects: str,
    identity: Sequence[str],
    questions: Sequence[Mapping[str, Any]],
    compared: str,
) -> None:
    """Write one row per number of the other programs, with ours and the difference."""
    reference = read_tables(references)
    estimated = read_csv(effects)
    averages = estimated["population"].isin(AVERAGED_ROWS) & (estimated["quantity"] == "ATE")
    labels = pd.DataFrame([{**q, "effect": effect_label(q)} for q in questions])
    ours = our_rows(
        read_csv(parameters),
        read_csv(nodes),
        estimated[averages].merge(labels, on="effect").rename(columns={"value": "estimate"})
        if len(labels)
        else None,
    )
    table = compare(ours, reference)
    experiment, model = identity
    table.insert(0, "experiment", experiment)
    table.insert(1, "model", model)
    write_csv(compared, table)


if __name__ == "__main__":
    run_script(crosscheck, snakemake)  # noqa: F821
