"""Hours in a row under the circuit's own controls, days side by side: equal to OpenDSS, which runs them one by one."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from g2g_opt.batch import settled_steps
from g2g_opt.batch.chains import Chains, SetPoints
from g2g_opt.batch.operated_series import FeederOperation
from g2g_opt.batch.operating_points import Unit
from g2g_opt.circuit.opendss_circuit import SETTLED_DT_S, Circuit
from g2g_opt.feeder import Feeder
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.hourly_profile import load_profile

N_DAYS = 6


def hours(n_days: int = N_DAYS) -> tuple[np.ndarray, np.ndarray]:
    """Own load and sun of some summer days."""
    profile = load_profile("hudson_valley_2018")
    first = 24 * 170
    rows = slice(first, first + 24 * n_days)
    return np.array(profile.load_share)[rows], np.array(profile.generation_share)[rows]


def opendss(
    feeder: Feeder, set_points: SetPoints, bus: str, kw: np.ndarray, load: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Taps (step, regulator), voltages (step, node) and losses (kW) of the same hours one after the other."""
    edits = [f"RegControl.{n}.vreg={p.vreg_v} band={p.band_v} R={p.r_v} X={p.x_v}" for n, p in set_points.items()]
    setup = OpenDSSGrid(feeder=feeder, dss_controls=True).setup
    circuit = Circuit(
        [*setup.commands(), *edits], tolerance=1e-10, max_iterations=500, regulator_control_dt_s=SETTLED_DT_S
    )
    places = [circuit.add_injection(f"unit_{p}", bus, (p,), feeder.bus(bus).kv_ln, (0.8, 1.2)) for p in (1, 2, 3)]
    circuit.finish()
    taps, voltages, losses = [], [], []
    for of_hour, share in zip(kw, load, strict=True):
        circuit.injection_kw[places] = of_hour / 3.0
        circuit.set_load_share(float(share))
        circuit.solve()
        taps.append([circuit.tap(feeder.regulator(name)) for name in feeder.regulators])
        voltages.append(np.abs(circuit.node_voltages()) / circuit.node_base_v)
        losses.append(circuit.losses_kw())
    order = [circuit.node_index[node] for node in FeederOperation(feeder).nodes]
    return np.array(taps), np.array(voltages)[:, order], np.array(losses)


# What the circuit gives itself, whatever its loads draw.
OWN_UNITS = (
    "New PVSystem.own bus1=675 phases=3 kV=4.16 kVA=500 Pmpp=450",
    "New Generator.held bus1=633 phases=3 kV=4.16 kW=200 kVA=600 model=3 vpu=1.01 maxkvar=250 minkvar=-250",
)


@pytest.mark.parametrize(
    ("feeder", "bus", "units"), [("ieee13", "671", ()), ("ieee34", "844", ()), ("ieee13", "671", OWN_UNITS)]
)
def test_days_side_by_side_are_the_hours_one_after_the_other(feeder: str, bus: str, units: tuple[str, ...]) -> None:
    """Two chains with set-points and power of their own, in one batch."""
    found = Feeder.load(feeder)
    found = replace(found, commands=(*found.commands, *units))
    operation = FeederOperation(found)
    own = {name: replace(p, band_v=1.0) for name, p in operation.set_points().items()}
    other = {n: replace(p, vreg_v=p.vreg_v - 1.5, band_v=1.2, r_v=p.r_v / 2.0, x_v=p.x_v / 2.0) for n, p in own.items()}
    load, sun = hours()
    peak = 3000.0 if feeder == "ieee13" else 800.0
    kw = peak * np.stack([-sun, 0.4 + 0.6 * (np.arange(len(sun)) % 7 < 3)])
    series = operation.run(Chains([Unit(bus)], kw[None], load, [own, other]))
    assert series.solved.all()
    assert not series.restless.any()
    n_nodes = len(operation.nodes)
    for chain, set_points in enumerate((own, other)):
        taps, voltages, losses = opendss(found, set_points, bus, kw[chain], load)
        assert np.abs(series.taps_pu[chain] - taps).max() < 1e-9
        assert np.abs(series.rows[:n_nodes, chain].T - voltages).max() < 1e-6
        assert np.abs(series.losses_kw[chain] - losses).max() < 1e-3
        steps = np.rint(np.abs(np.diff(taps, axis=0)) / operation.step_pu).sum()
        assert series.tap_steps(operation.step_pu)[chain].sum() == steps
        assert steps >= 2


