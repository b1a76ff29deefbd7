"""A trusted circuit runs as OpenDSS has it, again and again, and opens no editor with what it shows."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from g2g_opt.consent import Consent, give_consent
from g2g_opt.feeder import Feeder

MASTER = """Clear
New Circuit.c bus1=head basekv=12.47 mvasc3=1000 mvasc1=1000
New Line.one bus1=head bus2=mid r1=0.1 x1=0.2 length=1 units=km
New Load.l bus1=mid kv=12.47 kw=900 kvar=200
Set VoltageBases=[12.47]
CalcVoltageBases
Solve
Show Voltages LN Nodes
"""


def test_what_a_trusted_circuit_shows_is_written_and_opened_in_no_editor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A study compiles its circuit many times; every time an editor came up."""
    opened, programs = tmp_path / "opened", tmp_path / "bin"
    programs.mkdir()
    for name in ("xdg-open", "open", "sensible-editor"):
        (programs / name).write_text(f"#!/bin/sh\necho $1 >> {opened}\n")
        (programs / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(programs), prepend=":")
    path = tmp_path / "own.dss"
    path.write_text(MASTER)
    give_consent(Consent(circuits=True))
    try:
        Feeder.from_dss(path)
    finally:
        give_consent(Consent())
    assert [file.name for file in tmp_path.glob("*.txt")] == ["c_VLN_Node.txt"]
    time.sleep(0.5)  # the engine does not wait for what it starts
    assert not opened.exists()
