"""Closed loops under the circuit's own controls, step by step against OpenDSS driven by opendssdirect alone.

A sample of what `benchmarks/own_controls.py` counts: taps, banks, vars and watts of inverters, and voltages.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from controlled_feeders import KVA_ATOL, compared_loop, controlled_feeder

# Random circuits and bundled feeders: a bank and a changer that move most, a moving sun, volt-watt and both curves.
SEEDS = (5002, 5013, 5016, 5019, 5067, 5070)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_loop_is_the_same_at_every_step(seed: int, tmp_path: Path) -> None:
    found = compared_loop(controlled_feeder(tmp_path, seed), seed)
    assert (found.difference, found.failure, found.failure_opendss) == ("", "", "")
    assert found.n_steps == 60
    assert found.tap_moves > 0
    assert found.inverter_kva < KVA_ATOL


# The second: vars that a full inverter is told to give have room once a volt-watt curve curtails it.
@pytest.mark.parametrize("seed", [5007, 424319])
def test_controls_that_do_not_come_to_rest_end_a_loop_at_the_same_step(seed: int, tmp_path: Path) -> None:
    found = compared_loop(controlled_feeder(tmp_path, seed), seed)
    assert found.difference == ""
    assert "do not come to rest" in found.failure
    assert found.failure_opendss.startswith(f"step {found.n_steps}: (#485)")


def test_an_unequal_run_is_told(tmp_path: Path) -> None:
    """The comparison sees a regulator that holds a volt more."""
    feeder = controlled_feeder(tmp_path, 5016)
    found = compared_loop(feeder, 5016, ["Edit RegControl.r2 vreg=126"])
    assert "tap r2" in found.difference
    assert found.n_steps < 60