def test_days_begin_where_they_are_told_to_and_keep_what_is_wanted() -> None:
    operation = FeederOperation(Feeder.load("ieee13"))
    load, sun = hours()
    kw = (-500.0 * sun)[None, None]
    whole = operation.run(Chains([Unit("675")], kw, load, [{}]))
    days = operation.run(
        Chains(
            [Unit("675")],
            kw,
            load,
            [{}],
            begins=whole.begins,
            reduce=lambda voltage, loading: voltage.max(axis=0)[None],
        )
    )
    assert (days.taps_pu == whole.taps_pu).all()
    assert np.abs(days.rows[0] - whole.rows[: len(operation.nodes)].max(axis=0)).max() < 1e-7
    # Guesses of where days may begin, right or wrong, change nothing.
    wrong = [[replace(one, taps=tuple(0.95 for _ in one.taps)) for one in whole.begins[0]]]
    for guesses in (whole.begins, wrong):
        guessed = operation.run(Chains([Unit("675")], kw, load, [{}], guesses=guesses))
        assert (guessed.taps_pu == whole.taps_pu).all()
        assert (guessed.rows == whole.rows).all()
    alone = operation.run(Chains([Unit("675")], kw, load, [{}], begins=[[operation.start] * N_DAYS]))
    assert (alone.taps_pu[:, :24] == whole.taps_pu[:, :24]).all()
    # Days that do not follow each other make no tap steps at midnight.
    assert (alone.tap_steps(operation.step_pu, within_days_of=24)[:, ::24] == 0).all()


def test_chains_have_their_own_units_alone() -> None:
    """Each of three chains, one with nothing attached, is what it is by itself."""
    operation = FeederOperation(Feeder.load("ieee13"))
    load, sun = hours()
    units = [Unit("675"), Unit("632", 0.95), Unit("671")]
    kw = np.zeros((3, 3, len(load)))
    kw[0, 0], kw[1, 0], kw[2, 1] = -600.0 * sun, 300.0, -900.0 * sun
    together = operation.run(Chains(units, kw, load, [{}] * 3))
    for chain, which in enumerate(([0, 1], [2], [])):
        alone = operation.run(Chains([units[u] for u in which], kw[which, chain][:, None], load, [{}]))
        assert (together.taps_pu[chain] == alone.taps_pu[0]).all()
        assert np.abs(together.rows[:, chain] - alone.rows[:, 0]).max() < 1e-7
        assert np.abs(together.losses_kw[chain] - alone.losses_kw[0]).max() < 1e-3


def test_the_unbalance_of_hours_is_that_of_opendss() -> None:
    """The highest of all three-phase buses that limits look at, negative over positive sequence."""
    feeder = Feeder.load("ieee13")
    operation = FeederOperation(feeder)
    load, sun = (figures[:24] for figures in hours())
    series = operation.run(Chains([Unit("675")], (-500.0 * sun)[None, None], load, [{}], tells_unbalance=True))
    setup = OpenDSSGrid(feeder=feeder, dss_controls=True).setup
    circuit = Circuit(setup.commands(), tolerance=1e-10, max_iterations=500, regulator_control_dt_s=SETTLED_DT_S)
    places = [circuit.add_injection(f"unit_{p}", "675", (p,), feeder.bus("675").kv_ln, (0.8, 1.2)) for p in (1, 2, 3)]
    circuit.finish()
    a = np.exp(2j * np.pi / 3.0)
    for hour in range(24):
        circuit.injection_kw[places] = -500.0 * sun[hour] / 3.0
        circuit.set_load_share(float(load[hour]))
        circuit.solve()
        v, highest = circuit.node_voltages(), 0.0
        for name, bus in feeder.buses.items():
            if bus.phases == (1, 2, 3) and name not in feeder.exclude_buses:
                one, two, three = (v[circuit.node_index[name, p]] for p in (1, 2, 3))
                turns = sorted((abs(one + a * two + a**2 * three), abs(one + a**2 * two + a * three)))
                highest = max(highest, turns[0] / turns[1])
        assert series.unbalance[0, hour] == pytest.approx(highest, abs=1e-7)
    assert not operation.run(Chains([Unit("675")], (-500.0 * sun)[None, None], load, [{}])).unbalance.any()


