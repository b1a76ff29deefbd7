"""A held series says the same of one time as of many."""

from __future__ import annotations

import numpy as np
import pytest

from g2g_opt.held_series import HeldSeries


@pytest.mark.parametrize("series", [HeldSeries((0.5,), 3600.0), HeldSeries((0.1, 0.7, 0.3), 0.1)])
def test_one_time_is_read_as_many_are(series: HeldSeries) -> None:
    times = np.concatenate([np.linspace(-1.0, 5.0, 601), [0.1 * k for k in range(10)], [0.1 + 0.1 + 0.1]])
    assert [series.at_time(float(time_s)) for time_s in times] == series.at(times).tolist()
