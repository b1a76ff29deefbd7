"""Slopes that OFO measures: the same on OpenDSS and in lockstep, to far less than what flows are solved to."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from g2g_opt.assembly import assemble
from g2g_opt.batch.simulator import parts_of
from g2g_opt.controller.ofo import OFOBatchSizeController
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from g2g_opt.scenario_draws import ScenarioRanges, draw_scenario
from g2g_opt.study_case import StudyCase


@pytest.mark.parametrize("name", ["ieee13", "ieee34", "ieee123"])
def test_engines_measure_the_same_slopes(name: str) -> None:
    case = StudyCase.load(name)
    scenario = draw_scenario(case, Scenario(duration_s=1, dt_s=Fraction(1)), ScenarioRanges(), "drawn", 3)
    run = assemble(replace(case.plan, policy=Policy("ofo")), scenario, case.feeder, Limits())
    _, parts = parts_of([run.coordinator])
    parts.fleets.advance(0)
    parts.grids.solve(0, parts.fleets.power_w)
    controllers = [c for c in run.coordinator.controllers if isinstance(c, OFOBatchSizeController)]
    each = np.arange(len(controllers))
    perturbation_kw = np.array([c.config.sensitivity_perturbation_kw for c in controllers])
    lockstep = parts.grids.slopes(each, perturbation_kw)[parts.grids.monitored[0]]
    run.coordinator.run()
    for k, controller in enumerate(controllers):
        assert controller._now is not None
        measured = controller._now.slopes[:, :, 0]
        largest = np.abs(measured).max()
        assert largest > 1e-6
        # At the tolerance of flows those of 10 kW were apart by a thousandth.
        assert np.abs(measured - lockstep[:, :, k]).max() < 5e-6 * largest
