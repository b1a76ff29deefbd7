"""The circuit's own storage and generators that hold a voltage in closed loops, step by step against OpenDSS alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from controlled_feeders import compared_loop, controlled_feeder

# kV and a bus of the feeder of a seed: a random circuit, and the 123-bus feeder.
PLACES = {5002: (11.0, "far"), 5003: (4.16, "76")}
STORAGE = (
    # Full, or down to the reserve, some ten to fifty seconds into the run.
    "state=charging kw=-150 kwrated=250 kwhrated=500 %stored=99.8 %reserve=30 kva=300",
    "state=discharging kw=200 kwrated=250 kwhrated=500 %stored=30.3 %reserve=30 kva=300 pf=0.95",
    "state=discharging kw=100 kvar=40 kwrated=250 kwhrated=500 kva=300 model=2",
    # Down to the reserve in the solution before time, which OpenDSS counts as a step.
    "state=discharging kw=200 kwrated=250 kwhrated=500 %stored=30.001 %reserve=30 kva=300",
)
HELD = (
    "vpu=1.01 maxkvar=900 minkvar=-900",  # within its limits
    "vpu=1.2 maxkvar=150 minkvar=-150",  # at its upper one
    "vpu=0.8 maxkvar=150 minkvar=-120",  # at its lower one
)


@pytest.mark.parametrize("seed", PLACES)
@pytest.mark.parametrize("own", STORAGE)
def test_storage_charges_and_discharges_as_in_opendss(own: str, seed: int, tmp_path: Path) -> None:
    feeder, (kv, bus) = controlled_feeder(tmp_path, seed), PLACES[seed]
    feeder = replace(feeder, commands=(*feeder.commands, f"New Storage.own bus1={bus} phases=3 kv={kv} {own}"))
    found = compared_loop(feeder, seed)
    assert (found.difference, found.failure, found.failure_opendss) == ("", "", "")
    assert found.n_steps == 60
    assert found.voltage_pu < 1e-7


@pytest.mark.parametrize("seed", PLACES)
@pytest.mark.parametrize("conn", ["wye", "delta"])
@pytest.mark.parametrize("own", HELD)
def test_a_generator_holds_its_voltage_as_in_opendss(own: str, conn: str, seed: int, tmp_path: Path) -> None:
    feeder, (kv, bus) = controlled_feeder(tmp_path, seed), PLACES[seed]
    generator = f"New Generator.own bus1={bus} phases=3 conn={conn} kv={kv} kw=300 kva=1000 model=3 {own}"
    feeder = replace(feeder, commands=(*feeder.commands, generator))
    found = compared_loop(feeder, seed)
    assert (found.difference, found.failure, found.failure_opendss) == ("", "", "")
    assert found.n_steps == 60
    assert found.voltage_pu < 1e-7


@pytest.mark.parametrize("vpu", [(1.01, 1.01), (1.02, 1.0)])
def test_two_generators_at_a_bus_hold_its_voltage_as_in_opendss(vpu: tuple[float, float], tmp_path: Path) -> None:
    """Alike they share the vars; told to hold different voltages, both end at their limits."""
    feeder, (kv, bus) = controlled_feeder(tmp_path, 5003), PLACES[5003]
    own = [
        f"New Generator.own{k} bus1={bus} phases=3 kv={kv} kw=200 kva=400 model=3 vpu={v} maxkvar=300 minkvar=-300"
        for k, v in enumerate(vpu)
    ]
    found = compared_loop(replace(feeder, commands=(*feeder.commands, *own)), 5003)
    assert (found.difference, found.failure, found.failure_opendss) == ("", "", "")
    assert found.n_steps == 60
    assert found.voltage_pu < 1e-7
