"""The base case: figures against OpenDSS's own through OpenDSSDirect.py, distances by hand, words for planners."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opendssdirect
import pytest
from limits_left_out import NO_POWER_QUALITY

from g2g_opt.base_case import base_case_words, solve_base_case
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.scenario import Scenario
from studies.cli import main
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.report.distance_chart import distance_chart
from studies.shared.base_case_note import with_base_case_note
from studies.shared.conclusion import Conclusion, Envelope
from studies.shared.task import TaskResult

CIRCUITS = Path(__file__).parents[1] / "circuits"
TWO_LINES = """Clear
New Circuit.two basekv=12.47 bus1=head mvasc3=500 mvasc1=500
New Line.a bus1=head bus2=mid r1=0.3 x1=0.6 normamps=300 length=2 units=mi
New Line.b bus1=mid bus2=end r1=0.3 x1=0.6 normamps=300 length=500 units=m
New Line.loop bus1=head bus2=end r1=3 x1=6 normamps=300 length=20 units=kft
New Line.open bus1=end bus2=far length=1 units=km enabled=no
New Load.l bus1=end kv=12.47 kw=4000 pf=0.95
Set VoltageBases=[12.47]
CalcVoltageBases
"""


WEAK = """New Circuit.weak basekv=12.47 bus1=head mvasc3=5000 mvasc1=5000
New Line.a bus1=head bus2=end r1=0.3 x1=0.6 c1=0 c0=0 normamps=900 length=10 units=km
New Load.l bus1=end kv=12.47 kw=9000 pf=0.95 model=2
Set VoltageBases=[12.47]
CalcVoltageBases
"""


def own(folder: Path, text: str) -> Feeder:
    path = folder / "own.dss"
    path.write_text(text)
    return Feeder.from_dss(path)


def test_the_base_case_is_the_solution_that_opendss_finds(tmp_path: Path) -> None:
    base = solve_base_case(own(tmp_path, TWO_LINES))
    for line in TWO_LINES.splitlines():
        opendssdirect.Text.Command(line)
    opendssdirect.Text.Command("Set tolerance=1e-9")
    opendssdirect.Text.Command("Solve")
    theirs = dict(zip(opendssdirect.Circuit.AllNodeNames(), opendssdirect.Circuit.AllBusMagPu(), strict=True))
    ours = {f"{node.bus}.{node.phase}": node.voltage_pu for node in base.voltages}
    assert ours == pytest.approx({name: theirs[name] for name in ours}, abs=1e-7)
    assert {name for name in theirs if not name.startswith("head")} <= set(ours)
    assert base.source_kw == pytest.approx(-opendssdirect.Circuit.TotalPower()[0], rel=1e-6)
    assert base.losses_kw == pytest.approx(opendssdirect.Circuit.Losses()[0] / 1e3, rel=1e-5)
    amps = {}
    for name in ("line.a", "line.b", "line.loop"):
        opendssdirect.Circuit.SetActiveElement(name)
        amps[name] = max(opendssdirect.CktElement.CurrentsMagAng()[0:6:2])
    assert base.loading is not None
    assert base.loading[0] == max(amps, key=lambda name: amps[name])
    assert base.loading[1] == pytest.approx(max(amps.values()) / 300.0, rel=1e-6)


def test_a_load_level_is_that_of_all_customers(tmp_path: Path) -> None:
    half = solve_base_case(own(tmp_path, TWO_LINES), 0.5)
    same = solve_base_case(own(tmp_path, TWO_LINES.replace("kw=4000", "kw=2000")))
    assert [node.voltage_pu for node in half.voltages] == pytest.approx([n.voltage_pu for n in same.voltages], abs=1e-7)
    assert main(["feeder", "ieee13", "--no-picture", "--load-level", "0.5"]) == 0


def test_distances_run_along_the_shortest_closed_way_in_kilometres(tmp_path: Path) -> None:
    base = solve_base_case(own(tmp_path, TWO_LINES))
    assert base.distance_km == pytest.approx({"head": 0.0, "mid": 2 * 1.609344, "end": 2 * 1.609344 + 0.5})
    assert base.without_unit == 0
    unitless = solve_base_case(own(tmp_path, TWO_LINES.replace(" units=mi", "")))
    assert unitless.without_unit == 1
    assert unitless.distance_km == pytest.approx({"head": 0.0, "mid": 2.0, "end": 2.5})


@pytest.mark.parametrize(("circuit", "n_outside"), [("n1_deltasecondary", 1), ("series_cap", 0)])
def test_a_circuit_that_breaks_a_limit_by_itself_is_said(circuit: str, n_outside: int) -> None:
    feeder = Feeder.from_dss(CIRCUITS / f"{circuit}.dss")
    base = solve_base_case(feeder)
    assert len(base.outside(Limits())) == n_outside
    words = base_case_words(feeder, base, Limits())[-1]
    assert words.startswith("without a site " + ("the circuit already breaks a limit" if n_outside else "all limits"))
    if n_outside:
        # 0.9480 pu line to line at `far` in OpenDSS.
        assert "far." in words


def test_a_wrong_base_is_called_implausible(tmp_path: Path) -> None:
    feeder = own(tmp_path, TWO_LINES.replace("VoltageBases=[12.47]", "VoltageBases=[33]"))
    base = solve_base_case(feeder)
    assert len(base.implausible) == len(base.voltages)
    wrong = "a voltage base (or an impedance or a load) must be another"
    assert any(wrong in words for words in base_case_words(feeder, base, Limits()))


@pytest.mark.parametrize(
    ("bases", "there", "pu", "named"),
    [
        # Legs of 120 V on a base of 0.24 kV, and 240 V to ground on one of 0.48 kV: OpenDSS takes the nearest.
        ("12.47 0.24", "x.1.0 x.0.2|0.12 0.12", 0.866, "transformer.service is at "),
        ("12.47 0.48", "x.1.0|0.24", 0.866, "transformer.service is at "),
        ("12.47 0.208", "x.1.0 x.0.2|0.12 0.12", 1.0, ""),
        ("12.47 0.4157", "x.1.0|0.24", 1.0, ""),
    ],
)
def test_a_base_that_nothing_at_its_bus_is_rated_for_is_named(
    tmp_path: Path, bases: str, there: str, pu: float, named: str
) -> None:
    """Both stand at 0.99 of what they are rated for; a planner who gets 0 MW for it has to be told why."""
    ends, kvs = there.split("|")
    n = len(kvs.split())
    windings = f"windings={n + 1} buses=(mid.1.0 {ends}) kvs=(7.2 {kvs}) kvas=({'50 ' * (n + 1)}) xhl=2 xht=2 xlt=1.4"
    service = f"New Transformer.service phases=1 {windings}\nNew Load.legs phases=1 bus1=x.1 kv=0.12 kw=1"
    if n == 1:
        service = service.replace("kv=0.12", "kv=0.24")
    text = TWO_LINES.replace("kw=4000", "kw=40")
    text = text.replace("Set VoltageBases=[12.47]", f"{service}\nSet VoltageBases=[{bases}]")
    base = solve_base_case(own(tmp_path, text))
    assert next(node.voltage_pu for node in base.voltages if node.bus == "x") == pytest.approx(0.99 * pu, abs=0.01)
    words = base.breaks(Limits())
    assert ("x (" + named in words) if named else not words
    assert set(base.rated_otherwise) == ({"x"} if named else set())
    question = HostingCapacityStudy(feeder=str(tmp_path / "own.dss"))
    told = with_base_case_note(
        Conclusion("t", "Hosts nothing.", "own", ()), question, Feeder.from_dss(tmp_path / "own.dss"), base
    )
    assert told.answer.startswith("1 bus outside the band with a voltage base" if named else "Hosts nothing.")


def test_a_circuit_without_a_solution_is_a_failure_and_no_number(tmp_path: Path) -> None:
    feeder = own(tmp_path, TWO_LINES.replace("kw=4000 pf=0.95", "kw=400000 pf=0.95 vminpu=0.01 vlowpu=0.001 vmaxpu=5"))
    base = solve_base_case(feeder)
    assert "no solution" in base.failure
    assert base.voltages == ()
    assert base.breaks(Limits()) == base.failure


def test_a_generator_that_holds_a_voltage_is_named_where_it_keeps_opendss_from_an_end(tmp_path: Path) -> None:
    """The load is none of the reasons: with vars of its own the same generator leaves OpenDSS its solution."""
    machine = "New Generator.g bus1=end kv=12.47 kw=1000 kva=4000 maxkvar=3000 minkvar=-3000 pvfactor=0.01"
    held = TWO_LINES.replace("Set VoltageBases", machine + " model=3\nSet VoltageBases")
    base = solve_base_case(own(tmp_path, held))
    assert "generator.g, held to a voltage (model 3)" in base.failure
    assert "beyond" not in base.failure
    assert solve_base_case(own(tmp_path, held.replace("model=3", "model=1 kvar=200"))).failure == ""


@pytest.mark.parametrize("name", ["ieee13", "ieee34", "ieee123"])
def test_bundled_feeders_begin_at_the_taps_and_source_of_their_studies(name: str) -> None:
    feeder = Feeder.load(name)
    base = solve_base_case(feeder)
    assert not base.failure
    assert {node.bus for node in base.voltages if not node.judged} <= set(feeder.exclude_buses)
    source = next(iter(feeder.buses))
    at_source = [node.voltage_pu for node in base.voltages if node.bus == source]
    assert np.mean(at_source) == pytest.approx(feeder.source_pu, abs=0.02)


def test_the_command_says_it_and_draws_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = tmp_path / "pictures" / "feeder.png"
    assert main(["feeder", str(CIRCUITS / "n1_deltasecondary.dss"), "--picture", str(picture)]) == 0
    said = capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")
    for words in ("base case, no site", "already breaks a limit", "studied as a snapshot", "can take a site"):
        assert words in said.replace("\n", " "), words
    assert main(["feeder", "ieee123", "--no-picture", "--all-buses"]) == 0
    assert capsys.readouterr().out.count(",") > 56


def test_the_chart_draws_each_phase_without_and_with_a_site_over_the_same_distances(tmp_path: Path) -> None:
    base = solve_base_case(own(tmp_path, TWO_LINES))
    envelope = Envelope("end firm", ("mid.A", "end.A", "elsewhere.B"), [0.97, 0.951, 0.9], [1.0, 0.99, 1.0], 0.95, 1.05)
    chart = distance_chart(base, 1.0, envelope, Limits())
    assert chart is not None
    assert chart.title.endswith("without a site (own load times 1, taps as studies begin) and with end firm")
    lines = {line.name: line for line in chart.lines}
    without, within = "without a site", "A with, lowest to highest"
    assert list(lines) == [f"A {without}", f"B {without}", f"C {without}", within]
    with_site = lines[within]
    assert list(with_site.x) == [pytest.approx(3.218688), pytest.approx(3.718688)]
    assert (list(with_site.low), list(with_site.y)) == ([0.97, 0.951], [1.0, 0.99])
    assert with_site.hue == lines[f"A {without}"].hue, "a phase keeps its colour"
    assert list(lines[f"B {without}"].text) == ["mid.B", "end.B"]
    assert chart.limits == (0.95, 1.05)
    (_, low, words) = chart.marked[1]
    assert (low, words) == (0.951, "end.A: lowest with"), "the weakest bus-phase is named"
    assert distance_chart(type(base)(failure="none"), 1.0, None, Limits()) is None


def test_voltages_between_phases_are_drawn_under_their_own_names() -> None:
    feeder = Feeder.from_dss(CIRCUITS / "delta3wire.dss", "delta")
    base = solve_base_case(feeder)
    delta = [node for node in base.judged if len(node.label) == 2]
    assert delta, "the circuit has buses without a neutral"
    names = tuple(node.name if k % 2 else f"{node.bus}.{'ABC'[node.phase - 1]}" for k, node in enumerate(delta))
    envelope = Envelope("x", names, [0.9] * len(names), [1.0] * len(names), 0.95, 1.05)
    chart = distance_chart(base, 1.0, envelope, Limits())
    assert chart is not None
    without = [line for line in chart.lines if not line.low]
    assert sum(len(line.x) for line in without) == len([n for n in base.judged if n.bus in (base.distance_km or {})])
    assert any("AB" in line.name for line in without)
    assert sum(len(line.x) for line in chart.lines if line.low) == len(names)


def test_where_the_circuit_is_too_low_to_serve_a_site_the_answer_names_the_circuit(tmp_path: Path) -> None:
    """Its end stands at 0.77 pu by itself, where a site's constant power ends, so that none of any size is served."""
    path = tmp_path / "weak.dss"
    path.write_text(WEAK)
    study = HostingCapacityStudy(
        feeder=str(path),
        buses=("end",),
        operations=("firm",),
        scenario=Scenario("short", 60, replica_share_start=1.0, replica_ramps=()),
        limits=Limits(loading_max_pu=None, **NO_POWER_QUALITY),
        ladder=False,
    )
    (task,) = study.tasks("capacities", [])
    answer = study.conclude([TaskResult(task, study.run(task, lambda done, words: None))]).answer
    assert "end has no answer by these limits, as the circuit breaks a limit without any site: undervoltage" in answer
    assert "hosts no site" not in answer


