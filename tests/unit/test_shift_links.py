"""Work moved by datacenter and by link, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from studies.coordination_policy.rows import OfDraw, ShiftLinkRow, ShiftRow
from studies.coordination_policy.setting import make_setting
from studies.coordination_policy.shifts import least_flow, moved_tables


def test_work_goes_to_the_nearest_that_takes_it() -> None:
    """On a line at 0, 1, 2 and 10: 30 MW leave the first, 10 the last; 25 and 15 MW come to those between."""
    places = np.array([0.0, 1.0, 2.0, 10.0])
    flow = least_flow(np.abs(places[:, None] - places), np.array([-30.0, 25.0, 15.0, -10.0]))
    expected = np.zeros((4, 4))
    expected[0, 1], expected[0, 2], expected[3, 2] = 25.0, 5.0, 10.0
    np.testing.assert_allclose(flow, expected, atol=1e-6)
    np.testing.assert_allclose(flow.sum(axis=0) - flow.sum(axis=1), [-30.0, 25.0, 15.0, -10.0], atol=1e-6)


def test_means_are_of_records_and_what_is_not_moved_has_no_link() -> None:
    setting = make_setting("physical", 0.2, 0.25)
    moves = np.array([[10.0, -10.0, 0.0, 0.0, 0.0], [30.0, -30.0, 0.0, 0.0, 0.0]])
    loads = {"none": setting.base_mw[None], "ideal": setting.base_mw + moves, "nobody's": np.zeros((0, 5))}
    tables = moved_tables(OfDraw(0.2, 0.25, 250, 0), setting, loads)
    shifts, links = tables["shifts"], tables["links"]
    assert [row.policy for row in shifts if isinstance(row, ShiftRow)] == ["ideal"] * 5
    first = shifts[0]
    assert isinstance(first, ShiftRow)
    assert first.datacenter == setting.system.datacenters[0]
    assert [first.least_mw, first.shift_mw, first.most_mw] == pytest.approx([10.0, 20.0, 30.0])
    assert first.shift_pct == pytest.approx(2000.0 / setting.base_mw[0])
    names = setting.system.datacenters
    told = [(row.origin, row.to, round(row.mean_mw, 6)) for row in links if isinstance(row, ShiftLinkRow)]
    # Through a datacenter on the way or past it: what leaves the second comes to the first.
    assert told == [(names[1], names[0], 20.0)]
