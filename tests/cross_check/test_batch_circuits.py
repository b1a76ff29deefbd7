"""The batch power flow against OpenDSS on small circuits with every kind of element, and what it refuses by name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from batch_rigs import AGREE_PU, BATCH_PU, Case, Reference, circuit_commands, differences_pu

from g2g_opt.batch.moving_elements import Setting
from g2g_opt.batch.power_flow import BatchPowerFlow
from g2g_opt.batch.unsupported import UnsupportedByBatch

pytestmark = pytest.mark.xdist_group("batch_power_flow")

# --- windings, sources, islands


@dataclass(frozen=True)
class Sample:
    """What a test adds to the small circuit; `sites` as bus.phase or bus.phase.phase, `site_kw` the largest of each.

    Nodes of `floating` buses are held to ground by OpenDSS's anti-float admittance alone: rounding moves them together.
    """

    body: tuple[str, ...]
    sites: tuple[str, ...] = ("end.1", "end.2.3")
    site_kw: float = 150.0
    regulators: tuple[str, ...] = ()
    capacitors: tuple[str, ...] = ()
    floating: tuple[str, ...] = ()


OWN = "New Load.own bus1=end phases=3 kV=12.47 kW=900 kvar=300 vminpu=0.8 vmaxpu=1.2"
REGULATOR = (
    "New Transformer.r phases=3 windings=2 buses=(end reg) conns=(wye wye) kVs=(12.47 12.47) kVAs=(5000 5000) "
    "xhl=0.5 %loadloss=0.05"
)
CONTROL = "New RegControl.c transformer=r winding=2 vreg=120 ptratio=60 band=2"


def service(connections: str, low: str = "low") -> str:
    return (
        f"New Transformer.t phases=3 windings=2 buses=(end {low}) conns=({connections}) kVs=(12.47 0.48) "
        "kVAs=(1000 1000) xhl=5 %loadloss=1 %noloadloss=0.2 %imag=0.7"
    )


LOW_DELTA = "New Load.low bus1=low phases=3 kV=0.48 conn=delta kW=250 kvar=80"
LOW_WYE = "New Load.lowy bus1=low.2 phases=1 kV=0.277 kW=40 kvar=10 model=5"
WYE_SITES, DELTA_SITES = ("low.1", "low.2", "low.3", "end.1"), ("low.1.2", "low.2.3", "low.3.1", "end.1")

SAMPLES = {
    "wye-wye": Sample((OWN, service("wye wye"), LOW_DELTA, LOW_WYE), WYE_SITES, 60.0),
    "delta-wye": Sample((OWN, service("delta wye"), LOW_DELTA, LOW_WYE), WYE_SITES, 60.0),
    "wye-delta": Sample((OWN, service("wye delta"), LOW_DELTA), DELTA_SITES, 60.0, floating=("low",)),
    "delta-delta": Sample((OWN, service("delta delta"), LOW_DELTA), DELTA_SITES, 60.0, floating=("low",)),
    "wye grounded through a reactor": Sample(
        (
            service("delta wye", "low.1.2.3.4"),
            "New Reactor.ground bus1=low.4 phases=1 R=0.02 X=0.01",
            "New Load.a bus1=low.1.4 phases=1 kV=0.277 kW=60 kvar=20",
            "New Load.b bus1=low.2 phases=1 kV=0.277 kW=30 kvar=20",
        ),
        ("low.1", "low.3", "low.1.2"),
        20.0,
    ),
    "a load's neutral earthed at its bus alone": Sample(
        (
            "New Load.star bus1=end.1.2.3.4 phases=3 kV=12.47 kW=300 kvar=100",
            "New Load.one bus1=end.2.4 phases=1 kV=7.2 kW=200 kvar=60 model=5",
            "New Reactor.earth bus1=end.4 phases=1 R=8 X=0.5",
        ),
    ),
    "centre-tapped": Sample(
        (
            OWN,
            "New Transformer.t phases=1 windings=3 buses=(end.1.0 sec.1.0 sec.0.2) kVs=(7.2 0.12 0.12) "
            "kVAs=(50 50 50) xhl=2 xht=2 xlt=1.3 %Rs=(0.6 1.2 1.2)",
            "New Load.leg1 bus1=sec.1 phases=1 kV=0.12 kW=8 kvar=2",
            "New Load.leg2 bus1=sec.2 phases=1 kV=0.12 kW=5 kvar=2 model=2",
            "New Load.across bus1=sec.1.2 phases=1 kV=0.24 kW=10 kvar=2 model=5",
        ),
        ("sec.1", "sec.2", "end.3"),
        6.0,
    ),
    "three windings": Sample(
        (
            OWN,
            "New Transformer.t phases=3 windings=3 buses=(end mid low) conns=(delta wye delta) kVs=(12.47 4.16 0.48) "
            "kVAs=(2000 1500 500) xhl=6 xht=8 xlt=3",
            "New Load.mid bus1=mid phases=3 kV=4.16 kW=700 kvar=300",
            LOW_DELTA,
        ),
        ("mid.1", "mid.2.3", "low.1.2", "low.2.3"),
        50.0,
        floating=("low",),
    ),
    "autotransformer": Sample(
        (
            OWN,
            "New AutoTrans.t phases=3 windings=2 buses=(end mid) conns=(wye wye) kVs=(12.47 4.16) kVAs=(3000 3000) "
            "xhx=4",
            "New Load.mid bus1=mid phases=3 kV=4.16 kW=900 kvar=100",
        ),
        ("mid.1", "mid.2.3"),
    ),
    "no voltage base": Sample(
        (
            "New Transformer.t phases=1 windings=2 buses=(end.1 odd.1) kVs=(7.2 0.9) kVAs=(100 100)",
            "New Load.odd bus1=odd.1 phases=1 kV=0.9 kW=40 kvar=5",
        )
    ),
    "reactors": Sample(
        (
            OWN,
            "New Reactor.series bus1=end bus2=far phases=3 R=0.3 X=1.5",
            "New Reactor.shunt bus1=far phases=3 kvar=400 kV=12.47",
            "New Reactor.delta bus1=end phases=3 conn=delta kvar=200 kV=12.47",
            "New Load.far bus1=far phases=3 kV=12.47 kW=600 kvar=200 model=5",
        ),
        ("far.1", "far.2.3"),
    ),
    "capacitors": Sample(
        (
            OWN,
            "New Capacitor.c3 bus1=end phases=3 kvar=600 kV=12.47",
            "New Capacitor.c1 bus1=end.2 phases=1 kvar=100 kV=7.2",
            "New Capacitor.cd bus1=end phases=3 conn=delta kvar=300 kV=12.47",
        ),
        capacitors=("c3", "c1", "cd"),
    ),
    "series capacitor": Sample(
        (
            OWN,
            "New Capacitor.s bus1=end bus2=far phases=3 kvar=3000 kV=3",
            "New Line.on bus1=far bus2=farther linecode=lc length=1 units=km",
        ),
        ("farther.1", "farther.3"),
    ),
    "open switch, isolated bus": Sample(
        (
            OWN,
            "New Line.tie bus1=end bus2=far linecode=lc length=1 units=km switch=no",
            "Open Line.tie 1 0",
            "New Load.dark bus1=far phases=3 kV=12.47 kW=600 kvar=200",
            "New Load.darkd bus1=far.1.2 phases=1 conn=delta kV=12.47 kW=60 kvar=20",
            "New Line.island bus1=i1 bus2=i2 linecode=lc length=1 units=km",
            "New Load.island bus1=i2 phases=3 kV=12.47 kW=600 kvar=200",
        )
    ),
    "loop through a switch": Sample(
        (
            OWN,
            "New Line.other bus1=head bus2=far linecode=lc length=3 units=km",
            "New Line.switch bus1=far bus2=end switch=y phases=3",
            "New Load.far bus1=far phases=3 kV=12.47 kW=600 kvar=200",
        ),
        ("far.1", "end.2"),
    ),
    "one conductor open": Sample(
        (
            OWN,
            "New Line.half bus1=end bus2=far linecode=lc length=1 units=km",
            "Open Line.half 1 2",
            "New Load.far bus1=far phases=3 conn=delta kV=12.47 kW=300 kvar=30 model=2",
        )
    ),
    "neutral conductor": Sample(
        (
            "New Line.four bus1=end.1.2.3.0 bus2=far.1.2.3.4 phases=4 r1=0.3 x1=0.8 r0=0.6 x0=2 c1=1 c0=1 length=1 "
            "units=km",
            "New Load.a bus1=far.1.4 phases=1 kV=7.2 kW=300 kvar=100",
            "New Load.b bus1=far.2.4 phases=1 kV=7.2 kW=100 kvar=100",
            "New Load.c bus1=far.1.2.3.4 phases=3 kV=12.47 kW=300 kvar=100",
        ),
        ("far.1", "far.3"),
    ),
    "neutral resistance of a grounded load": Sample(
        (OWN, "New Load.n bus1=end phases=3 kV=12.47 kW=300 kvar=100 rneut=5 xneut=1")
    ),
    "load behind a neutral impedance": Sample(
        (
            "New Line.four bus1=end.1.2.3.0 bus2=far.1.2.3.4 phases=4 r1=0.3 x1=0.8 r0=0.6 x0=2 c1=1 c0=1 length=1",
            "New Load.far bus1=far.1.2.3.4 phases=3 kV=12.47 kW=300 kvar=100 rneut=5",
            "New Load.one bus1=far.1.4 phases=1 kV=7.2 kW=60 rneut=0.1 xneut=1",
        ),
        ("far.1", "far.3"),
    ),
    "second source": Sample(
        (
            OWN,
            "New Line.other bus1=end bus2=far linecode=lc length=3 units=km",
            "New Vsource.second bus1=far basekv=12.47 pu=0.99 angle=-2 R1=1 X1=5 R0=2 X0=9",
        ),
        ("far.1", "end.2"),
    ),
    "source between two buses": Sample(
        (
            OWN,
            "New Vsource.booster bus1=end bus2=far basekv=0.5 pu=1 angle=10 R1=0.1 X1=0.3 R0=0.1 X0=0.3",
            "New Load.far bus1=far phases=3 kV=12.47 kW=300 kvar=100",
        ),
        ("far.1", "end.2"),
    ),
    "current sources": Sample(
        (
            OWN,
            "New Isource.one bus1=end.1 phases=1 amps=20 angle=30",
            "New Isource.three bus1=end phases=3 amps=5 angle=-20",
        )
    ),
    "fault": Sample((OWN, "New Fault.f bus1=end.1 phases=1 r=50")),
    "ganged regulator": Sample((OWN, REGULATOR, CONTROL), ("reg.1", "reg.2.3"), regulators=("c",)),
    "regulator with a narrow range": Sample(
        (OWN, REGULATOR + " wdg=2 mintap=0.95 maxtap=1.05", CONTROL), ("reg.1",), regulators=("c",)
    ),
    "regulator on the first winding": Sample(
        (OWN, REGULATOR + " wdg=2 tap=1.05", CONTROL.replace("winding=2", "winding=1")), ("reg.1",), regulators=("c",)
    ),
    "tap changer of a delta-wye transformer": Sample(
        (OWN, service("delta wye"), LOW_DELTA, LOW_WYE, CONTROL.replace("transformer=r", "transformer=t")),
        WYE_SITES,
        60.0,
        regulators=("c",),
    ),
    "open-delta regulators": Sample(
        (
            "New Transformer.ra phases=1 windings=2 buses=(end.1.2 reg.1.2) kVs=(12.47 12.47) kVAs=(5000 5000) xhl=0.5",
            "New Transformer.rb phases=1 windings=2 buses=(end.3.2 reg.3.2) kVs=(12.47 12.47) kVAs=(5000 5000) xhl=0.5",
            "New RegControl.a transformer=ra winding=2 vreg=120 ptratio=100",
            "New RegControl.b transformer=rb winding=2 vreg=120 ptratio=100",
            "New Line.through bus1=end.2 bus2=reg.2 phases=1 switch=y",
            "New Load.reg bus1=reg phases=3 conn=delta kV=12.47 kW=300 kvar=100",
        ),
        ("reg.1.2", "reg.3"),
        regulators=("a", "b"),
    ),
    "generating load, disabled ones": Sample(
        (
            "New Load.sun bus1=end phases=3 kV=12.47 kW=-900 kvar=200 vminpu=0.8 vmaxpu=1.2",
            "New Load.off bus1=end phases=3 kV=12.47 kW=900 kvar=200 enabled=no",
            "New Generator.off bus1=end phases=3 kV=12.47 kW=100 enabled=no",
            "New Load.idle bus1=end phases=3 kV=12.47 kW=0 kvar=0",
        )
    ),
    "loads by kVA, energy and transformer": Sample(
        (
            "New Load.a bus1=end phases=3 kV=12.47 kVA=800 pf=-0.9",
            "New Load.b bus1=end phases=3 kV=12.47 kWh=100000 kWhdays=30 Cfactor=4 pf=0.9",
            "New Load.c bus1=end phases=3 kV=12.47 xfkVA=500 allocationfactor=0.4 pf=0.95",
        )
    ),
    "no loads at all": Sample(()),
}


@pytest.mark.parametrize("name", SAMPLES)
def test_circuits_of_every_kind_of_element_agree_with_opendss(name: str) -> None:
    sample, rng = SAMPLES[name], np.random.default_rng(2)
    # Rounding keeps OpenDSS from coming to rest any tighter where a winding floats.
    tolerance_pu = 1e-10 if sample.floating else 1e-11
    case = Case.of(circuit_commands(sample.body), tolerance_pu)
    row = []
    for site in sample.sites:
        bus, *phases = site.split(".")
        row.append(case.port(bus, [int(p) for p in phases], (0.8, 1.2)))
    rows = [row] * 6
    power = 1e3 * sample.site_kw * rng.uniform(-0.6, 1.0, (len(row), 6)) * (1 + 0.3j)
    settings = [
        Setting(
            tuple((r, round(rng.uniform(0.95, 1.05), 5)) for r in sample.regulators),
            tuple(c for c in sample.capacitors if rng.random() < 0.5),
        )
        for _ in rows
    ]
    flow = BatchPowerFlow(case.network, rows, settings, tolerance_pu=BATCH_PU, phasors=True)
    flow.solve(power)
    assert flow.solved.all()
    off = differences_pu(case, flow, rows, settings, power, Reference(case, rows, tolerance_pu))
    for bus in sample.floating:
        nodes = [k for k, (at, _) in enumerate(case.network.nodes) if at == bus]
        together = off[nodes].mean(axis=0)
        assert np.abs(together).max() < 1e-6
        off[nodes] -= together
    assert np.abs(off).max() < AGREE_PU
    live = case.network.alive & (case.base_v() > 100.0) & (flow.voltage_pu.max(axis=1) > 0.0)
    assert np.ptp(flow.voltage_pu[live], axis=1).max() > 1e-4  # the scenarios do differ


# --- what is not modelled is refused by name

REFUSED = {
    "generator that holds a voltage without vars": (
        ["New Generator.gen bus1=end phases=3 kV=12.47 kW=100 model=3 maxkvar=0 minkvar=0"],
        r"generator gen holds a voltage \(model 3\) without vars",
    ),
    "generator that runs by the load level": (
        ["New Generator.gen bus1=end phases=3 kV=12.47 kW=100 dispmode=loadlevel dispvalue=0.5"],
        "generator gen is switched by the load level",
    ),
    "storage that charges and discharges by the load level": (
        ["New Storage.cell bus1=end phases=3 kV=12.47 kWrated=100 dispmode=loadlevel chargetrigger=0.3"],
        "storage cell is switched by the load level",
    ),
    "balanced PV system": (
        ["New PVSystem.sun bus1=end phases=3 kV=12.47 kVA=100 Pmpp=100 balanced=yes"],
        "pvsystem sun feeds in its phases alike",
    ),
    "current source of its own kind": (
        ["New VCCS.inverter bus1=end.1 phases=1 prated=100 vrated=7200 ppct=100"],
        r"vccs\.inverter",
    ),
    "load with a neutral of its own": (
        ["New Load.star bus1=end.1.2.3.4 phases=3 kV=12.47 kW=300 kvar=100"],
        r"load star alone connects end\.4",
    ),
    "load at the end of a broken phase": (
        [
            "New Line.two bus1=end.1.3 bus2=far.1.3 phases=2 r1=0.3 x1=0.8 r0=0.5 x0=1 c1=0 c0=0 length=1",
            "New Load.across bus1=far.1.2 phases=1 conn=delta kV=12.47 kW=100 kvar=30",
        ],
        r"load across alone connects far\.2",
    ),
    "load with an open conductor": (
        ["New Load.cut bus1=end phases=3 kV=12.47 kW=300 model=2", "Open Load.cut 1 2"],
        "load cut has open conductors",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_not_modelled_is_refused_by_name(name: str) -> None:
    body, words = REFUSED[name]
    with pytest.raises(UnsupportedByBatch, match=words):
        Case.of(circuit_commands(body), 1e-6)


@pytest.mark.parametrize("study", ["Mode=daily", "Year=5", "LoadModel=Admittance"])
def test_a_study_that_changes_the_loads_is_refused(study: str) -> None:
    with pytest.raises(UnsupportedByBatch, match="changes its loads"):
        Case.of(circuit_commands([OWN], after=[f"Set {study}"]), 1e-6)