def test_a_bus_that_a_load_pulls_down_to_nothing_is_served_all_the_same(tmp_path: Path) -> None:
    """Ohm per metre instead of per kilometre: the end stands at 0.002 pu, and no switch is to be looked for."""
    feeder = own(tmp_path, WEAK.replace("length=10 units=km", "length=10000 units=m"))
    base = solve_base_case(feeder)
    assert feeder.buses["end"].phases == (1, 2, 3)
    assert not feeder.isolated_buses
    assert min(node.voltage_pu for node in base.voltages) < 0.1
    assert "so that a voltage base (or an impedance or a load) must be another" in base.breaks(Limits())


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (("New Circuit.weak", "! New Circuit.weak"), "You Must Create a circuit first"),
        (("length=10", "length=0"), r"line\.a has a length or an impedance of zero$"),
        (("r1=0.3 x1=0.6", "r1=0 x1=0 r0=0 x0=0"), r"line\.a has a length or an impedance of zero$"),
        (("New Load.l", "Redirect nowhere.dss\nNew Load.l"), "line 3: the file 'nowhere.dss' does not exist"),
    ],
)
def test_a_circuit_that_cannot_be_read_is_one_clear_sentence(
    tmp_path: Path, change: tuple[str, str], words: str
) -> None:
    with pytest.raises(InputError, match=words) as caught:
        own(tmp_path, WEAK.replace(*change))
    assert "\n" not in str(caught.value)


