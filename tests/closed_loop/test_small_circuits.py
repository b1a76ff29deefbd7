"""Small circuits of our own whose answers are known: what hosts how much, and between what its voltages are judged.

Every answer is held against plain OpenDSS with a constant-power site: as large as the answer's peak it keeps the
limits, 3 % larger it does not.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from limits_left_out import NO_POWER_QUALITY
from plain_opendss import LINE_TO_LINE, Pair, solve

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.service_transformer import ServiceTransformer
from g2g_opt.simulation import Engine, simulate_runs
from g2g_opt.site import sized_site
from studies.hosting_capacity.capacity import Aim, Capacity
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.hosting_capacity.work import search_aims
from studies.shared.task import TaskResult

CIRCUITS = Path(__file__).resolve().parent.parent / "circuits"
# Two minutes at full demand, then half of it.
SHORT = Scenario("short", 240, replica_share_start=1.0, replica_ramps=((120.0, 180.0, 0.5),), server_noise=0.0)
ENGINES: tuple[Engine, Engine] = ("batch", "opendss")
TO_GROUND = ((1, 0), (2, 0), (3, 0))


@dataclass(frozen=True)
class Case:
    """A circuit, a bus, the largest constant site there (kW) by OpenDSS alone, and what is judged."""

    name: str
    bus: str
    kw: float
    pairs: tuple[Pair, ...]
    connection: str = "wye"
    low_pu: float = 0.95
    loading_max_pu: float | None = None
    below: float = 0.03
    neutral: int = 0

    @property
    def master(self) -> Path:
        return CIRCUITS / f"{self.name}.dss"

    @property
    def study(self) -> HostingCapacityStudy:
        # What the hand figures are of: the band and the ratings.
        limits = Limits(
            voltage_min_pu=self.low_pu,
            violation_time_share_max=0.0,
            loading_max_pu=self.loading_max_pu,
            **NO_POWER_QUALITY,
        )
        return HostingCapacityStudy(
            feeder=str(self.master),
            buses=(self.bus,),
            operations=("firm",),
            scenario=SHORT,
            limits=limits,
            taps="optimised",
            ladder=False,
        )


def at(pairs: tuple[tuple[int, int], ...], *buses: str) -> tuple[Pair, ...]:
    return tuple((bus, first, second) for bus in buses for first, second in pairs)


WIRES = at(LINE_TO_LINE, "mid", "end")
DELTA = at(LINE_TO_LINE, "head", "mid", "far")
SPLIT = (*at(TO_GROUND, "p"), *at(((1, 3), (2, 3)), "s", "h"))
SERIES = at(TO_GROUND, "a", "b", "c")
FOUR_WIRE = at(((1, 4), (2, 4), (3, 4)), "low", "mid", "end")
OPEN = (*at(TO_GROUND, "a"), *at(((1, 0), (3, 0)), "b"))
TAPPED = at(TO_GROUND, "head", "mid", "far")
RATED = at(TO_GROUND, "head", "mid", "far", "vfar")
CASES = (
    Case("delta3wire", "end", 925.0, WIRES, "delta"),
    Case("delta3wire", "mid", 1467.0, WIRES, "delta"),
    Case("n1_deltasecondary", "mid", 4005.0, DELTA, "delta", low_pu=0.90),
    # Leg h.1 binds, at 0.95 pu to the neutral of its bus (to ground it would be 2,771 kW).
    Case("split_phase", "p", 2577.0, SPLIT),
    Case("series_cap", "a", 1880.0, SERIES),
    Case("series_cap", "b", 3137.0, SERIES),
    Case("series_cap", "c", 1373.0, SERIES),
    Case("four_wire", "end", 786.9, FOUR_WIRE, low_pu=0.92, neutral=4),
    Case("open_conductor", "a", 1849.0, OPEN),
    # The changer is on winding 1, and its lowest tap the highest voltage.
    Case("a4_heavy_tapwdg1", "mid", 3564.0, TAPPED),
    Case("a5_equiv_wdg2", "mid", 3277.0, TAPPED),
    # At 0.95, the lowest tap at which half of it keeps `head` below 1.05 pu; a site of 1 kW would not.
    Case("a1_tapwinding", "mid", 6054.0, TAPPED),
    # Its customers lie between two phases, and one voltage of them binds.
    Case("unbalanced", "end", 4315.0, at(TO_GROUND, "end")),
    # Three changers of one phase; a server is 6 kW.
    Case("ieee13_published", "671", 172.0, (*at(TO_GROUND, "rg60", "671", "675"), ("611", 3, 0)), below=0.05),
    # Ratings: an autotransformer's, a transformer's of the same place, 400 A that are stated, 110 % of nameplate. The
    # first two are for the tap that loads them least inside the band, 1.0375.
    Case("k9_autotrans_over", "vfar", 525.0, RATED, loading_max_pu=1.0),
    Case("k8_trans_rating", "vfar", 337.0, RATED, loading_max_pu=1.0),
    Case("rated_400", "a", 7864.0, at(TO_GROUND, "a"), loading_max_pu=1.0),
    Case("transformer_4000kva", "a", 3266.0, at(TO_GROUND, "a"), loading_max_pu=1.0),
)
NAMES = [f"{case.name}-{case.bus}" for case in CASES]


@lru_cache
def capacity_of(case: Case) -> Capacity:
    study = case.study
    (found,) = search_aims(study, {Aim((case.bus,), "firm", study.limits.throughput_share_min): None})
    return found.capacity


def peak_kw(capacity: Capacity) -> float:
    assert capacity.largest is not None
    return 1e3 * capacity.largest.summary.sites[0].power_peak_mw


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_a_small_circuit_hosts_what_openDSS_says(case: Case) -> None:
    capacity = capacity_of(case)
    assert (1.0 - case.below) * case.kw <= peak_kw(capacity) <= 1.01 * case.kw
    assert capacity.confirmed is not None
    assert capacity.confirmed.kept
    assert not capacity.rejected_below
    assert capacity.largest is not None
    assert capacity.largest.outcome.engine == "batch"


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_plain_openDSS_keeps_the_limits_at_the_answer_and_not_3_percent_above(case: Case) -> None:
    capacity = capacity_of(case)
    assert capacity.largest is not None
    regulators = Feeder.from_dss(case.master).regulators
    taps = {(regulators[n].transformer, regulators[n].winding): ratio for n, ratio in capacity.largest.taps}

    def keeps(kw: float, by_phase: tuple[float, ...] = (1 / 3, 1 / 3, 1 / 3)) -> bool:
        a, b, c = (kw * share for share in by_phase)
        solved = solve(case.master, case.bus, (a, b, c), case.connection, taps, neutral=case.neutral)
        inside = solved.lowest_pu(case.pairs) >= case.low_pu and solved.highest_pu(case.pairs) <= 1.05
        most = case.loading_max_pu
        return inside and (most is None or max(solved.loading.values()) <= most)

    assert keeps(peak_kw(capacity))
    if capacity.n_servers > 33:
        assert not keeps(1.03 * peak_kw(capacity))
        return
    # One server more is the least there is, and a phase has one more than the others.
    refused = next(size for size in capacity.judged if size.n_servers == capacity.n_rejected)
    servers = np.array([refused.n_servers // 3 + (k < refused.n_servers % 3) for k in range(3)])
    by_phase = [tuple(np.roll(servers, k) / servers.sum()) for k in range(3)]
    assert not all(keeps(1e3 * refused.outcome.summary.power_peak_mw, shares) for shares in by_phase)


# Where voltages are judged from phase to phase: behind delta windings, and on three wires.
THREE_WIRE = {"delta3wire": ("lv", "mid", "end"), "n1_deltasecondary": ("head", "mid", "far")}
NEUTRALS = {"split_phase": {"s": 3, "h": 3}, "four_wire": {"low": 4, "mid": 4, "end": 4}}
SOURCES = ("hv", "grid", "src", "source", "sourcebus")


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_at_the_answer_every_energised_node_and_every_rated_element_is_what_plain_openDSS_says(case: Case) -> None:
    """Not only the places that bind: nothing that is under voltage or carries current is passed over."""
    capacity = capacity_of(case)
    assert capacity.largest is not None
    regulators = Feeder.from_dss(case.master).regulators
    taps = {(regulators[n].transformer, regulators[n].winding): ratio for n, ratio in capacity.largest.taps}
    site = (peak_kw(capacity) / 3.0,) * 3
    solved = solve(case.master, case.bus, site, case.connection, taps, neutral=case.neutral)
    pairs = solved.every_pair(THREE_WIRE.get(case.name, ()), NEUTRALS.get(case.name, {}), SOURCES)
    assert {(bus, n) for bus, n, _ in pairs} == set(capacity.largest.summary.nodes)
    assert solved.lowest_pu(pairs) >= case.low_pu - 1e-4
    assert solved.highest_pu(pairs) <= 1.05 + 1e-4
    summary = capacity.largest.summary
    told = dict(zip(summary.branches, summary.loading_pu.tolist(), strict=True))
    states_400 = "normamps=400" in case.master.read_text().lower()
    # OpenDSS's own 400 A of a line judge nothing.
    rated = {
        name: share
        for name, share in solved.loading.items()
        if states_400 or not (name.startswith("line.") and solved.rating_a[name] == 400.0)
    }
    assert told.keys() == rated.keys()
    for name, share in rated.items():
        # The site's own power lies on its phases a little unevenly.
        assert told[name] == pytest.approx(share, rel=0.03, abs=2e-3), name
        assert case.loading_max_pu is None or share <= case.loading_max_pu + 5e-3


def test_every_circuit_here_is_checked_at_its_answer() -> None:
    """But for one that hosts nothing (below), one whose bank acts by itself (test_gaps_below), and one with two
    solutions (test_base_case).
    """
    others = {"d3_seriescap_over", "f1_capcontrol", "cvr_edge"}
    assert {path.stem for path in CIRCUITS.glob("*.dss")} == {case.name for case in CASES} | others


def test_an_overcompensated_line_hosts_nothing_because_a_customer_behind_it_is_too_high_or_another_too_low() -> None:
    case = Case("d3_seriescap_over", "mid", 0.0, at(TO_GROUND, "head", "mid", "far", "post"))
    capacity = capacity_of(case)
    assert capacity.largest is None
    for step in range(33):
        solved = solve(case.master, taps={("sub", 2): 0.9 + 0.00625 * step})
        assert solved.lowest_pu(case.pairs) < 0.95 or solved.highest_pu(case.pairs) > 1.05


@pytest.mark.parametrize("case", CASES, ids=NAMES)
def test_both_engines_judge_the_same_voltages(case: Case) -> None:
    study, feeder = case.study, Feeder.from_dss(case.master)
    site = sized_site("site", case.bus, study.load_models(), 6, study.base_kw_per_gpu)
    (batch,), (alone,) = (
        simulate_runs([(Plan((site,)), SHORT)], feeder, study.limits, engine=engine) for engine in ENGINES
    )
    assert (batch.engine, alone.engine) == ENGINES
    assert batch.summary.nodes == alone.summary.nodes
    np.testing.assert_allclose(batch.summary.lowest_pu, alone.summary.lowest_pu, rtol=0, atol=2e-6)
    np.testing.assert_allclose(batch.summary.highest_pu, alone.summary.highest_pu, rtol=0, atol=2e-6)
    judged = {(bus, first) for bus, first, _ in case.pairs}
    assert judged <= set(batch.summary.nodes)
    # Nothing else but the source's bus and buses upstream; no neutral.
    assert not {("s", 3), ("h", 3)} & set(batch.summary.nodes)


def test_a_bus_left_out_by_name_binds_no_longer() -> None:
    """Without the 120 V legs the limit is that of the line itself."""
    case = CASES[NAMES.index("split_phase-p")]
    study = HostingCapacityStudy(**{**vars(case.study), "exclude_buses": ("H", "s")})
    (found,) = search_aims(study, {Aim(("p",), "firm", 0.5): None})
    alone = at(TO_GROUND, "p")
    kw = peak_kw(found.capacity)
    assert kw > 1.2 * peak_kw(capacity_of(case))
    assert solve(case.master, "p", (kw / 3.0,) * 3).lowest_pu(alone) >= 0.95
    assert solve(case.master, "p", (1.03 * kw / 3.0,) * 3).lowest_pu(alone) < 0.95
    with pytest.raises(InputError, match=r"bus 'nowhere' not found"):
        HostingCapacityStudy(**{**vars(case.study), "exclude_buses": ("nowhere",)}).check()


def test_a_wye_site_is_refused_where_no_zero_sequence_current_can_flow() -> None:
    case = CASES[0]
    with pytest.raises(InputError, match=r"wye at bus end: the circuit has no path for zero-sequence current"):
        HostingCapacityStudy(**{**vars(case.study), "connection": "wye"}).check()


@pytest.mark.parametrize("bus", ["s", "h"])
def test_a_site_on_a_120_240_v_service_lies_between_its_legs(bus: str) -> None:
    """The 50 kVA transformer's secondary drops some 8 % at 15 kW and more; plain OpenDSS says where 0.94 pu is left."""
    case = Case("split_phase", bus, 0.0, SPLIT, "legs", low_pu=0.94)
    study = HostingCapacityStudy(**{**vars(case.study), "models": ("llama-3.1-8b",), "base_kw_per_gpu": 0.02})
    (found,) = search_aims(study, {Aim((bus,), "firm", study.limits.throughput_share_min): None})
    capacity = found.capacity
    assert capacity.largest is not None
    assert capacity.n_rejected == capacity.n_servers + 1
    figures = capacity.largest.summary
    kw = 1e3 * figures.sites[0].power_peak_mw
    assert solve(case.master, bus, (kw / 3.0,) * 3, "legs").lowest_pu(SPLIT) == pytest.approx(figures.lowest, abs=2e-5)
    above = kw * capacity.n_rejected / capacity.n_servers
    assert solve(case.master, bus, (above / 3.0,) * 3, "legs").lowest_pu(SPLIT) < case.low_pu
    assert capacity.confirmed is not None
    assert capacity.confirmed.kept


