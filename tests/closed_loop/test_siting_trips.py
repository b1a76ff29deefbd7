"""What trips do to the voltages of a siting plan: as OpenDSS says with its controls standing still."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from operated_siting import STUDY, run

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.grid.attachments import LOAD_POWER_FACTOR, connected_pairs, connection_at, tan_phi
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.hourly_profile import load_profile
from studies.pv_datacenter_siting.operated_year import operate_year
from studies.pv_datacenter_siting.stored_plan import read_plan
from studies.pv_datacenter_siting.trips import TripRow, trip_warning
from studies.pv_datacenter_siting.verdicts import judged_plans
from studies.shared.typed_rows import gather_as

pytestmark = pytest.mark.xdist_group("operated siting")  # one worker, so that its studies are run once


def trips() -> list[TripRow]:
    return gather_as(run(STUDY), "trips", TripRow)


def test_a_trip_moves_voltages_as_in_opendss_with_controls_standing_still() -> None:
    (held,) = [one for one in judged_plans(STUDY, run(STUDY)) if one.held]
    case, plan = read_plan(STUDY, STUDY.load_feeder(), held.row.json)
    assert case.network.operated is not None
    year = operate_year(case, plan, case.network.operated.set_points)
    feeder, network = case.network.feeder, year.network
    assert [one.what for one in trips()] == [f"PV at {network.pv_buses[j]}" for j in np.flatnonzero(plan.pv_kw)] + [
        f"the datacenter at {network.site_buses[b]}" for b in plan.site_bus
    ]
    setup = OpenDSSGrid(feeder=feeder).setup
    for trip in trips():
        assert trip.change_pu is not None
        hour = 24 * year.dates.index(trip.date) + trip.hour
        level = year.levels.index(max(year.levels))
        circuit = Circuit(setup.commands(), tolerance=1e-10, max_iterations=500)
        share, sun = float(load_profile(STUDY.profile).load_share[hour]), network.sun[hour]
        draws = {f"PV at {network.pv_buses[j]}": (-plan.pv_kw[j] * sun, 0.0) for j in np.flatnonzero(plan.pv_kw)}
        for own in feeder.standing_generators:
            draws[f"PV standing at {own.bus}"] = -3.0 * own.peak_kw_per_phase * sun, 0.0
        for own in feeder.standing_loads:
            kw = 3.0 * own.peak_kw_per_phase * share
            draws[f"loads standing at {own.bus}"] = kw, kw * tan_phi(LOAD_POWER_FACTOR)
        kw = plan.site_kw[0] * year.levels[level]
        draws[f"the datacenter at {network.site_buses[plan.site_bus[0]]}"] = kw, kw * tan_phi(network.power_factor)
        places = {}
        for what in draws:
            bus = what.rpartition(" ")[2]
            connection = network.connection if what.startswith("the") else "auto"
            connection = connection_at(feeder.bus(bus), connection, what)
            kv = feeder.bus(bus).kv_ln * (np.sqrt(3.0) if connection == "delta" else 1.0)
            pairs = [[n for n in pair if n] for pair in connected_pairs(feeder.bus(bus), connection)]
            places[what] = [
                circuit.add_injection(f"{len(places)}_{k}", bus, nodes, kv, (0.8, 1.2)) for k, nodes in enumerate(pairs)
            ]
        circuit.finish()
        for control, ratio in zip(feeder.regulators, year.series.taps_pu[level, hour], strict=True):
            circuit.set_tap(feeder.regulator(control), float(ratio))
        circuit.set_load_share(share)
        voltages = []
        for gone in (None, trip.what):
            for what, (p_kw, q_kvar) in draws.items():
                circuit.injection_kw[places[what]] = 0.0 if what == gone else p_kw / 3.0
                circuit.injection_kvar[places[what]] = 0.0 if what == gone else q_kvar / 3.0
            circuit.solve(held=True)
            voltages.append(np.abs(circuit.node_voltages()) / circuit.node_base_v)
        bus, _, phase = trip.where.rpartition(".")
        node = circuit.node_index[bus, "ABC".index(phase) + 1]
        assert abs(voltages[1][node] - voltages[0][node]) == pytest.approx(trip.change_pu, abs=1e-6)
        assert trip.change_pu > 1e-3
        assert trip.kw == pytest.approx(-draws[trip.what][0])


def test_trips_above_the_limit_of_a_trip_are_named() -> None:
    assert trips()
    own = [replace(one, change_pu=0.02) for one in trips()]
    assert not trip_warning(STUDY, own)
    named = trip_warning(STUDY, [replace(own[0], change_pu=0.0412), *own[1:]])
    assert own[0].what in named
    assert "by 4.1 %" in named
    assert f"1 of {len(own)} trips" in named
    assert "leaves no power flow" in trip_warning(STUDY, [replace(own[0], change_pu=None)])
