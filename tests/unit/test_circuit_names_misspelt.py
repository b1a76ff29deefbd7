"""A word or a name in a circuit's files that does not exist is answered with its place and the nearest that does."""

from __future__ import annotations

from pathlib import Path

import pytest
from circuit_files_written import write

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder

_CODES = """New Linecode.feeder_main nphases=3 r1=0.1 x1=0.2 units=km
New Loadshape.working_day npts=2 interval=1 mult=[1 0.5]
New Transformer.substation phases=3 windings=2 buses=[mid low] conns=[delta wye] kvs=[12.47 0.48] kvas=[500 500]
"""


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("Nwe Line.k bus1=mid bus2=far", r"line \d+: 'Nwe' is no OpenDSS command; did you mean new"),
        ("New Lin.k bus1=mid bus2=far", r"line \d+: there is no class 'Lin'; did you mean line"),
        ("Edit Transfomer.t kva=5", r"there is no class 'Transfomer'; did you mean transformer"),
        ("New Line.k bus1=mid bus2=far lenght=5", r"the class line has no property 'lenght'; did you mean length"),
        ("Set VoltageBasis=[12.47]", r"set has no option 'VoltageBasis'; did you mean voltagebases"),
        (
            "New Line.k bus1=mid bus2=far linecode=feeder_mian",
            r"made no linecode 'feeder_mian'; did you mean feeder_main\?",
        ),
        ("New Load.k bus1=mid kV=12.47 daily=workday", r"no loadshape 'workday'; did you mean working_day\?"),
        ("Line.on.length=3", r"no line 'on'; did you mean one\?"),
        (
            "New RegControl.r transformer=substatoin winding=2",
            r"no transformer or autotrans 'substatoin'; did you mean substation\?",
        ),
        ("New Monitor.m element=line.ono", r"no line 'ono'; did you mean one\?"),
        ("Open Line.ono 1", r"no line 'ono'; did you mean one\?"),
        ("New Line.k like=onne", r"no line 'onne'; did you mean one\?"),
    ],
)
def test_a_misspelt_word_is_answered_with_the_nearest(tmp_path: Path, line: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        Feeder.from_dss(write(tmp_path, f"{_CODES}{line}"))


def test_a_change_of_what_is_not_there_is_answered_with_the_nearest(tmp_path: Path) -> None:
    """OpenDSS passes over it without a word."""
    _, told = Feeder.from_dss(write(tmp_path, f"{_CODES}Edit Transformer.substatoin kva=800")).left_out
    assert told.endswith(
        "edit Transformer.substatoin; there is no such element, and nothing is changed; did you mean "
        "transformer.substation?"
    )


def test_a_file_that_is_not_there_is_named_with_its_folder_and_the_nearest(tmp_path: Path) -> None:
    master = write(tmp_path, "Redirect lines.dss")
    (tmp_path / "Line.dss").write_text("\n")
    with pytest.raises(InputError) as caught:
        Feeder.from_dss(master)
    assert str(caught.value).endswith(
        f"the file 'lines.dss' does not exist in {tmp_path.resolve()}; did you mean Line.dss?"
    )
    (tmp_path / "parts").mkdir()
    master = write(tmp_path, "Redirect parts/lines.dss")
    with pytest.raises(InputError) as caught:
        Feeder.from_dss(master)
    assert str(caught.value).endswith(f"the file 'parts/lines.dss' does not exist in {tmp_path.resolve()}")
