"""Sources and elements of another frequency than the one at which their circuit is solved."""

from __future__ import annotations

from pathlib import Path

import opendssdirect
import pytest
from circuit_files_written import HEAD, TAIL, write

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder

_SECOND = "New Vsource.far bus1=end basekv=12.47 pu=1 mvasc3=20 mvasc1=20 frequency=50"
_TIE = "New Line.tie bus1=mid bus2=end length=1 units=km r1=0.3 x1=0.4 normamps=250"


def _plain_pu(master: Path, bus: str) -> float:
    dss = opendssdirect.NewContext()
    dss.Basic.AllowChangeDir(False)
    dss.Text.Command(f'Compile "{master}"')
    dss.Circuit.SetActiveBus(bus)
    return float(dss.Bus.puVmagAngle()[0])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEAD + "Set frequency=50\n" + TAIL, "vsource.source is of 60 Hz, and the circuit is solved at 50 Hz"),
        (HEAD + "Set basefrequency=50\n" + TAIL, "vsource.source is of 60 Hz, and the circuit is solved at 50 Hz"),
        (HEAD + "Set DefaultBaseFrequency=50\n" + TAIL, "vsource.source is of 60 Hz, and the circuit is solved at 50"),
        (
            HEAD.replace("pu=1", "pu=1 frequency=50") + TAIL,
            "vsource.source is of 50 Hz, and the circuit is solved at 60",
        ),
        (HEAD + "Set frequency=180\n" + TAIL, "vsource.source is of 60 Hz, and the circuit is solved at 180 Hz"),
    ],
)
def test_a_circuit_whose_sources_are_of_another_frequency_is_refused_with_that_reason(
    tmp_path: Path, text: str, words: str
) -> None:
    """OpenDSS lets them give no voltage; that no source serves a bus would be no reason."""
    path = tmp_path / "c.dss"
    path.write_text(text)
    assert _plain_pu(path, "mid") < 1e-6
    with pytest.raises(InputError, match=words):
        Feeder.from_dss(path)


def test_one_source_of_another_frequency_is_named_where_others_serve(tmp_path: Path) -> None:
    """It is a short circuit behind its impedance, which pulls the bus beside it down."""
    path = write(tmp_path, f"{_TIE}\n{_SECOND}")
    assert _plain_pu(path, "mid") < 0.9
    (told,) = Feeder.from_dss(path).source_notes
    assert told.startswith("sources of another frequency than the circuit is solved at (60 Hz)")
    assert told.endswith("vsource.far (50 Hz)")
    path = write(tmp_path, f"{_TIE}\nNew Isource.h bus1=end amps=5 frequency=180")
    (told,) = Feeder.from_dss(path).source_notes
    assert told.endswith("isource.h (180 Hz)")
    assert not Feeder.from_dss(write(tmp_path, f"{_TIE}\n{_SECOND.replace('=50', '=60')}")).source_notes


def test_a_circuit_at_50_hz_is_as_openDSS_has_it(tmp_path: Path) -> None:
    path = tmp_path / "c.dss"
    path.write_text("Set DefaultBaseFrequency=50\n" + HEAD + TAIL)
    feeder = Feeder.from_dss(path)
    assert not feeder.source_notes
    assert feeder.direct().Solution.Frequency() == 50.0


def test_elements_stated_at_another_frequency_are_named(tmp_path: Path) -> None:
    """OpenDSS converts their reactances: 0.4 ohm/km at 50 Hz are 0.48 at 60 Hz."""
    extra = "New Linecode.x nphases=3 r1=0.3 x1=0.4 units=km basefreq=50\n" + _TIE.replace(
        "r1=0.3 x1=0.4", "linecode=x"
    )
    (told,) = Feeder.from_dss(write(tmp_path, extra)).source_notes
    assert told == (
        "stated at another frequency than the circuit is solved at (60 Hz), so that OpenDSS converts reactances and "
        "capacitances: linecode.x (50 Hz)"
    )
