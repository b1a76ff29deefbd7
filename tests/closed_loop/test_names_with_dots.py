"""Names with dots, which OpenDSS reads in a definition and not in a question: studied like the same circuit without."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.batch.checked_network import load_jacobian
from g2g_opt.circuit.controls import read_controls
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.feeder import Feeder
from studies.cli import main

# "§" stands for a dot, or for an underscore.
CIRCUIT = """
New Circuit.own basekv=33 pu=1.02 bus1=grid MVAsc3=400 MVAsc1=350
New Transformer.sub§1 phases=3 windings=2 xhl=8 %loadloss=0.6 buses=[grid head] conns=[delta wye] kvs=[33 11]
~ kvas=[10000 10000] wdg=2 maxtap=1.1 mintap=0.9 numtaps=32
New RegControl.tap§1 transformer=sub§1 winding=2 vreg=123 band=2 ptratio=52.92
New Linecode.lc§1 nphases=3 r1=0.25 x1=0.35 r0=0.6 x0=1.2 c1=10 c0=5 units=km normamps=350
New Line.a§1 bus1=head bus2=mid linecode=lc§1 length=2 units=km
New Line.a§2 bus1=mid bus2=far linecode=lc§1 length=2000 units=m
New Line.a§3 bus1=mid bus2=far linecode=lc§1 length=2 units=km
Open Line.a§3 1
New Fuse.f§1 monitoredobj=Line.a§1 ratedcurrent=600
New Load.l§1§2 bus1=mid conn=delta kv=11 kw=1200 pf=0.95
New Load.l§1§3 bus1=far.2 phases=1 kv=6.35 kw=150 pf=0.95 model=8 zipv=[0.3 0.3 0.4 0.3 0.3 0.4 0.5]
New Capacitor.c§1 bus1=far kv=11 kvar=300
New CapControl.cc§1 capacitor=c§1 element=Line.a§2 type=voltage ptratio=52.92 onsetting=115 offsetting=119
New XYcurve.vv§1 npts=4 xarray=[0.5 0.97 1.03 1.5] yarray=[1 1 -1 -1]
New PVSystem.pv§1 bus1=far kv=11 kva=600 pmpp=500 irradiance=0.8
New InvControl.i§1 derlist=[PVSystem.pv§1] mode=voltvar vvc_curve1=vv§1 deltaq_factor=0.4
New Storage.st§1 bus1=mid kv=11 kwrated=100 kwhrated=400 state=discharging kva=100
Set voltagebases=[33 11]
CalcVoltageBases
Set year=2
"""


@pytest.fixture
def masters(tmp_path: Path) -> tuple[Path, Path]:
    found = []
    for sign, name in ((".", "with"), ("_", "without")):
        (tmp_path / name).mkdir()
        found.append(tmp_path / name / "Master.dss")
        found[-1].write_text(CIRCUIT.replace("§", sign), encoding="utf-8")
    return found[0], found[1]


def test_a_feeder_is_described_alike(masters: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    said = []
    for master in masters:
        assert main(["feeder", str(master), "--no-picture", "--all-buses"]) == 0
        said.append(" ".join(capsys.readouterr().out.split()).replace(".", "_"))
    assert said[0] == said[1]
    assert "transformer_sub_1 taps" in said[0]
    assert "capacitor_c_1 states 1 to 0" in said[0]


def test_both_engines_read_the_same_circuit(masters: tuple[Path, Path]) -> None:
    dotted, plain = (Feeder.from_dss(master) for master in masters)
    for settled in (False, True):
        found, expected = (solve_base_case(one, settled=settled) for one in (dotted, plain))
        assert [node.voltage_pu for node in found.judged] == [node.voltage_pu for node in expected.judged]
    networks = [load_jacobian(tuple(one.commands), tuple(one.buses.values())).network for one in (dotted, plain)]
    assert (networks[0].start_v == networks[1].start_v).all()
    controls = []
    for one in (dotted, plain):
        circuit = Circuit(one.commands)
        circuit.finish()
        controls.append(str(read_controls(circuit)).replace(".", "_"))
    assert controls[0] == controls[1]
