"""Fuses of a circuit: a run in which none picks up is the batch engine's, any other is OpenDSS's, with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from batch_parts import loop, site
from engine_pair import compare, run_single

from g2g_opt.batch.simulator import run_batch
from g2g_opt.circuit.fuses import read_fuses
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.datacenter.config import ReplicaSchedule
from g2g_opt.datacenter.workloads.measurements import measured_spec
from g2g_opt.engine_reason import EngineReason
from g2g_opt.failure import FailureKind
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.site import BASE_KW_PER_GPU, sized_site

# A fuse of 100 A begins to melt at 200 A: OpenDSS's usual curve begins at twice the rating.
CIRCUIT = """\
Clear
New Circuit.fused basekv=12.47 pu=1.02 bus1=grid MVAsc3=300 MVAsc1=300
New Linecode.lc nphases=3 r1=0.3 x1=0.4 r0=0.7 x0=1.3 c1=0 c0=0 units=km normamps=600
New Line.l1 bus1=grid bus2=mid linecode=lc length=1 units=km
New Transformer.t phases=3 windings=2 buses=(mid low) conns=(delta wye) kvs=(12.47 4.16) kvas=(5000 5000) xhl=5
New Line.l2 bus1=mid bus2=far linecode=lc length=1 units=km
New Load.d bus1=far kv=12.47 kw=1000 pf=0.95
New Load.e bus1=low kv=4.16 kw=1000 pf=0.95
New Fuse.f monitoredobj=Line.l2 ratedcurrent=100 {more}
Set VoltageBases=[12.47 4.16]
CalcVoltageBases
"""


def fused(folder: Path, more: str = "") -> Feeder:
    path = folder / "fused.dss"
    path.write_text(CIRCUIT.format(more=more), encoding="utf-8")
    return Feeder.from_dss(path)


def test_a_pickup_is_the_rating_times_the_least_multiple_of_the_curve() -> None:
    lines = [line for line in CIRCUIT.format(more="").splitlines() if line != "Clear"]
    lines += [
        "New TCC_Curve.own npts=2 c_array=(1.5 3) t_array=(10 1)",
        "New Fuse.g monitoredobj=Line.l1 ratedcurrent=40 fusecurve=own",
    ]
    found = read_fuses(Circuit(lines), ["f", "g"])
    assert [(one.element, one.n_phases, one.is_whole) for one in found] == [("line.l2", 3, True), ("line.l1", 3, True)]
    assert [one.pickup_a for one in found] == pytest.approx([200.0, 60.0])


@pytest.mark.parametrize("rated_a", [20, 29])
def test_opendss_looks_at_the_first_terminal_whichever_is_monitored(rated_a: int) -> None:
    """A transformer's second terminal carries three times the first one's current, which is 51 A."""
    lines = [line for line in CIRCUIT.format(more="").splitlines() if not line.startswith(("Clear", "New Fuse"))]
    lines += [f"New Fuse.t monitoredobj=Transformer.t monitoredterm=2 ratedcurrent={rated_a}"]
    circuit = Circuit(lines)
    for command in ("Set Mode=Time ControlMode=Time StepSize=1s Number=1", *["Solve"] * 400):
        circuit.command(command)
    assert ("open" in circuit.command("? Fuse.t.State")) == (2 * rated_a < 51.0)


def test_a_run_without_a_pickup_is_opendsss_step_by_step(tmp_path: Path) -> None:
    feeder = fused(tmp_path)

    def own_loop():  # type: ignore[no-untyped-def]
        ramp = ReplicaSchedule(50, ((600, 5.0, 20.0),))
        return loop({"far": site("a", (ramp, 60))}, feeder=feeder, duration_s=30, dss_controls=True)

    (run,) = run_batch([own_loop()], trace=[0])
    single = run_single(own_loop())
    assert run.failure is None
    assert single.failure is None
    assert run.trace is not None
    assert np.ptp(run.trace.voltage_pu, axis=0).max() > 1e-4
    compare(single, run)


def test_the_step_and_the_fuse_that_pick_up_are_named(tmp_path: Path) -> None:
    """1 MW are 48 A; the site adds its own until the fuse sees 200 A."""
    ramp = ReplicaSchedule(0, ((6000, 5.0, 20.0),))
    run_of = loop({"far": site("a", (ramp, 0))}, feeder=fused(tmp_path), duration_s=30, dss_controls=True)
    (run,) = run_batch([run_of])
    assert run.failure is not None
    assert (run.failure.kind, run.failure.where) == (FailureKind.PROTECTION_PICKS_UP, "fuse.f")
    assert run.failure.asks_opendss
    assert 5.0 < (run.failure.time_s or 0.0) <= 20.0


def test_both_engines_judge_alike_and_the_reason_is_told(tmp_path: Path) -> None:
    feeder, limits = fused(tmp_path), Limits()
    spec = measured_spec("llama-3.1-70b", gpu="H100", task="lm-arena-chat")
    plans = [
        Plan((sized_site("dc", "far", [(spec, 128)], servers, BASE_KW_PER_GPU),), tap_mode="own control")
        for servers in (20, 1600)
    ]
    # At the start nothing melts.
    scenario = Scenario(duration_s=180, replica_share_start=0.0, replica_ramps=((5.0, 20.0, 1.0),))
    ((small,), (large,)) = simulate(plans, [scenario], feeder, limits)
    assert (small.engine, small.engine_note) == ("batch", "")
    assert (large.engine, large.engine_reason) == ("opendss", EngineReason.NOT_MODELLED)
    assert large.engine_note == "fuse.f picks up, and what it does then is not modelled"
    # Far above its pickup the fuse opens, and that is what the site is not served by.
    assert large.failure is not None
    assert large.failure.detail.endswith("; fuse.f has opened")
    on_opendss = simulate(plans, [scenario], feeder, limits, engine="opendss")
    for own, (other,) in zip((small, large), on_opendss, strict=True):
        assert (own.failure, own.kept) == (other.failure, other.kept)
        assert own.summary.lowest == pytest.approx(other.summary.lowest, abs=1e-7, nan_ok=True)


def test_a_circuit_with_a_blown_fuse_runs_on_opendss(tmp_path: Path) -> None:
    feeder = fused(tmp_path, "state=(open open open)")
    spec = measured_spec("llama-3.1-70b", gpu="H100", task="lm-arena-chat")
    plan = Plan((sized_site("dc", "low", [(spec, 128)], 20, BASE_KW_PER_GPU),), tap_mode="own control")
    ((outcome,),) = simulate([plan], [Scenario(duration_s=30)], feeder, Limits())
    assert outcome.engine == "opendss"
    assert outcome.engine_note == "fuse.f is open where the run begins, which is not modelled"
