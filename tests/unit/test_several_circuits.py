"""A file that begins anew with Clear, and one that makes a second circuit without."""

from __future__ import annotations

from pathlib import Path

import pytest
from circuit_files_written import HEAD, TAIL

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder

_CODE = "New Linecode.q nphases=3 r1=0.3 x1=0.4 units=km\n"
_OLD = HEAD + _CODE + "New Line.two bus1=mid bus2=end linecode=q length=1 normamps=400\nNew Load.gone bus1=end kw=5\n"
_NEW = HEAD + _CODE + "New Line.two bus1=mid bus2=end linecode=q length=1\n" + TAIL


def test_what_stands_ahead_of_a_clear_is_no_part_of_the_circuit(tmp_path: Path) -> None:
    """The first line.two states 400 A, the second nothing, where OpenDSS has a placeholder of 400 A."""
    path = tmp_path / "c.dss"
    path.write_text(_OLD + _NEW)
    feeder = Feeder.from_dss(path)
    stated = {branch.name: branch.rating_is_stated for branch in feeder.branches}
    assert stated == {"one": True, "two": False}
    assert [load.name for load in feeder.own_loads] == ["l"]
    path.write_text(_OLD + _NEW.replace("Set Volt", "Edit Load.gone kw=7\nSet Volt"))
    assert any("edit Load.gone; there is no such element" in words for words in Feeder.from_dss(path).left_out)


@pytest.mark.parametrize("clear", ["Clear", "ClearAll"])
def test_a_name_from_ahead_of_a_clear_is_not_there(tmp_path: Path, clear: str) -> None:
    path = tmp_path / "c.dss"
    path.write_text(_OLD + _NEW.replace("Clear\n", f"{clear}\n").replace(_CODE, ""))
    with pytest.raises(InputError, match="the file has made no linecode 'q'"):
        Feeder.from_dss(path)


def test_a_second_circuit_is_refused_as_such(tmp_path: Path) -> None:
    path = tmp_path / "c.dss"
    path.write_text(_OLD + TAIL + _NEW.replace("Clear\n", "").replace("Circuit.c", "Circuit.d"))
    with pytest.raises(InputError, match=r"line \d+: New Circuit\.d makes a second circuit beside Circuit\.c; .*Clear"):
        Feeder.from_dss(path)


def test_two_elements_of_one_name_are_refused_by_it(tmp_path: Path) -> None:
    """OpenDSS has both where duplicates are allowed, and finds one of them by its name: ratings, states and customers
    of the other would be the first one's.
    """
    path = tmp_path / "c.dss"
    path.write_text(HEAD + "Set AllowDuplicates=yes\nNew Load.l bus1=mid kV=12.47 kW=300\n" + TAIL)
    with pytest.raises(InputError, match=r"more than one load\.l \(AllowDuplicates\)"):
        Feeder.from_dss(path)
    path.write_text(HEAD + "Set AllowDuplicates=yes\nNew Load.k bus1=mid kV=12.47 kW=300\n" + TAIL)
    assert len(Feeder.from_dss(path).own_loads) == 2
