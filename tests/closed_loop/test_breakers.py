"""Reclosers and current relays: a run in which none may act is the batch engine's, any other is OpenDSS's."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from g2g_opt.circuit.breakers import read_breakers
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.engine_reason import EngineReason
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Plan
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate

# 46 to 73 A in the phases of l2, 26 A in their sum.
CIRCUIT = """Clear
New Circuit.broken basekv=12.47 pu=1.02 bus1=grid MVAsc3=300 MVAsc1=300
New Linecode.lc nphases=3 r1=0.3 x1=0.4 r0=0.7 x0=1.3 c1=0 c0=0 units=km normamps=600
New Line.l1 bus1=grid bus2=mid linecode=lc length=1 units=km
New Line.l2 bus1=mid bus2=far linecode=lc length=1 units=km
New Load.d bus1=far kv=12.47 kw=1000 pf=0.95
New Load.e bus1=far.1 phases=1 kv=7.2 kw=180 pf=0.95
New TCC_Curve.own npts=3 c_array=(1.2 2 10) t_array=(20 5 0.1)
{device}
Set VoltageBases=[12.47]
CalcVoltageBases
"""
RECLOSER, RELAY = "New Recloser.b monitoredobj=Line.l2", "New Relay.b monitoredobj=Line.l2 type=current"


def circuit_lines(device: str) -> list[str]:
    return [line for line in CIRCUIT.format(device=device).splitlines() if line != "Clear"]


@pytest.mark.parametrize(
    ("device", "phase_a", "ground_a"),
    [
        (f"{RECLOSER} phasetrip=50 phasefast=own phasedelayed=own groundtrip=20 grounddelayed=own", 50.0, 20.0),
        (f"{RECLOSER} phasetrip=50 phasefast=own phasedelayed=own phaseinst=45", 45.0, np.inf),
        (f"{RELAY} phasetrip=50 phasecurve=own groundtrip=20", 50.0, np.inf),
        (f"{RELAY} phasetrip=50 groundtrip=20 delay=5", 50.0, 20.0),
        (f"{RELAY} groundinst=30 monitoredterm=2", np.inf, 30.0),
    ],
)
def test_the_least_current_at_which_one_may_act(device: str, phase_a: float, ground_a: float) -> None:
    (found,) = read_breakers(Circuit(circuit_lines(device)), [device.split()[1].lower()])
    assert (found.phase_a, found.ground_a, found.is_closed) == (phase_a, ground_a, True)
    assert (found.element, found.first, found.n_phases) == ("line.l2", 3 if "term=2" in device else 0, 3)


def test_a_relay_of_another_type_is_none_that_looks_at_currents() -> None:
    device = "New Relay.b monitoredobj=Line.l2 type=voltage overvoltcurve=own"
    assert read_breakers(Circuit(circuit_lines(device)), ["relay.b"]) == ()


def drawn(rng: random.Random) -> str:
    kind = rng.choice([RECLOSER, RELAY])
    curves = ("phasefast", "phasedelayed", "groundfast", "grounddelayed")
    parts = [kind, f"phasetrip={rng.uniform(20, 150):.1f}", f"groundtrip={rng.uniform(8, 60):.1f}"]
    parts += [f"monitoredterm={rng.choice([1, 2])}"]
    parts += [f"{side}inst={rng.uniform(15, 200):.1f}" for side in ("phase", "ground") if rng.random() < 0.3]
    if kind == RECLOSER:
        parts += [f"{curve}=own" for curve in curves if rng.random() < 0.5] + ["numfast=1", "shots=3"]
    else:
        parts += [f"{curve}=own" for curve in ("phasecurve", "groundcurve") if rng.random() < 0.5]
        parts += [f"delay={rng.uniform(1, 10):.1f}"] if rng.random() < 0.3 else []
    return " ".join(parts)


def opens(device: str) -> bool:
    """Whether OpenDSS by itself opens it within two minutes."""
    circuit = Circuit(circuit_lines(device))
    name = device.split()[1]
    for command in ("Set Mode=Time ControlMode=Time StepSize=1s Number=1", *["Solve"] * 120):
        circuit.command(command)
        if "open" in circuit.command(f"? {name}.State").lower():
            return True
    return False


@pytest.mark.parametrize("seed", range(24))
def test_whatever_opens_in_opendss_is_seen_and_sent_there(tmp_path: Path, seed: int) -> None:
    device = drawn(random.Random(f"breakers {seed}"))
    path = tmp_path / "broken.dss"
    path.write_text(CIRCUIT.format(device=device))
    feeder, plan, brief = Feeder.from_dss(path), Plan((), tap_mode="own control"), Scenario("brief", 120)
    ((run,),) = simulate([plan], [brief], feeder, Limits())
    if opens(device):
        assert (run.engine, run.engine_reason) == ("opendss", EngineReason.NOT_MODELLED), device
        assert "b picks up, and what it does then is not modelled" in run.engine_note
    if run.engine == "batch":
        ((theirs,),) = simulate([plan], [brief], feeder, Limits(), engine="opendss")
        np.testing.assert_allclose(run.summary.lowest_pu, theirs.summary.lowest_pu, rtol=0, atol=1e-7)


def test_draws_are_of_both_kinds() -> None:
    found = [opens(drawn(random.Random(f"breakers {seed}"))) for seed in range(24)]
    assert 4 <= sum(found) <= 20
