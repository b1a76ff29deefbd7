"""Normal and emergency ratings of each element, as its own data states them, on both engines."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.feeder import Feeder
from g2g_opt.grid.loading import judged_conductors, judged_ratings
from g2g_opt.limits import Limits, RatingBasis
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.site import sized_site

# The first line is closest to its normal rating, the second to its emergency rating; phase B carries most.
CIRCUIT = """
Clear
New Circuit.small basekv=12.47 pu=1.03 phases=3 bus1=source MVAsc3=400
New Linecode.plain nphases=3 r1=0.1 x1=0.2 r0=0.3 x0=0.6 units=km
New Line.first bus1=source bus2=middle linecode=plain length=2 units=km normamps=50 emergamps=400
New Line.second bus1=middle bus2=end linecode=plain length=1 units=km normamps=100 emergamps=110
New Load.b bus1=end.2 phases=1 kV=7.2 kW=120 kvar=20 model=1
Set voltagebases=[12.47]
Calcvoltagebases
"""


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_the_branch_closest_to_its_emergency_rating_is_not_the_one_closest_to_its_normal_one(
    tmp_path: Path, engine: str
) -> None:
    master = tmp_path / "small.dss"
    master.write_text(CIRCUIT, encoding="utf-8")
    site = sized_site("site", "end", [(measured_spec("llama-3.1-70b", gpu="H100"), 128)], 200, 0.2)
    scenario = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=())
    loose = Limits(loading_emergency_max_pu=1.0)
    ((run,),) = simulate([Plan((site,))], [scenario], Feeder.from_dss(master), loose, engine=engine)  # type: ignore[arg-type]
    normal, emergency = run.summary.worst_loading("line"), run.summary.worst_loading(emergency=True)
    assert normal is not None and emergency is not None  # noqa: PT018 - for the type checker
    assert (normal.branch, normal.phase) == ("line.first", "B")
    assert (emergency.branch, emergency.phase) == ("line.second", "B")
    # Hand: 1.25 MW and the load's 120 kW at 0.95 lagging, 7.2 kV: about 76 A on phase B.
    amperes = emergency.emergency_pu * 110
    assert amperes == pytest.approx(normal.loading_pu * 50, rel=2e-3)
    assert emergency.loading_pu == pytest.approx(amperes / 100)
    assert 60 < amperes < 95
    assert all(check.kept for check in run.checks if check.name == "emergency loading")
    tight = Limits(loading_emergency_max_pu=0.5)
    ((again,),) = simulate([Plan((site,))], [scenario], Feeder.from_dss(master), tight, engine=engine)  # type: ignore[arg-type]
    (broken,) = [check for check in again.checks if check.name == "emergency loading"]
    assert not broken.kept
    assert broken.place().startswith("line.second.B at t=")


@pytest.mark.parametrize("engine", ["batch", "opendss"])
def test_by_default_stated_ratings_are_judged_and_placeholders_are_not(tmp_path: Path, engine: str) -> None:
    """Hand: 4.0 MW or so at 12.47 kV and power factor 0.95 are 195 A: above 150 A where they were stated."""
    site = sized_site("site", "end", [(measured_spec("llama-3.1-70b", gpu="H100"), 128)], 660, 0.2)
    scenario = Scenario("brief", 30, replica_share_start=1.0, replica_ramps=())
    limits = Limits(voltage_min_pu=0.9, voltage_max_pu=1.1)
    assert limits.loading_max_pu == 1.0
    for stated, first, kept in (
        ("", None, True),
        ("normamps=150", "line.first", False),
        ("normamps=300", "line.first", True),
    ):
        master = tmp_path / f"rated{stated[-3:]}.dss"
        without = CIRCUIT.replace("normamps=50 emergamps=400", stated).replace("normamps=100 emergamps=110", "")
        master.write_text(without, encoding="utf-8")
        feeder = Feeder.from_dss(master)
        ((run,),) = simulate([Plan((site,))], [scenario], feeder, limits, engine=engine)  # type: ignore[arg-type]
        assert run.engine == engine
        worst = run.summary.worst_loading("line")
        assert (None if worst is None else worst.branch) == first
        assert run.kept == kept, run.reasons
        if worst is not None:
            assert worst.loading_pu * (150.0 if not kept else 300.0) == pytest.approx(200.0, rel=0.1)


@pytest.mark.parametrize("made", ["geometry=g", "spacing=s wires=(strong strong strong neutral)"])
@pytest.mark.parametrize("basis", ["normal", "emergency"])
def test_every_conductor_of_a_line_is_judged_by_its_own_wire(tmp_path: Path, made: str, basis: RatingBasis) -> None:
    """Hand: 200, 200 and 100 A of three phases against 400; the fourth wire, a "phase", brings 100 A back on 150."""
    amps = {1: 200.0, 2: 200.0, 3: 100.0}
    wire = "New Wiredata.{} gmrac=0.02 gmrunits=ft rac=0.3 runits=mi radius=0.3 radunits=in normamps={}"
    lines = [
        "New Circuit.c bus1=s basekv=12.47 MVAsc3=1e6 MVAsc1=1e6",
        *(
            wire.format("strong", 400),
            wire.format("neutral", 150),
            "New LineSpacing.s nconds=4 nphases=4 units=ft x=(0 2 4 3) h=(30 30 30 25)",
        ),
        "New Linegeometry.g nconds=4 nphases=4 spacing=s wires=(strong strong strong neutral) reduce=n",
        f"New Line.x phases=4 bus1=s.1.2.3.0 bus2=b.1.2.3.4 {made} length=1 units=ft",
        *(f"New Load.{n} bus1=b.{n}.4 phases=1 kv=7.2 kw={a * 7.2} pf=1 model=5" for n, a in amps.items()),
        "Set VoltageBases=[12.47]\nCalcVoltageBases\n",
    ]
    master = tmp_path / "four.dss"
    master.write_text("\n".join(lines), encoding="utf-8")
    feeder = Feeder.from_dss(master)
    (line,) = [b for b in feeder.branches if b.name == "x"]
    share = 1.0 if basis == "normal" else 1.5
    (rating,) = judged_ratings([line], basis)
    rated = dict(judged_conductors(line, rating))
    assert rated == pytest.approx({0: 400.0 * share, 1: 400.0 * share, 2: 400.0 * share, 3: 150.0 * share})
    loading = solve_base_case(feeder, rating_basis=basis).loading
    assert loading == ("line.x", pytest.approx(100.0 / 150.0 / share, rel=5e-3))
    for engine in ("batch", "opendss"):
        limits = Limits(rating_basis=basis)
        ((run,),) = simulate([Plan(())], [Scenario("brief", 3)], feeder, limits, engine=engine)  # type: ignore[arg-type]
        worst = run.summary.worst_loading()
        assert worst is not None
        assert worst.loading_pu == pytest.approx(100.0 / 150.0 / share, rel=5e-3)
