"""`g2g feeder` on the command line: buses left out by its flag, and its picture."""

from __future__ import annotations

from pathlib import Path

import pytest

from studies.cli import main


def test_a_bus_is_left_out_of_the_limits_and_the_feeder_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "feeder.png"
    arguments = ["feeder", "ieee13", "--exclude-bus", "646", "--exclude-bus", "611", "--picture", str(picture)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "646" in said
    assert "611" in said
    assert picture.read_bytes().startswith(b"\x89PNG")
