"""What pictures share: the numbers on axes."""

from __future__ import annotations

from typing import Any

import pytest

from tramdag import plotting
from tramdag.plotting.canvas import plain_number


@pytest.mark.parametrize(
    ("value", "digits", "text"),
    [
        (0.0, 2, "0"),
        (0.5, 1, "0.5"),
        (0.001234, 2, "0.0012"),
        (1234.5, 3, "1230"),
        (99999.0, 2, "100000"),
        (3.2e-7, 2, "3.2×10⁻⁷"),
        (1e7, 1, "10⁷"),
        (-2.5e6, 2, "-2.5×10⁶"),
    ],
)
def test_numbers_are_plain_as_long_as_they_are_short(value: float, digits: int, text: str) -> None:
    assert plain_number(value, digits) == text


def test_a_long_logarithmic_axis_is_marked_in_plain_numbers(tables: dict[str, Any]) -> None:
    table = tables["coefficient_forest"].query("node == 'mRS_3m'").iloc[-1:]
    ax = plotting.coefficient_forest(table.assign(odds_ratio_upper=3e8, odds_ratio_lower=2e-3))
    ax.figure.canvas.draw()
    names = [label.get_text() for label in ax.get_xticklabels()]
    assert not any("e" in name for name in names)
    assert {"1000", "10⁷"} <= set(names)
    assert any("(0.0020 to 3.00×10⁸)" in text.get_text() for text in ax.texts)
