"""Protection opens nothing while no time passes, and is named where it would open something for good.

Judged by OpenDSS itself: devices disabled until its other controls are at rest, then enabled in its time mode.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import opendssdirect
import pytest
from batch_parts import loop, site
from engine_pair import run_single

from g2g_opt.base_case import base_case_words, solve_base_case
from g2g_opt.batch.simulator import run_batch
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.failure import FailureKind
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import Engine, simulate
from g2g_opt.site import BASE_KW_PER_GPU, sized_site
from studies.cli import main

ENGINES: tuple[Engine, Engine] = ("batch", "opendss")

# The changer is left at 0.9, where the 1.9 MW behind `l2` draw 117 A; where it comes to rest they draw 103 A.
CIRCUIT = """\
Clear
New Circuit.guarded basekv=33 bus1=grid MVAsc3=400 MVAsc1=350
New Transformer.sub phases=3 windings=2 xhl=8 buses=(grid head) conns=(delta wye) kvs=(33 11) kvas=(10000 10000)
~ wdg=2 tap=0.9 maxtap=1.1 mintap=0.9 numtaps=32
New RegControl.oltc transformer=sub winding=2 vreg=122 band=2 ptratio=52.92
New Linecode.lc nphases=3 r1=0.25 x1=0.35 r0=0.6 x0=1.2 c1=10 c0=5 units=km normamps=350
New Line.l1 bus1=head bus2=mid linecode=lc length=2 units=km
New Line.l2 bus1=mid bus2=far linecode=lc length=3 units=km
New Load.a bus1=mid kv=11 kw=1200 pf=0.95 model=1 vminpu=0.5
New Load.b bus1=far kv=11 kw=1900 pf=0.95 model=1 vminpu=0.5
{device}
Set VoltageBases=[33 11]
CalcVoltageBases
"""
# Device, whether it acts where the circuit comes to rest.
DEVICES = {
    "New Fuse.d monitoredobj=Line.l2": True,
    "New Fuse.d monitoredobj=Line.l2 ratedcurrent=50": True,
    "New Fuse.d monitoredobj=Line.l2 ratedcurrent=55": False,
    "New Recloser.d monitoredobj=Line.l2 phasetrip=100 groundtrip=100": True,
    "New Recloser.d monitoredobj=Line.l2 phasetrip=110 groundtrip=110": False,
    "New Relay.d monitoredobj=Line.l2 type=current phasecurve=definite phasetrip=100 delay=60": True,
    "New Relay.d monitoredobj=Line.l2 type=current phasecurve=definite phasetrip=110 delay=60": False,
    "New TCC_Curve.ov npts=2 c_array=(0.9 3) t_array=(20 1)\n"
    "New Relay.d monitoredobj=Line.l2 type=voltage kvbase=11 overvoltcurve=ov": True,
    "New TCC_Curve.ov npts=2 c_array=(1.1 3) t_array=(20 1)\n"
    "New Relay.d monitoredobj=Line.l2 type=voltage kvbase=11 overvoltcurve=ov": False,
}


def guarded(folder: Path, device: str) -> Feeder:
    path = folder / "guarded.dss"
    path.write_text(CIRCUIT.format(device=device), encoding="utf-8")
    return Feeder.from_dss(path)


def name_of(device: str) -> str:
    return device.splitlines()[-1].split()[1].lower()


class Plain:
    """OpenDSS by itself on the circuit with a device, its other controls at rest, the device not yet in service."""

    def __init__(self, device: str) -> None:
        self.dss, self.device = opendssdirect.dss.NewContext(), name_of(device)
        for line in CIRCUIT.format(device=device).splitlines():
            self.tell(line)
        self.tell(f"Disable {self.device}")
        self.tell("Set mode=snapshot controlmode=static maxcontroliter=500 tolerance=1e-9 maxiterations=300")
        self.tell("Solve")

    def tell(self, words: str) -> str:
        self.dss.Text.Command(words)
        return str(self.dss.Text.Result())

    def voltages(self) -> dict[str, float]:
        return dict(zip(self.dss.Circuit.AllNodeNames(), self.dss.Circuit.AllBusMagPu(), strict=True))

    def opens_within(self, seconds: int) -> bool:
        self.tell(f"Enable {self.device}")
        self.tell("Set mode=time controlmode=time stepsize=10s number=1 hour=0 sec=0")
        for _ in range(seconds // 10):
            self.tell("Solve")
        return "open" in self.tell(f"? {self.device}.state")


@pytest.mark.parametrize("device", DEVICES)
def test_the_base_case_is_the_circuit_at_rest_and_names_what_opens_there(tmp_path: Path, device: str) -> None:
    feeder = guarded(tmp_path, device)
    for settled in (False, True):
        base = solve_base_case(feeder, settled=settled)
        plain = Plain(device)
        at_rest = plain.voltages()
        assert {f"{node.bus}.{node.phase}": node.voltage_pu for node in base.voltages} == pytest.approx(
            at_rest, abs=1e-6
        )
        assert [one.device for one in base.picked_up] == ([name_of(device)] if DEVICES[device] else [])
        assert DEVICES[device] == (name_of(device) in base.breaks(Limits()))
    assert not any(" open " in words for words in feeder.state)
    assert plain.opens_within(3600) == DEVICES[device]


def test_what_a_fuse_sees_and_is_rated_at_is_said(tmp_path: Path) -> None:
    device = "New Fuse.d monitoredobj=Line.l2 ratedcurrent=50"
    plain = Plain(device)
    plain.dss.Circuit.SetActiveElement("Line.l2")
    current_a = max(plain.dss.CktElement.CurrentsMagAng()[0:6:2])
    feeder = guarded(tmp_path, device)
    base = solve_base_case(feeder)
    (found,) = base.picked_up
    assert (found.element, found.pickup_a) == ("line.l2", 100.0)
    assert found.current_a == pytest.approx(current_a, rel=1e-6)
    said = (
        f"fuse.d opens by itself where the circuit comes to rest ({current_a:.5g} A through line.l2; it melts from "
        "100 A on, rated at 50 A)"
    )
    assert any(said in words for words in base_case_words(feeder, base, Limits()))
    unstated = solve_base_case(guarded(tmp_path, "New Fuse.d monitoredobj=Line.l2"))
    assert "rated at 1 A, OpenDSS's figure where none is stated" in unstated.breaks(Limits())


def test_a_switch_is_where_its_control_puts_it(tmp_path: Path) -> None:
    """What is ordered is no fault: OpenDSS opens it as well, and keeps one that is locked."""
    opened = guarded(tmp_path, "New SwtControl.d switchedobj=Line.l2 switchedterm=1 action=open")
    assert opened.isolated_buses == ("far",)
    assert [branch.name for branch in opened.branches if not branch.closed] == ["l2"]
    locked = guarded(tmp_path, "New SwtControl.d switchedobj=Line.l2 switchedterm=1 action=open lock=yes")
    assert locked.isolated_buses == ()


def test_a_fuse_that_the_file_leaves_open_stays_open_and_is_said(tmp_path: Path) -> None:
    feeder = guarded(tmp_path, "New Fuse.d monitoredobj=Line.l2 ratedcurrent=500 state=(open open open)")
    assert feeder.isolated_buses == ("far",)
    assert "open where the file ends, and left so: fuse.d" in feeder.state


@pytest.mark.parametrize("dt_s", [1, 3600])
@pytest.mark.parametrize("device", [device for device, acts in DEVICES.items() if "rated" in device])
def test_both_engines_end_a_run_at_rest_alike(tmp_path: Path, device: str, dt_s: int) -> None:
    feeder = guarded(tmp_path, device)
    spec = measured_spec("llama-3.1-70b", gpu="H100", task="lm-arena-chat")
    plan = Plan((sized_site("dc", "mid", [(spec, 128)], 20, BASE_KW_PER_GPU),), tap_mode="own control")
    scenario = Scenario(duration_s=30 * dt_s, dt_s=dt_s)
    ((batch,),), ((opendss,),) = (simulate([plan], [scenario], feeder, Limits(), engine=engine) for engine in ENGINES)
    assert (batch.engine, opendss.engine) == ("batch", "opendss")
    assert batch.failure == opendss.failure
    if DEVICES[device]:
        assert batch.failure is not None
        assert (batch.failure.kind, batch.failure.where, batch.failure.time_s) == (
            FailureKind.PROTECTION_AT_REST,
            "fuse.d",
            0.0,
        )
        assert "rated at 50 A" in str(batch.failure)
    else:
        assert batch.summary.lowest == pytest.approx(opendss.summary.lowest, abs=1e-7)


@pytest.mark.parametrize("device", [device for device in DEVICES if "Re" in device])
def test_reclosers_and_relays_end_a_run_at_rest_or_not_at_all(tmp_path: Path, device: str) -> None:
    run = run_single(
        loop({"mid": site("a", (50, 0))}, feeder=guarded(tmp_path, device), duration_s=5, dss_controls=True)
    )
    acts = DEVICES[device]
    assert (run.failure is not None) == acts
    if run.failure is not None:
        assert (run.failure.kind, run.failure.where) == (FailureKind.PROTECTION_AT_REST, name_of(device))


def test_a_relay_waits_its_delay_in_time(tmp_path: Path) -> None:
    """Picked up on the ramp, it opens 20 s later, when the site and the customer behind it are served no more."""
    device = "New Relay.d monitoredobj=Line.l2 type=current phasecurve=definite phasetrip=150 delay=20"
    ramp = ReplicaSchedule(0, ((3000, 5.0, 6.0),))

    def run(device: str):  # type: ignore[no-untyped-def]
        grid = guarded(tmp_path, device)
        return run_single(loop({"far": site("a", (ramp, 0))}, feeder=grid, duration_s=60, dss_controls=True))

    held, opened = run(device.replace("=150", "=1500")), run(device)
    assert held.failure is None
    assert opened.failure is not None
    assert opened.failure.kind is FailureKind.NOT_SERVED
    assert opened.failure.detail.endswith("; relay.d has opened")
    assert 25.0 <= (opened.failure.time_s or 0.0) <= 28.0


def test_a_fuse_that_melts_on_the_way_ends_the_lockstep_run_there(tmp_path: Path) -> None:
    ramp = ReplicaSchedule(0, ((3000, 5.0, 6.0),))
    feeder = guarded(tmp_path, "New Fuse.d monitoredobj=Line.l2 ratedcurrent=75")
    (run,) = run_batch([loop({"far": site("a", (ramp, 0))}, feeder=feeder, duration_s=30, dss_controls=True)])
    assert run.failure is not None
    assert run.failure.kind is FailureKind.PROTECTION_PICKS_UP
    assert 5.0 < (run.failure.time_s or 0.0) <= 7.0


def test_the_feeder_command_says_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    guarded(tmp_path, "New Fuse.d monitoredobj=Line.l2 ratedcurrent=50")
    assert main(["feeder", str(tmp_path / "guarded.dss"), "--no-picture"]) == 1
    said = " ".join(capsys.readouterr().out.split())
    assert said.startswith("PROTECTION ACTS AT REST: fuse.d opens by itself")
    assert "without a site the circuit already breaks a limit: fuse.d opens by itself" in said
    assert np.isfinite(solve_base_case(Feeder.from_dss(tmp_path / "guarded.dss")).source_kw)