def test_customers_on_an_island_and_behind_no_source_are_named(tmp_path: Path) -> None:
    loads = "New Load.lost bus1=y kv=12.47 kw=50\nNew Load.too bus1=x kv=12.47 kw=20\n"
    head, tail = WEAK.split("Set Voltage")
    island = f"{head}New Line.far bus1=x bus2=y\n{loads}Set Voltage{tail}"
    for text, words in (
        (island, "no source serves 70 kW of customers: load lost, too"),
        (WEAK + "Edit Vsource.source enabled=no\n", "no source serves 9,000 kW of customers: load l"),
    ):
        assert words in solve_base_case(own(tmp_path, text)).breaks(Limits())


def test_a_customer_at_a_bus_that_nothing_else_names_is_answered_with_the_nearest_bus(tmp_path: Path) -> None:
    """One more letter, and OpenDSS has a bus of its own, where the customer draws nothing."""
    head, tail = WEAK.split("Set Voltage")
    own_bus = next(bus for bus in own(tmp_path, WEAK).buses if bus not in ("x", "y"))
    text = f"{head}New Load.typo bus1={own_bus}{own_bus[-1]} kv=12.47 kw=50\nSet Voltage{tail}"
    words = solve_base_case(own(tmp_path, text)).breaks(Limits())
    assert f"load typo; nothing else is at bus {own_bus}{own_bus[-1]}; did you mean {own_bus}" in words