def test_a_site_at_one_phase_lies_between_it_and_the_neutral(tmp_path: Path) -> None:
    tail = "New Line.tail bus1=c.2 bus2=d.2 phases=1 units=km length=2 r1=0.4 x1=0.8 normamps=200"
    path = tmp_path / "tail.dss"
    path.write_text((CIRCUITS / "series_cap.dss").read_text().replace("Set VoltageBases", f"{tail}\nSet VoltageBases"))
    study = HostingCapacityStudy(**{**vars(Case("series_cap", "d", 0.0, SERIES).study), "feeder": str(path)})
    (found,) = search_aims(study, {Aim(("d",), "firm", study.limits.throughput_share_min): None})
    capacity = found.capacity
    assert capacity.largest is not None
    kw = 1e3 * capacity.largest.summary.sites[0].power_peak_mw
    judged = (*SERIES, ("d", 2, 0))

    def lowest_pu(size_kw: float) -> float:
        return solve(path, "d", (0.0, size_kw, 0.0)).lowest_pu(judged)

    assert lowest_pu(kw) >= 0.95
    assert lowest_pu(1.03 * kw) < 0.95
    with pytest.raises(InputError, match="between its one phase and the neutral at bus d"):
        HostingCapacityStudy(**{**vars(study), "buses": ("d",), "connection": "delta"}).check()


