"""The outcome node alone: statsmodels' OrderedModel and R's polr, each with its defaults."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from measure import LINEAR_SHIFTS, main, stroke, timed
from statsmodels.miscmodels.ordinal_model import OrderedModel

from replication.polr import fit_polr, r_available


def design() -> tuple[pd.Series, pd.DataFrame]:
    """The outcome and its parents, the ordinal one as indicators of its levels above zero."""
    df = stroke()
    parents = df[list(LINEAR_SHIFTS["mRS_3m"][1])]
    return df["mRS_3m"], pd.get_dummies(
        parents, columns=["mRS_pre"], drop_first=True, dtype=np.float64
    )


def statsmodels(seed: int, *, quick: bool) -> dict[str, Any]:
    """Proportional odds by BFGS on standardised columns, which it needs to converge."""
    y, x = design()
    x = (x - x.mean()) / x.std()
    model = OrderedModel(y, x, distr="logit")
    times, fit = timed(lambda: model.fit(method="bfgs", maxiter=500, disp=0), repeats=3)
    assert fit.mle_retvals["converged"]
    return {"outcome": times}


def polr(seed: int, *, quick: bool) -> dict[str, Any]:
    """Proportional odds by polr, with its Hessian; R's start is not counted."""
    if not r_available():
        return {}
    y, x = design()
    fit_polr(y, x, list(x), relative_tolerance=1e-8)
    times, _ = timed(lambda: fit_polr(y, x, list(x), relative_tolerance=1e-8), repeats=5)
    return {"outcome": times}


if __name__ == "__main__":
    main({"statsmodels": statsmodels, "polr": polr})
