"""Re-dispatch within a band around a schedule (equation 9.13), against linear programs and by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from coordination_cases import small_case
from scipy.optimize import linprog

from solvers.dispatch.blocks import OutputBand
from solvers.dispatch.solve import solve_dispatch, solve_ideal_coordination
from solvers.outcome import SolverError
from solvers.policy_training.training import train_policy


@pytest.mark.parametrize("seed", [1, 2, 3, 6, 8, 11])
@pytest.mark.parametrize("share", [0.05, 0.3, 1.0])
def test_ideal_coordination_within_a_band_is_a_linear_programs(seed: int, share: float) -> None:
    case = small_case(seed, curved=False)
    system, network = case.system, case.network()
    base = case.load_mw + network.base_mw @ network.at_zone(system.n_zones)
    planned = solve_dispatch(system, base, case.injected_mw)
    band = OutputBand.around(system, planned.power_mw, share)
    found = solve_ideal_coordination(system, case.load_mw, case.injected_mw, network, band)
    n_units, n_zones, n = system.n_generators, system.n_zones, network.n
    at_zone = np.vstack([system.at_zone, np.eye(n_zones), -network.at_zone(n_zones)]).T
    factors = system.transfer_factors
    cost = np.concatenate([system.cost_usd_per_mwh, np.full(n_zones, system.shed_usd_per_mwh), np.zeros(n)])
    for k in np.flatnonzero(planned.solved):
        net = case.load_mw[k] - case.injected_mw[k]
        flow, fixed = factors @ at_zone, factors @ net
        # Load that is shed is no more than a zone draws, its datacenter's included.
        shed = np.hstack([np.zeros((n_zones, n_units)), np.eye(n_zones), -network.at_zone(n_zones).T])
        latency = np.hstack([np.zeros((len(network.limits.rows), n_units + n_zones)), network.limits.rows])
        stated = linprog(
            cost,
            np.vstack([flow, -flow, shed, latency]),
            np.concatenate(
                [
                    system.lines.flow_max_mw + fixed,
                    -system.lines.flow_min_mw - fixed,
                    case.load_mw[k],
                    network.limits.bound,
                ]
            ),
            np.vstack([at_zone.sum(axis=0), np.append(np.zeros(n_units + n_zones), np.ones(n))]),
            [net.sum(), network.limits.total_mw],
            [
                *zip(band.least_mw[k], band.most_mw[k], strict=True),
                *((0.0, None) for _ in range(n_zones + n)),
            ],
        )
        assert found.cost_usd[k] == pytest.approx(stated.fun, rel=1e-5)
        assert (np.abs(found.power_mw[k] - planned.power_mw[k]) <= share * system.power_max_mw + 1e-3).all()


def test_a_policy_is_trained_within_the_band() -> None:
    """Its cost is that of dispatch within the band, which holds back some of what there is to save."""
    case = small_case(7, curved=True)
    system, network = case.system, case.network()
    base = case.load_mw + network.base_mw @ network.at_zone(system.n_zones)
    planned = solve_dispatch(system, base, case.injected_mw)
    band = OutputBand.around(system, planned.power_mw, 0.02)
    arguments = (system, case.load_mw, case.injected_mw, network, case.features, 60.0)
    held, free = train_policy(*arguments, band=band), train_policy(*arguments)
    assert held.certified
    theta = np.maximum(network.base_mw + held.shifts_mw(case.features), 0.0)
    loads = case.load_mw + theta @ network.at_zone(system.n_zones)
    assert held.cost_usd == pytest.approx(
        solve_dispatch(system, loads, case.injected_mw, band).cost_usd.mean(), rel=1e-5
    )
    assert free.cost_usd < held.cost_usd <= planned.cost_usd.mean() * (1.0 + 1e-6)


def test_a_record_without_a_schedule_is_limited_by_what_units_can_give() -> None:
    system = replace(small_case(2, curved=False).system)
    nothing = np.full((1, system.n_generators), np.nan)
    band = OutputBand.around(system, nothing, 0.1)
    np.testing.assert_array_equal(band.most_mw[0], system.power_max_mw)
    np.testing.assert_array_equal(band.least_mw[0], system.power_min_mw)


def test_a_band_of_other_records_is_refused() -> None:
    case = small_case(2, curved=False)
    band = OutputBand(np.zeros((9, 1)), np.ones((9, 1)))
    with pytest.raises(SolverError, match="band"):
        solve_dispatch(case.system, case.load_mw, case.injected_mw, band)