def test_a_rating_that_nobody_stated_decides_no_answer_and_is_listed(tmp_path: Path) -> None:
    text = (CIRCUITS / "rated_400.dss").read_text()
    answers, limits = {}, {}
    for name, change in (("stated", ""), ("unstated", " normamps=400 emergamps=480")):
        path = tmp_path / f"{name}.dss"
        path.write_text(text.replace(change, "") if change else text)
        study = HostingCapacityStudy(
            **{**vars(CASES[NAMES.index("rated_400-a")].study), "feeder": str(path), "power_max_mw": 12.0}
        )
        (task,) = study.tasks("capacities", [])
        conclusion = study.conclude([TaskResult(task, study.run(task, lambda done, words: None))])
        answers[name] = "\n".join(conclusion.not_assessed)
        (row,) = conclusion.tables[0].rows
        limits[name] = row["limit"], str(row["limit_where"])
    assert limits["stated"][0] == "loading"
    assert limits["stated"][1].startswith("line.l1.")
    assert "loading" not in limits["unstated"][0]
    assert "since nobody stated a rating" not in answers["stated"]
    assert "not judged, since nobody stated a rating: the loading of 1 of 1 elements: line.l1" in answers["unstated"]


@pytest.mark.parametrize(
    ("name", "bus", "pairs", "group", "low_pu", "connection"),
    [
        ("delta3wire", "end", WIRES, "Dyn", 0.95, "wye"),
        ("delta3wire", "end", WIRES, "Dd", 0.95, "delta"),
        ("series_cap", "a", SERIES, "YNyn", 0.95, "wye"),
        ("four_wire", "end", FOUR_WIRE, "YNyn", 0.92, "wye"),
    ],
)
def test_a_site_may_have_a_transformer_of_its_own(
    tmp_path: Path, name: str, bus: str, pairs: tuple[Pair, ...], group: str, low_pu: float, connection: str
) -> None:
    """Confirmed by plain OpenDSS on a circuit file with the same transformer in it."""
    case = Case(name, bus, 0.0, pairs, low_pu=low_pu)
    service = ServiceTransformer(kva=2500.0, z_percent=6.0, load_loss_percent=1.0, kv=0.6, group=group)  # type: ignore[arg-type]
    study = HostingCapacityStudy(**{**vars(case.study), "service": service})
    study.check()
    (found,) = search_aims(study, {Aim((bus,), "firm", study.limits.throughput_share_min): None})
    capacity = found.capacity
    assert capacity.largest is not None
    assert capacity.largest.outcome.engine == "batch"
    assert capacity.confirmed is not None
    assert capacity.confirmed.kept
    kw = 1e3 * capacity.largest.summary.sites[0].power_peak_mw
    kv = {"delta3wire": 4.8, "series_cap": 25, "four_wire": 0.4}[name]
    first, second = service.connections
    place = f"{bus}.1.2.3.4" if name == "four_wire" else bus
    transformer = (
        f"New Transformer.campus phases=3 windings=2 xhl={35.0**0.5:.9f} %loadloss=1 wdg=1 bus={place} conn={first} "
        f"kv={kv} kva=2500 wdg=2 bus=campus conn={second} kv=0.6 kva=2500"
    )
    lines = case.master.read_text().replace("Set VoltageBases=[", f"{transformer}\nSet VoltageBases=[0.6 ")
    path = tmp_path / "with_campus.dss"
    path.write_text(lines)

    def lowest_pu(size_kw: float) -> float:
        return solve(path, "campus", (size_kw / 3.0,) * 3, connection).lowest_pu(pairs)

    assert lowest_pu(kw) >= low_pu - 2e-4
    assert lowest_pu(1.03 * kw) < low_pu
    # Its reactance makes the site's draw at the bus a little larger than without it.
    assert kw <= peak_kw(capacity_of(next(c for c in CASES if (c.name, c.bus) == (name, bus))))


