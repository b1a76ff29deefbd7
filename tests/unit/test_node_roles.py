"""Who is energised, what is a neutral, and between what a voltage is judged: from admittances and sources alone."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.circuit.node_roles import classify_buses
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.parts import Bus
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_description import describe_feeder, unassessed_notes
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate_runs
from g2g_opt.site import sized_site
from studies.hosting_capacity.study import HostingCapacityStudy

ENGINES: tuple[Engine, Engine] = ("batch", "opendss")

CIRCUITS = Path(__file__).parent.parent / "circuits"
LINE = "units=km length=1 r1=0.3 x1=0.5 r0=0.7 x0=1.6"


def buses_of(body: Iterable[str], bases: str = "12.47", source: str = "MVAsc3=200 MVAsc1=150") -> dict[str, Bus]:
    commands = (
        f"New Circuit.small bus1=src basekv=12.47 {source}",
        *body,
        f"Set VoltageBases=[{bases}]",
        "CalcVoltageBases",
    )
    circuit = Circuit(commands)
    circuit.finish()
    return classify_buses(circuit)


def feeder(name: str) -> Feeder:
    return Feeder.from_dss(CIRCUITS / f"{name}.dss")


@pytest.mark.parametrize(
    ("link", "served"),
    [
        ("New Line.l bus1=src bus2=b " + LINE, True),
        ("New Reactor.l bus1=src bus2=b R=0.1 X=1", True),
        ("New Capacitor.l bus1=src bus2=b kvar=9000 kv=8", True),
        ("New Transformer.l buses=(src b) kvs=(12.47 12.47) kvas=(5000 5000) xhl=5", True),
        ("New AutoTrans.l buses=[src b] kvs=[12.47 12] kvas=[5000 5000] xhx=5", True),
        ("New Fault.l bus1=src bus2=b phases=3 r=0.01", True),
        ("New Vsource.two bus1=b basekv=12.47 MVAsc3=200 MVAsc1=150", True),
        ("New Line.l bus1=src bus2=b enabled=no " + LINE, False),
        ("New Vsource.two bus1=b basekv=12.47 enabled=no", False),
        ("New Generator.g bus1=b kv=12.47 kw=300 model=1", False),
        ("New Load.bridge bus1=src.1.2 phases=1 conn=delta kv=12.47 kw=5", False),
    ],
)
def test_a_bus_is_served_if_admittances_lead_from_it_to_a_source(link: str, served: bool) -> None:
    buses = buses_of([link, "New Line.on bus1=b bus2=c " + LINE, "New Load.d bus1=c kv=12.47 kw=300"])
    for name in ("b", "c"):
        assert buses[name].phases == ((1, 2, 3) if served else ())
        assert buses[name].unserved == (() if served else (1, 2, 3))


@pytest.mark.parametrize("terminal", [1, 2])
@pytest.mark.parametrize(
    "load", ["New Load.d bus1=c kv=12.47 kw=300", "New Load.d bus1=c.1 phases=1 kv=7.2 kw=100", ""]
)
def test_one_open_conductor_leaves_the_other_phases_served(terminal: int, load: str) -> None:
    body = ["New Line.first bus1=src bus2=b " + LINE, "New Line.on bus1=b bus2=c " + LINE, load]
    tail = "New Line.lateral bus1=c.2 bus2=d.2 phases=1 units=km length=1 r1=0.4 x1=0.7"
    buses = buses_of([*body, tail, "New Load.e bus1=d.2 phases=1 kv=7.2 kw=50", f"Open Line.first {terminal} 2"])
    assert buses["src"].phases == (1, 2, 3)
    for name in ("b", "c"):
        assert (buses[name].phases, buses[name].unserved) == ((1, 3), (2,))
    assert (buses["d"].phases, buses["d"].unserved) == ((), (2,))


def test_the_customers_behind_an_open_conductor_are_listed(tmp_path: Path) -> None:
    text = (CIRCUITS / "series_cap.dss").read_text().replace("Solve", "Open Line.l2 1 2\nSolve")
    text = text.replace("New Load.d", "New Load.e bus1=c.2 phases=1 kv=14.4 kw=200\nNew Load.d")
    path = tmp_path / "open.dss"
    path.write_text(text)
    found = Feeder.from_dss(path)
    assert found.bus("c").phases == (1, 3)
    assert found.unassessed_loads() == {"c": 3200.0}
    assert "c" not in found.candidate_buses


def test_a_series_capacitor_connects() -> None:
    assert feeder("series_cap").isolated_buses == ()
    assert feeder("series_cap").candidate_buses == ("a", "b", "c")
    assert feeder("d3_seriescap_over").isolated_buses == ()


def test_a_neutral_numbered_three_is_no_phase() -> None:
    found = feeder("split_phase")
    for name in ("s", "h"):
        bus = found.bus(name)
        assert (bus.phases, bus.neutral, bus.three_wire, bus.unserved) == ((1, 2), 3, False, ())
        assert bus.judged_pairs() == ((1, 3), (2, 3))
    assert found.candidate_buses == ("p",)


@pytest.mark.parametrize(
    ("name", "three_wire"), [("delta3wire", ("lv", "mid", "end")), ("n1_deltasecondary", ("head", "mid", "far"))]
)
def test_an_ungrounded_winding_leaves_three_wires(name: str, three_wire: tuple[str, ...]) -> None:
    found = feeder(name)
    assert {bus.name for bus in found.buses.values() if bus.three_wire} == set(three_wire)
    assert found.bus(three_wire[1]).judged_pairs() == ((1, 2), (2, 3), (3, 1))


FLOATING_STAR = (
    "New Transformer.t phases=3 windings=2 xhl=4 wdg=1 bus=src conn=delta kv=12.47 kva=500 "
    "wdg=2 bus=low.1.2.3.4 conn=wye kv=0.48 kva=500"
)
SECONDARY = "New Line.s bus1=low bus2=end units=km length=0.05 r1=0.2 x1=0.1 r0=0.6 x0=0.4"
CABLE = "New Line.c bus1=mid bus2=far units=km length=40 r1=0.1 x1=0.1 r0=0.3 x0=0.3 c1=400 c0=400"


@pytest.mark.parametrize(
    ("body", "bases", "three_wire"),
    [
        # The winding at the bus decides, not that of the source.
        (
            ["New Transformer.t buses=(src low) conns=(delta wye) kvs=(12.47 0.48) kvas=(500 500) xhl=4", SECONDARY],
            "12.47 0.48",
            False,
        ),
        (
            ["New Transformer.t buses=(src low) conns=(wye delta) kvs=(12.47 0.48) kvas=(500 500) xhl=4", SECONDARY],
            "12.47 0.48",
            True,
        ),
        # A wye whose star point is left floating is no path either, where its fourth wire does not go.
        ([FLOATING_STAR, SECONDARY], "12.47 0.48", True),
        # A zigzag's ground is.
        (
            [
                "New Transformer.t buses=(src low) conns=(wye delta) kvs=(12.47 0.48) kvas=(500 500) xhl=4",
                SECONDARY,
                "New Reactor.ground bus1=low phases=3 R=0 X=100",
                "New Transformer.z buses=(low none) conns=(wye delta) kvs=(0.48 0.48) kvas=(100 100) xhl=4",
            ],
            "12.47 0.48",
            False,
        ),
    ],
    ids=["delta-wye", "wye-delta", "floating star", "grounding transformer"],
)
def test_three_wires_are_told_by_the_path_of_zero_sequence_current(
    body: list[str], bases: str, three_wire: bool
) -> None:
    buses = buses_of([*body, "New Load.d bus1=end conn=delta kv=0.48 kw=60"], bases)
    assert buses["end"].three_wire == three_wire
    assert buses["low"].three_wire == (three_wire and not buses["low"].neutral)
    assert not buses["src"].three_wire


def test_the_charging_of_a_cable_is_no_path() -> None:
    """40 km of cable to ground carry some amperes, and hold the voltages to ground; no load can be hung on them."""
    body = ["New Transformer.t buses=(src mid) conns=(wye delta) kvs=(12.47 12.47) kvas=(5000 5000) xhl=6", CABLE]
    buses = buses_of([*body, "New Load.d bus1=far conn=delta kv=12.47 kw=900"])
    assert buses["mid"].three_wire
    assert buses["far"].three_wire


@pytest.mark.parametrize("source", ["R1=0 X1=0.0001", "R1=0.001 X1=0.001 R0=2 X0=6"])
def test_a_stiff_source_with_an_ordinary_zero_sequence_impedance_is_a_path(source: str) -> None:
    body = ["New Line.l bus1=src bus2=b " + LINE, "New Load.d bus1=b kv=12.47 kw=900"]
    assert not any(bus.three_wire for bus in buses_of(body, source=source).values())


@pytest.mark.parametrize("earth_ohm", [0.0001, 0.5, 20.0])
def test_a_four_wire_circuit_is_judged_against_its_neutral_conductor(earth_ohm: float) -> None:
    wires = (
        "New Line.w bus1=low.1.2.3.4 bus2=end.1.2.3.4 phases=4 units=km length=0.1 "
        "rmatrix=(0.3 | 0.05 0.3 | 0.05 0.05 0.3 | 0.05 0.05 0.05 0.3) "
        "xmatrix=(0.3 | 0.2 0.3 | 0.2 0.2 0.3 | 0.2 0.2 0.2 0.3)"
    )
    body = [
        FLOATING_STAR.replace("0.48", "0.4"),
        f"New Reactor.earth bus1=low.4 phases=1 R={earth_ohm} X=0",
        wires,
        "New Load.d bus1=end.1.4 phases=1 kv=0.23 kw=20",
    ]
    for name in ("low", "end"):
        bus = buses_of(body, "12.47 0.4")[name]
        assert (bus.phases, bus.neutral, bus.three_wire) == ((1, 2, 3), 4, False)
        assert bus.judged_pairs() == ((1, 4), (2, 4), (3, 4))


def test_a_grounded_phase_is_no_neutral() -> None:
    body = [
        "New Transformer.t buses=(src low) conns=(wye delta) kvs=(12.47 0.48) kvas=(500 500) xhl=4",
        "New Reactor.corner bus1=low.3 phases=1 R=0.001 X=0",
        SECONDARY,
    ]
    buses = buses_of(body, "12.47 0.48")
    for name in ("low", "end"):
        assert (buses[name].phases, buses[name].neutral, buses[name].three_wire) == ((1, 2, 3), 0, True)


def test_a_high_leg_delta_is_judged_from_phase_to_phase() -> None:
    """120 V, 120 V and 208 V to the grounded middle of one leg are no star."""
    body = [
        "New Transformer.a phases=1 windings=3 buses=(src.1.2 low.1.0 low.0.2) conns=(delta wye wye) "
        "kvs=(12.47 0.12 0.12) kvas=(100 100 100) xhl=2 xht=2 xlt=1",
        "New Transformer.b phases=1 windings=2 buses=(src.2.3 low.2.3) conns=(delta delta) kvs=(12.47 0.24) "
        "kvas=(100 100) xhl=2",
        "New Transformer.c phases=1 windings=2 buses=(src.3.1 low.3.1) conns=(delta delta) kvs=(12.47 0.24) "
        "kvas=(100 100) xhl=2",
        "New Load.d bus1=low conn=delta kv=0.24 kw=30",
    ]
    low = buses_of(body, "12.47 0.24")["low"]
    assert (low.phases, low.three_wire) == ((1, 2, 3), True)


def test_the_bundled_feeders_have_a_neutral_everywhere_but_at_one_bus() -> None:
    for name in Feeder.known():
        found = Feeder.load(name)
        odd = {bus.name for bus in found.buses.values() if bus.three_wire or bus.neutral or bus.unserved}
        assert odd == ({"610"} if name == "ieee123" else set())
        assert not odd & (set(found.candidate_buses) - set(found.exclude_buses))


def test_customers_on_conductors_numbered_above_3_are_judged_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "double.dss"
    path.write_text(
        (CIRCUITS / "series_cap.dss")
        .read_text()
        .replace(
            "Set VoltageBases",
            "New Line.second bus1=a.1.2.3 bus2=double.11.12.13 linecode=c length=2 units=km\n"
            "New Load.there bus1=double.11 phases=1 kv=14.4 kw=70\nSet VoltageBases",
        )
    )
    found = Feeder.from_dss(path)
    assert (found.bus("double").phases, found.bus("double").beyond) == ((11, 12, 13), ())
    assert "double" in found.candidate_buses
    assert found.unassessed_loads() == {}
    assert "numbered above 3" not in "\n".join(describe_feeder(found))
    study = HostingCapacityStudy()
    site = sized_site("site", "double", study.load_models(), 60, study.base_kw_per_gpu)
    steady = Scenario("steady", 10, replica_share_start=1.0, replica_ramps=(), server_noise=0.0)
    runs = [simulate_runs([(Plan((site,)), steady)], found, study.limits, engine=engine)[0] for engine in ENGINES]
    assert [run.engine for run in runs] == list(ENGINES)
    for run in runs:
        assert {("double", 11), ("double", 12), ("double", 13)} <= set(run.summary.nodes)
        assert "double.11" in run.summary.node_names
    np.testing.assert_allclose(runs[0].summary.lowest_pu, runs[1].summary.lowest_pu, rtol=0, atol=1e-6)


def test_a_second_circuit_at_a_bus_is_judged_and_not_on_three_wires(tmp_path: Path) -> None:
    """Conductors 11 to 13 beside 1 to 3: against the neutral where there is one, else listed with their customers."""
    second = (
        "New Line.second bus1=a.1.2.3 bus2=b.11.12.13 linecode=c length=2 units=km\n"
        "New Load.there bus1=b.11 phases=1 kv=14.4 kw=70\nSet VoltageBases"
    )
    path = tmp_path / "shared.dss"
    path.write_text((CIRCUITS / "series_cap.dss").read_text().replace("Set VoltageBases", second))
    assert Feeder.from_dss(path).bus("b").phases == (1, 2, 3, 11, 12, 13)
    text = (CIRCUITS / "delta3wire.dss").read_text()
    code = re.search(r"linecode=(\w+)", text, re.IGNORECASE)[1]  # type: ignore[index]
    second = (
        f"New Line.second bus1=mid.1.2.3 bus2=end.11.12.13 linecode={code} length=0.2 units=km\n"
        "New Load.there bus1=end.11.12 phases=1 conn=delta kv=4.8 kw=70\nSet VoltageBases"
    )
    path.write_text(text.replace("Set VoltageBases", second))
    found = Feeder.from_dss(path)
    assert (found.bus("end").phases, found.bus("end").beyond) == ((1, 2, 3), (11, 12, 13))
    assert found.unassessed_loads() == {"end": 70.0}
    assert "numbered above 3 where there is no neutral" in "\n".join(describe_feeder(found))


@pytest.mark.parametrize("earth", ["earth.1", "earth.4", "earth.2.3"])
def test_a_bus_of_conductors_to_earth_alone_has_no_phases(earth: str) -> None:
    """Where a neutral leads to an electrode at a bus of its own, which carries current and so stands at some volts."""
    nodes = earth.split(".")[1:]
    buses = buses_of(
        [
            "New Transformer.t phases=3 windings=2 buses=(src low.1.2.3.4) conns=(delta wye) kvs=(12.47 0.48) "
            "kvas=(300 300)",
            *(f"New Line.n{n} phases=1 bus1=low.4 bus2=earth.{n} r1=2 x1=0.1 c1=0 length=1" for n in nodes),
            *(f"New Reactor.e{n} phases=1 bus1=earth.{n} r=5 x=0.01" for n in nodes),
            "New Load.a phases=1 bus1=low.1.4 kv=0.277 kw=60",
        ],
        bases="12.47 0.48",
    )
    assert buses["earth"].phases == buses["earth"].unserved == ()
    assert buses["earth"].judged_pairs() == ()
    assert buses["earth"].neutral == int(nodes[0])
    assert (buses["low"].phases, buses["low"].neutral) == ((1, 2, 3), 4)


@pytest.mark.parametrize(
    ("bases", "kv"), [("12.47 0.208", 0.24), ("12.47 0.24", 0.24), ("12.47 0.12 0.208 0.24", 0.24)]
)
def test_a_service_with_a_high_leg_is_judged_at_240_volts(bases: str, kv: float) -> None:
    """120, 120 and 208 V to the neutral, 240 V from each conductor to each other."""
    found = buses_of(
        [
            "New Transformer.lighting phases=1 windings=3 buses=(src.1.0 low.1.0 low.0.2) kvs=(7.2 0.12 0.12) "
            "kvas=(50 50 50) xhl=2 xht=2 xlt=1.3",
            "New Transformer.power phases=1 windings=2 buses=(src.2.0 low.2.3) kvs=(7.2 0.24) kvas=(25 25) xhl=2",
            "New Load.a phases=1 bus1=low.1 kv=0.12 kw=10",
            "New Load.b phases=3 bus1=low.1.2.3 conn=delta kv=0.24 kw=20",
        ],
        bases,
    )["low"]
    assert (found.phases, found.three_wire) == ((1, 2, 3), True)
    assert found.kv_between_phases == pytest.approx(0.24, rel=2e-3)


@pytest.mark.parametrize("ohm", [0.5, 20.0])
def test_a_bus_earthed_through_an_impedance_says_how_many_times_its_zero_sequence_is(ohm: float) -> None:
    """By hand: z1 of 5 km of line, of the transformer (1.3j) and of the source (0.78j); z0 of the line, the
    transformer and three times the resistance.
    """
    buses = buses_of(
        (
            "New Transformer.t buses=(src low.1.2.3.4) conns=(delta wye) kvs=(12.47 12.47) kvas=(9000 9000) xhl=7.5",
            f"New Reactor.earth phases=1 bus1=low.4 bus2=low.0 R={ohm} X=0",
            "New Line.l bus1=low bus2=end length=5 units=km r1=0.3 x1=0.5 r0=0.7 x0=1.6",
            "New Load.own bus1=end kv=12.47 kw=600",
        )
    )
    assert not buses["end"].three_wire
    z1, z0 = complex(1.5, 2.5 + 1.3 + 0.78), complex(3 * ohm + 3.5, 8.0 + 1.3)
    expected = abs(z0) / abs(z1) if ohm > 1.0 else 0.0
    assert buses["end"].zero_over_positive == pytest.approx(expected, rel=0.03)


def test_what_uneven_phases_do_behind_an_earthing_impedance_is_told(tmp_path: Path) -> None:
    path = tmp_path / "resistance.dss"
    path.write_text(
        "New Circuit.small bus1=src basekv=12.47 MVAsc3=200 MVAsc1=150\n"
        "New Transformer.t buses=(src low.1.2.3.4) conns=(delta wye) kvs=(12.47 12.47) kvas=(9000 9000) xhl=7.5\n"
        "New Reactor.earth phases=1 bus1=low.4 bus2=low.0 R=20 X=0\n"
        f"New Line.l bus1=low bus2=end {LINE}\nNew Load.own bus1=end kv=12.47 kw=600\n"
        "Set VoltageBases=[12.47]\nCalcVoltageBases\n"
    )
    (told,) = [words for words in unassessed_notes(Feeder.from_dss(path)) if "zero-sequence" in words]
    assert told.startswith("earthed through an impedance (zero-sequence 23 times the positive one")
    assert told.endswith("at end")