STIFF = """Clear
New Circuit.c basekv=69 bus1=s pu=1.02 {source}
New Transformer.t buses=[s b] kvs=[69 12.47] kvas=[5000 5000] xhl=8 conns=[delta wye]
New Line.l1 bus1=b bus2=a length=1 units=km r1=.2 x1=.4 r0=.5 x0=1.1 normamps=400
New Load.a bus1=a kv=12.47 kw=300 pf=.95
New Load.b bus1=a.1 phases=1 kv=7.2 kw=100 pf=.95
New Generator.g bus1=a kv=12.47 kw=50 pf=1
Set VoltageBases=[69 12.47]
CalcVoltageBases
"""


@pytest.mark.parametrize("source", ["r1=0 x1=1e-10", "r1=0 x1=1e-9 r0=0 x0=1e-9", "mvasc3=500 mvasc1=400"])
def test_a_source_of_nearly_no_impedance_gives_what_is_drawn(tmp_path: Path, source: str) -> None:
    """Of the first OpenDSS answers a power that rounding has moved."""
    base = solve_base_case(own(tmp_path, STIFF.format(source=source)))
    assert base.source_kw == pytest.approx(350.3, abs=0.5)


@pytest.mark.parametrize(
    ("source", "sequence"),
    [
        ("r1=0 x1=0.0001 r0=0 x0=0", "zero"),
        ("r1=0.1 x1=0.5 r0=0 x0=0", "zero"),
        ("mvasc3=344 mvasc1=516", "zero"),
        ("r1=0 x1=1e-12", "positive"),
    ],
)
def test_a_source_whose_matrix_is_nearly_singular_is_refused(tmp_path: Path, source: str, sequence: str) -> None:
    """Its voltages are rounding, 1.84 pu and none in the first case, and it gave -1,003 kW to a load of 400."""
    with pytest.raises(InputError, match=rf"vsource\.source has .* ohm of {sequence}-sequence impedance"):
        own(tmp_path, STIFF.format(source=source))