def test_a_service_transformer_that_the_bus_does_not_permit_is_refused() -> None:
    service = ServiceTransformer(kva=1000.0, group="YNyn")
    with pytest.raises(InputError, match="bus end has no neutral: a service transformer there is Dyn or Dd"):
        HostingCapacityStudy(**{**vars(CASES[0].study), "service": service}).check()
    with pytest.raises(InputError, match=r"must lie in \(0, 1e\+07\] kVA"):
        ServiceTransformer(kva=0.0)
    with pytest.raises(InputError, match="must be more than its load loss"):
        ServiceTransformer(kva=500.0, z_percent=0.5)


@pytest.mark.parametrize("neutral", [1, 2, 3])
def test_a_neutral_of_any_number_leaves_the_answer_as_it_is(tmp_path: Path, neutral: int) -> None:
    """The four-wire busway with its conductors numbered otherwise: the same site, and all three phases judged."""
    case = CASES[NAMES.index("four_wire-end")]
    first, second, third = (number for number in (1, 2, 3, 4) if number != neutral)
    number = {"1": first, "2": second, "3": third, "4": neutral}
    text = re.sub(
        r"\b(low|mid|end)((?:\.[1-4])+)",
        lambda found: found[1] + "".join(f".{number[n]}" for n in found[2].strip(".").split(".")),
        case.master.read_text(),
    )
    path = tmp_path / "numbered.dss"
    path.write_text(text)
    study = HostingCapacityStudy(**{**vars(case.study), "feeder": str(path)})
    (found,) = search_aims(study, {Aim(("end",), "firm", study.limits.throughput_share_min): None})
    capacity, usual = found.capacity, capacity_of(case)
    assert capacity.largest is not None
    assert (capacity.n_servers, capacity.n_rejected) == (usual.n_servers, usual.n_rejected)
    assert peak_kw(capacity) == pytest.approx(peak_kw(usual), rel=1e-9)
    assert {(bus, n) for bus, n in capacity.largest.summary.nodes if bus != "src"} == {
        (bus, n) for bus in ("low", "mid", "end") for n in (first, second, third)
    }
    assert capacity.largest.outcome.engine == "batch"
    assert capacity.confirmed is not None
    assert capacity.confirmed.summary.lowest == pytest.approx(usual.confirmed.summary.lowest, abs=1e-7)  # type: ignore[union-attr]
