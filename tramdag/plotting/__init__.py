"""Pictures of what a flow's verbs return: drawn into a given Axes, which is returned.

Every function takes the table of one verb, arrays or a specification, never a flow, so pictures
can be made from stored tables. Estimates are black, bands and reference lines grey: a print in
grey loses nothing. Needs matplotlib, which the library itself does not: ``import tramdag`` never
loads it. ::

    from tramdag import plotting
    plotting.coefficient_forest(flow.summary("mRS_3m"), units={"Age": "years"})
"""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError(
        "tramdag.plotting draws with matplotlib, which is not installed: "
        "pip install 'tramdag-replication[plot]'"
    ) from error

from tramdag.plotting.checks import calibration_curve, residual_envelope, residual_qq
from tramdag.plotting.coefficients import coefficient_forest
from tramdag.plotting.curves import odds_ratio_band, shift_curve, transformation_curve
from tramdag.plotting.graph import causal_dag

__all__ = [
    "calibration_curve",
    "causal_dag",
    "coefficient_forest",
    "odds_ratio_band",
    "residual_envelope",
    "residual_qq",
    "shift_curve",
    "transformation_curve",
]
