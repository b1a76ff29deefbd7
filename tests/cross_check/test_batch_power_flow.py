"""The batch power flow against OpenDSS: the bundled feeders, large and meshed circuits, neighbours, failures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache

import numpy as np
import pytest
from batch_rigs import (
    AGREE_PU,
    BATCH_PU,
    PORT_KW,
    Case,
    Reference,
    branch_pu,
    circuit_commands,
    differences_pu,
    random_powers,
    random_setting,
    random_sites,
    solve_and_compare,
)

from g2g_opt.batch.jacobian import Jacobian
from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.feeder import Feeder

# The kernel is compiled once where no cache is kept: by the one worker that gets these tests.
pytestmark = pytest.mark.xdist_group("batch_power_flow")

FEEDERS = ("ieee13", "ieee34", "ieee123")


@cache
def feeder_case(name: str) -> Case:
    return Case.of(Feeder.load(name).commands)


# --- the bundled feeders


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("name", FEEDERS)
def test_random_sites_taps_and_capacitors_agree_with_opendss(name: str, seed: int) -> None:
    feeder, case, rng = Feeder.load(name), feeder_case(name), np.random.default_rng(seed)
    rows = random_sites(feeder, case, rng, 24)
    settings = [random_setting(feeder, case, rng) for _ in rows]
    reference = Reference(case, rows)
    flow = BatchPowerFlow(case.network, rows, settings, tolerance_pu=BATCH_PU, phasors=True)
    for again in range(3):
        if again:  # other taps in some scenarios, other powers in all
            changed = {int(s): random_setting(feeder, case, rng) for s in rng.choice(24, size=8, replace=False)}
            flow.set_settings(changed)
            settings = [changed.get(s, setting) for s, setting in enumerate(settings)]
        power = random_powers(feeder, rows, rng)
        flow.solve(power)
        assert flow.solved.all()
        assert np.abs(differences_pu(case, flow, rows, settings, power, reference)).max() < AGREE_PU
        ports = [(port, s) for s, row in enumerate(rows) for port in row]
        outside = {"below": 0, "above": 0}
        for port, s in ports:
            ends = np.array([port.begin]), np.array([port.end]), np.array([port.base_v])
            pu = branch_pu(case, flow, *ends)[0, s]
            outside["below"] += pu < port.window_pu[0]
            outside["above"] += pu > port.window_pu[1]
        assert min(outside.values()) >= 5, "the windows were to be hit"


@pytest.mark.parametrize("name", FEEDERS)
def test_scenarios_that_share_their_taps_agree_with_opendss(name: str) -> None:
    feeder, case, rng = Feeder.load(name), feeder_case(name), np.random.default_rng(3)
    assert feeder.initial_taps is not None
    setting = Setting(tuple(feeder.initial_taps.regulators.items()))
    rows = random_sites(feeder, case, rng, 18)
    solve_and_compare(case, rows, random_powers(feeder, rows, rng), [setting] * 18)


@pytest.mark.parametrize("name", FEEDERS)
def test_a_circuits_own_loads_below_and_above_their_windows_agree_with_opendss(name: str) -> None:
    for source_pu in (0.85, 1.12):
        case = Case.of((*Feeder.load(name).commands, f"Edit Vsource.source pu={source_pu}"))
        rows = [[case.port(Feeder.load(name).candidate_buses[1], (p,)) for p in (1, 2, 3)]] * 3
        power = 1e3 * PORT_KW[name] * np.array([[0.0, 0.3, -0.2]]) * np.ones((3, 1)) * (1 + 0.2j)
        flow = solve_and_compare(case, rows, power)
        network = case.network
        pu = branch_pu(case, flow, network.load_from, network.load_to, network.load_base_v)
        assert (pu < 0.95).any() if source_pu < 1.0 else (pu > 1.05).any()


def test_a_hundred_steps_at_a_loose_tolerance_stay_within_it() -> None:
    feeder, case, rng = Feeder.load("ieee123"), feeder_case("ieee123"), np.random.default_rng(5)
    rows = random_sites(feeder, case, rng, 16)
    settings = [random_setting(feeder, case, rng) for _ in rows]
    jacobian = Jacobian(case.network)
    loose = BatchPowerFlow(jacobian, rows, settings, tolerance_pu=1e-6)
    tight = BatchPowerFlow(jacobian, rows, settings, tolerance_pu=1e-11, max_iterations=300)
    power, worst, rounds = random_powers(feeder, rows, rng), [], []
    for step in range(100):
        size = 0.3 if step % 10 == 0 else 0.01
        moved = power * (1 + size * rng.normal(size=power.shape))
        for flow in (loose, tight):
            flow.solve(moved)
            assert flow.solved.all()
        worst.append(np.abs(loose.voltage_pu - tight.voltage_pu).max())
        rounds.append(loose.iterations.mean())
    assert max(worst) < 1e-6
    assert max(worst) > 1e-9, "nothing was saved by the loose tolerance"
    assert np.mean(rounds) < 4.0


# --- a large radial circuit and a meshed one, written here


def random_load(name: str, bus: str, phases: Sequence[int], most_kw: float, rng: np.random.Generator) -> str:
    """A load of any model: phase to ground or between phases."""
    several = len(phases) > 1
    delta = several and rng.random() < 0.4
    if delta and len(phases) == 2:
        count, kv = 1, 12.47
    else:
        count, kv = len(phases), 12.47 if several else 7.2
    model = ("1", "1", "2", "3", "4", "4 CVRwatts=0.8 CVRvars=3", "5", "8 ZIPV=[0.3 0.2 0.5 0.1 0.3 0.6 0.5]")
    low, high = ((0.95, 1.05), (0.85, 1.1), (0.99, 1.2))[rng.integers(3)]
    kw, kvar = most_kw * rng.uniform((0.2, -0.2), (1.0, 0.5))
    return (
        f"New Load.{name} bus1={bus}.{'.'.join(map(str, phases))} phases={count} conn={'delta' if delta else 'wye'} "
        f"kV={kv} kW={kw:.3f} kvar={kvar:.3f} vminpu={low} vmaxpu={high} model={model[rng.integers(len(model))]}"
    )


def radial_commands(n_trunk: int, rng: np.random.Generator) -> Iterator[str]:
    """A three-phase trunk with laterals of one to three phases, three to five buses each, and loads on most buses."""
    yield "New Linecode.one nphases=1 units=km rmatrix=(0.6) xmatrix=(0.8) cmatrix=(10)"
    yield "New Linecode.two nphases=2 units=km rmatrix=(0.5 | 0.1 0.5) xmatrix=(0.9 | 0.4 0.9) cmatrix=(11 | -2 11)"
    code = {1: "one", 2: "two", 3: "lc"}
    for k in range(n_trunk):
        upstream, metres = f"t{k - 1}" if k else "end", rng.uniform(5, 20)
        yield f"New Line.t{k} bus1={upstream} bus2=t{k} linecode=lc length={metres:.3f} units=m"
        phases = sorted(rng.permutation([1, 2, 3])[: rng.integers(1, 4)].tolist())
        dots = ".".join(map(str, phases))
        before = f"t{k}"
        for j in range(rng.integers(3, 6)):
            here = f"l{k}_{j}"
            yield (
                f"New Line.{here} bus1={before}.{dots} bus2={here}.{dots} phases={len(phases)} "
                f"linecode={code[len(phases)]} length={rng.uniform(20, 200):.3f} units=m"
            )
            if rng.random() < 0.7:
                yield random_load(here, here, phases, 6.0, rng)
            before = here


def meshed_commands(rng: np.random.Generator, side: int = 6) -> Iterator[str]:
    """Six by six buses, with a line to each neighbour, on a street grid that the source feeds at one corner."""
    yield "New Line.corner bus1=end bus2=m0_0 linecode=lc length=0.1 units=km"
    for i in range(side):
        for j in range(side):
            for other, inside in ((f"m{i + 1}_{j}", i + 1 < side), (f"m{i}_{j + 1}", j + 1 < side)):
                if inside:
                    yield (
                        f"New Line.m{i}_{j}to{other} bus1=m{i}_{j} bus2={other} linecode=lc "
                        f"length={rng.uniform(0.05, 0.4):.3f} units=km"
                    )
            phases = sorted(rng.permutation([1, 2, 3])[: rng.integers(1, 4)].tolist())
            yield random_load(f"m{i}_{j}", f"m{i}_{j}", phases, 200.0, rng)


@pytest.mark.parametrize("shape", ["radial", "meshed"])
def test_circuits_of_other_sizes_and_shapes_agree_with_opendss(shape: str) -> None:
    rng = np.random.default_rng(6)
    case = Case.of(circuit_commands(radial_commands(230, rng) if shape == "radial" else meshed_commands(rng)))
    buses = [bus.name for bus in case.network.buses.values() if bus.phases == (1, 2, 3)]
    if shape == "radial":
        assert case.network.n_nodes > 2000
    rows = []
    for s in range(3):
        bus, other = rng.choice(buses, size=2, replace=False)
        pairs = [(1, 2), (2, 3), (3, 1)] if s else [(1,), (2,), (3,)]
        rows.append([case.port(bus, ends, (0.99, 1.01)) for ends in pairs] + [case.port(other, (1,))])
    power = 1e3 * rng.uniform(-60, 100, (4, 3)) * (1 + 0.3j)
    flow = solve_and_compare(case, rows, power)
    assert 0.85 < flow.voltage_pu.min() < flow.voltage_pu.max() < 1.05
    assert np.ptp(flow.voltage_pu[:, 0]) > 0.02


# --- a scenario's result does not depend on its neighbours


def solutions(
    name: str, which: Sequence[int], *, shared: bool, hopeless: Sequence[int] = ()
) -> tuple[np.ndarray, np.ndarray]:
    """Phasors (step, node, scenario) and iterations (step, scenario) of some of 33 scenarios over four steps."""
    feeder, case, rng = Feeder.load(name), feeder_case(name), np.random.default_rng(8)
    rows = random_sites(feeder, case, rng, 33)
    settings = [random_setting(feeder, case, rng) for _ in rows]
    powers = random_powers(feeder, rows, rng)
    steps = [powers * (1 + 0.1 * rng.normal(size=powers.shape)) for _ in range(4)]
    chosen = [rows[s] for s in which]
    width = max(len(row) for row in chosen)
    flow = BatchPowerFlow(
        jacobian_of(name), chosen, [settings[0 if shared else s] for s in which], tolerance_pu=1e-6, phasors=True
    )
    phasors, iterations = [], []
    for step in steps:
        mine = step[:width, list(which)]
        mine[:, list(hopeless)] *= 1e3
        flow.solve(mine)
        well = np.isin(np.arange(len(which)), hopeless, invert=True)
        assert flow.solved[well].all()
        assert (flow.outside | ~flow.solved)[list(hopeless)].all()
        phasors.append(flow.phasors.copy())
        iterations.append(flow.iterations.copy())
    return np.array(phasors), np.array(iterations)


@cache
def jacobian_of(name: str) -> Jacobian:
    return Jacobian(feeder_case(name).network)


@pytest.mark.parametrize("shared", [True, False], ids=["one setting", "own settings"])
@pytest.mark.parametrize("name", FEEDERS)
def test_a_scenario_is_bit_for_bit_the_same_whatever_its_neighbours(name: str, shared: bool) -> None:
    everyone = solutions(name, range(33), shared=shared)
    shuffled = np.random.default_rng(9).permutation(33).tolist()
    for which in ([7], [32], list(range(5)), list(range(3, 19)), list(range(28, 33)), shuffled):
        some = solutions(name, which, shared=shared)
        for all_of_it, part in zip(everyone, some, strict=True):
            np.testing.assert_array_equal(all_of_it[..., which], part)
    # Beside one that diverges.
    which = [4, 7, 11, 30]
    some = solutions(name, which, shared=shared, hopeless=[1])
    for all_of_it, part in zip(everyone, some, strict=True):
        np.testing.assert_array_equal(all_of_it[..., [4, 11, 30]], part[..., [0, 2, 3]])


@pytest.mark.parametrize("name", FEEDERS)
def test_lanes_of_other_taps_beside_it_leave_a_scenario_as_it_is(name: str) -> None:
    feeder, case, rng = Feeder.load(name), feeder_case(name), np.random.default_rng(10)
    rows = random_sites(feeder, case, rng, 1) * 5
    powers = [random_powers(feeder, rows, rng) for _ in range(3)]
    mine, others = random_setting(feeder, case, rng), [random_setting(feeder, case, rng) for _ in range(2)]
    runs = []
    for settings in ([mine] * 5, [mine, others[0], mine, mine, others[1]], [others[0], others[1], mine, mine, mine]):
        flow = BatchPowerFlow(jacobian_of(name), rows, settings, phasors=True)
        after = []
        for power in powers:
            flow.solve(power)
            after.append(flow.phasors[:, 2:4].copy())
        runs.append(after)
    np.testing.assert_array_equal(runs[0], runs[1])
    np.testing.assert_array_equal(runs[0], runs[2])


# --- scenarios that cannot be solved


@pytest.mark.parametrize("name", FEEDERS)
def test_a_hopeless_scenario_is_marked_and_recovers_after_a_reset(name: str) -> None:
    feeder, case = Feeder.load(name), feeder_case(name)
    rows = [[case.port(feeder.candidate_buses[-1], (p,), (0.55, 1.5)) for p in (1, 2, 3)]] * 4
    settings = [Setting()] * 4
    flow = BatchPowerFlow(case.network, rows, settings, tolerance_pu=BATCH_PU, max_iterations=60, phasors=True)
    power = 1e3 * 0.1 * PORT_KW[name] * np.ones((3, 4), dtype=complex)
    too_much = power.copy()
    too_much[:, 2] *= 1e4
    reference = Reference(case, rows)
    for asked in (power, too_much, too_much):
        flow.solve(asked)
        fine = [0, 1, 3] if asked is too_much else [0, 1, 2, 3]
        # Far below its window a load is an impedance, so there may be a solution, in which it is not served.
        assert (flow.solved & ~flow.outside).tolist() == [s in fine for s in range(4)]
        expected = reference.phasors(rows[0], power[:, 0], settings[0])
        assert (np.abs(flow.phasors[:, fine] - expected[:, None]) / case.base_v()[:, None]).max() < AGREE_PU
    flow.reset([2])
    too_much[:, 2] = 0.0
    flow.solve(too_much)
    assert flow.solved.all()
    assert np.abs(differences_pu(case, flow, rows, settings, too_much, reference)).max() < AGREE_PU


def test_a_batch_without_any_port_is_the_circuit_itself() -> None:
    case = feeder_case("ieee34")
    flow = BatchPowerFlow(case.network, [[]] * 3, [Setting()] * 3, tolerance_pu=BATCH_PU, phasors=True)
    flow.solve()
    assert flow.solved.all()
    assert np.abs((flow.phasors - case.network.start_v[:, None]) / case.base_v()[:, None]).max() < AGREE_PU


@pytest.mark.parametrize("name", FEEDERS)
def test_a_flow_at_other_load_shares_begins_near_them_and_ends_where_opendss_does(name: str) -> None:
    """Few solves for a share that moves far; lanes that are not asked for keep the shares that they were solved at."""
    feeder, case = Feeder.load(name), feeder_case(name)
    shares = np.linspace(0.3, 1.0, 16)
    flow = BatchPowerFlow(case.network, [[]] * 16, [Setting()] * 16, tolerance_pu=1e-9, phasors=True)
    circuit = Circuit(feeder.commands, tolerance=1e-10, max_iterations=500)
    circuit.finish()
    expected = []
    for share in shares:
        circuit.set_load_share(float(share))
        circuit.solve()
        expected.append(circuit.node_voltages().copy())
    flow.solve()
    at_one = flow.phasors.copy()
    flow.load_share[:] = shares
    flow.solve(tolerance_pu=1.0)
    assert (flow.iterations == 1).all()
    scale = case.base_v()[:, None]
    left, moved = (np.abs((v - np.array(expected).T) / scale).max(axis=0) for v in (flow.phasors, at_one))
    assert (left[:-1] < 0.2 * moved[:-1]).all(), "one solve finds most of the way"
    flow.solve()
    assert flow.solved.all()
    assert np.abs((flow.phasors - np.array(expected).T) / scale).max() < AGREE_PU
    first = flow.phasors[:, :8].copy()
    flow.load_share[:] = shares[::-1]
    flow.solve_again(np.arange(8, 16))
    assert (flow.phasors[:, :8] == first).all()
    flow.load_share[:] = np.concatenate([shares[:8], shares[:8][::-1]])
    flow.solve()
    assert (flow.iterations[:8] == 1).all(), "nothing has changed there"
    assert np.abs(flow.phasors[:, :8] - first).max() < 1e-9 * np.abs(first).max()
    assert np.abs(flow.phasors[:, 8:] - first[:, ::-1]).max() < 1e-7 * np.abs(first).max()
