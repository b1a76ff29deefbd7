"""What a command makes of elements that were stated before it is named, where it is not what it reads like."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.feeder import Feeder

MASTER = """Clear
New Circuit.c bus1=head basekv=12.47 mvasc3=1000 mvasc1=1000
New Line.one bus1=head bus2=mid r1=0.1 x1=0.2 length=1 units=km
New Transformer.t phases=1 windings=3 buses=[mid.1 h.1.0 h.0.2] kvs=[7.2 .12 .12] kvas=[25 25 25] xhl=2 xht=2 xlt=1.3
New Load.s1 bus1=mid kv=12.47 kw=100
New Load.s10 bus1=mid kv=12.47 kw=100
New Load.legs phases=1 bus1=h.1.2 kv=0.24 kw=10
New Load.leg phases=1 bus1=h.1 kv=0.12 kw=1
New Generator.g phases=1 bus1=h.1.2 kv=0.24 kw=2
Set VoltageBases=[12.47 0.208]
CalcVoltageBases
{line}
"""


def notes(folder: Path, line: str) -> tuple[str, ...]:
    path = folder / "master.dss"
    path.write_text(MASTER.format(line=line))
    return Feeder.from_dss(path).unstated_notes


def test_units_whose_voltage_is_set_to_that_of_their_bus_are_named(tmp_path: Path) -> None:
    """Between both legs of a service 10 kW become 35: OpenDSS gives them the voltage of one."""
    assert notes(tmp_path, "") == ()
    (note,) = notes(tmp_path, "SetLoadAndGenKV")
    assert note.endswith("load.legs 0.24 to 0.1201 kV, generator.g 0.24 to 0.1201 kV")
    assert "load.leg " not in note
    assert notes(tmp_path, "SetLoadAndGenKV\nLoad.legs.kv=0.24\nGenerator.g.kv=0.24") == ()


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        ("Load..*", ""),
        ("Load.legs", ""),
        ("Load.s10", ""),
        ("Load.s1", "load.s1 (s1, s10)"),
        ("Load.s.*", "load.s.* (s1, s10, legs)"),
        ("Load.^s10$", "load.^s10$ (s10)"),
        ("Load.x", "load.x (none)"),
        ("Capacitor..*", "capacitor..* (none)"),
    ],
)
def test_a_batch_edit_that_reaches_others_than_it_names_is_told(tmp_path: Path, pattern: str, told: str) -> None:
    found = notes(tmp_path, f"BatchEdit {pattern} kw=3" if "Load" in pattern else f"BatchEdit {pattern} kvar=3")
    assert [note.rpartition(": ")[2] for note in found] == ([told] if told else [])


def test_an_edit_of_every_name_at_once_is_told_to_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "master.dss"
    path.write_text(MASTER.format(line="Edit Load.* kw=3"))
    (left_out,) = Feeder.from_dss(path).left_out
    assert "edit Load.*; there is no such element, and nothing is changed" in left_out
    assert "BatchEdit Load..*" in left_out