def test_lanes_that_are_used_again_have_the_set_points_of_their_new_days() -> None:
    """Chains of unlike set-points together, whose days change lanes from turn to turn, and each alone."""
    operation = FeederOperation(Feeder.load("ieee34"))
    own = operation.set_points()
    kinds = [
        {n: replace(p, vreg_v=p.vreg_v + shift, band_v=band) for n, p in own.items()}
        for shift, band in ((0.0, 1.0), (-1.5, 9.0), (1.0, 4.0))
    ]
    load, sun = hours(60)
    kw = np.stack([-1000.0 * sun] * len(kinds))
    together = operation.run(Chains([Unit("844")], kw[None], load, kinds))
    for chain, kind in enumerate(kinds):
        alone = operation.run(Chains([Unit("844")], kw[None, :1], load, [kind]))
        assert np.abs(together.taps_pu[chain] - alone.taps_pu[0]).max() < 1e-9


@pytest.mark.parametrize(("feeder", "bus"), [("ieee34", "844"), ("ieee123", "76")])
def test_days_shared_among_threads_are_those_of_one(feeder: str, bus: str) -> None:
    """Bit for bit, with days that end in Python and taps that move all the time in every thread."""
    operation = FeederOperation(Feeder.load(feeder))
    own = operation.set_points()
    kinds = [{n: replace(p, vreg_v=p.vreg_v + shift, band_v=1.0) for n, p in own.items()} for shift in (0.0, 1.0, -1.0)]
    load, sun = hours(60)
    kw = np.stack([-1000.0 * sun * share for share in (0.3, 0.6, 1.0)])
    asked = Chains([Unit(bus)], kw[None], load, kinds, tells_unbalance=True)
    alone = operation.run(asked)
    assert alone.tap_steps(operation.step_pu).sum() > 1000
    for n_threads in (2, 3):
        shared = operation.run(asked, n_threads)
        for name in ("taps_pu", "rows", "losses_kw", "solved", "restless", "unbalance"):
            np.testing.assert_array_equal(getattr(shared, name), getattr(alone, name), err_msg=name)
        assert shared.begins == alone.begins


@pytest.mark.parametrize(("feeder", "bus"), [("ieee13", "671"), ("ieee34", "844"), ("ieee123", "76")])
def test_steps_that_python_makes_are_those_of_compiled_code(
    feeder: str, bus: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bit for bit: so that a step that compiled code leaves to Python changes nothing."""
    operation = FeederOperation(Feeder.load(feeder))
    narrow = {name: replace(p, band_v=1.0) for name, p in operation.set_points().items()}
    load, sun = hours()
    kw = np.stack([-800.0 * sun, 300.0 * (np.arange(len(sun)) % 7 < 3)])
    asked = Chains([Unit(bus)], kw[None], load, [narrow, {}], tells_unbalance=True)
    compiled = operation.run(asked)
    monkeypatch.setattr(settled_steps, "run_steps", lambda address, step: step)
    by_python = operation.run(asked)
    assert compiled.tap_steps(operation.step_pu).sum() >= 2
    for name in ("taps_pu", "rows", "losses_kw", "solved", "restless", "unbalance"):
        assert (getattr(compiled, name) == getattr(by_python, name)).all(), name