# --- two solutions, and controls that do not come to rest


def test_a_second_solution_of_the_same_loads_is_told_with_the_one_that_is_taken() -> None:
    """OpenDSS by itself ends in the one where the load rises to its level, in the other where it falls to it."""
    found = []
    for begin in (0.8, 1.2):
        dss = opendssdirect.dss.NewContext()
        for line in (CIRCUITS / "cvr_edge.dss").read_text(encoding="utf-8").splitlines():
            dss.Text.Command(line)
        dss.Text.Command("Set tolerance=1e-9 maxiterations=500")
        for level in (begin, 1.0):
            dss.Text.Command(f"Set loadmult={level}")
            dss.Solution.SolveNoControl()
        dss.Circuit.SetActiveBus("end")
        found.append(dss.Bus.puVmagAngle()[0])
    base = solve_base_case(Feeder.from_dss(CIRCUITS / "cvr_edge.dss"))
    assert base.second is not None
    assert (base.second.taken_pu, base.second.other_pu) == pytest.approx((found[0], found[1]), abs=1e-6)
    assert found[0] - found[1] > 8e-4
    assert "two solutions at this load" in " ".join(
        base_case_words(Feeder.from_dss(CIRCUITS / "cvr_edge.dss"), base, Limits())
    )


def test_a_load_away_from_its_edge_has_one_solution() -> None:
    feeder = Feeder.from_dss(CIRCUITS / "cvr_edge.dss")
    assert solve_base_case(feeder, 0.7).second is None
    assert solve_base_case(Feeder.load("ieee123")).second is None


TWO_ON_ONE = """Clear
New Circuit.two basekv=33 bus1=grid mvasc3=400 mvasc1=350
New Transformer.sub phases=3 windings=2 xhl=8 buses=[grid head] conns=[delta wye] kvs=[33 11] kvas=[9000 9000]
New RegControl.low transformer=sub winding=2 vreg=118 band=2 ptratio=52.92
New RegControl.high transformer=sub winding=2 vreg=124 band=2 ptratio=52.92 delay=30
New Line.l bus1=head bus2=end r1=0.3 x1=0.4 r0=0.6 x0=1.2 length=3 units=km normamps=400
New Load.d bus1=end kv=11 kw=1500 pf=0.95
Set VoltageBases=[33 11]
CalcVoltageBases
"""


def test_two_regulators_of_one_changer_that_disagree_are_named(tmp_path: Path) -> None:
    feeder = own(tmp_path, TWO_ON_ONE)
    moving = "transformer.sub (RegControl low, RegControl high) goes on moving"
    assert any(moving in line for line in feeder.state)
    assert solve_base_case(feeder, settled=True).failure.endswith(f"do not come to rest without a site ({moving})")


HUNTING = """New Capacitor.c bus1=end kv=11 kvar=2600
New CapControl.c capacitor=c element=Line.l terminal=2 type=voltage ptratio=52.92 onsetting=119.5 offsetting=120.5
Set VoltageBases"""


def test_the_command_says_that_controls_do_not_come_to_rest_at_a_load_level(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A bank that lifts the voltage above where its control switches it off hunts where the load is low."""
    text = "\n".join(line for line in TWO_ON_ONE.splitlines() if "RegControl" not in line)
    (tmp_path / "hunts.dss").write_text(text.replace("Set VoltageBases", HUNTING), encoding="utf-8")
    said = {}
    for level in ("1", "0.2"):
        assert main(["feeder", str(tmp_path / "hunts.dss"), "--no-picture", "--load-level", level]) == 1
        said[level] = " ".join(capsys.readouterr().out.split())
    words = "the circuit's own controls do not come to rest without a site (capacitor.c (CapControl c)"
    assert f"at 0.2 of the own load, {words}" in said["0.2"]
    assert "of the own load, the circuit's" not in said["1"]
