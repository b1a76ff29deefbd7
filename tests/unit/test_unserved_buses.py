"""A bus that no source serves is refused with why, by whatever asks for it."""

from __future__ import annotations

from pathlib import Path

import pytest

from g2g_opt.base_case import solve_base_case
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from studies.connection_check.study import ConnectionCheckStudy
from studies.connection_queue.study import ConnectionQueueStudy
from studies.datacenter_location.study import LocationStudy
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.load_profile.study import LoadProfileStudy
from studies.shared.site_choices import ServedModel, SiteChoice

MASTER = """Clear
New Circuit.c basekv=12.47 bus1=s pu=1.02 mvasc3=500 mvasc1=400
New Line.l1 bus1=s bus2=main1 length=1 units=km r1=.2 x1=.4 r0=.5 x0=1.1 normamps=400
New Line.l2 bus1={second} bus2=main2 length=1 units=km r1=.2 x1=.4 r0=.5 x0=1.1 normamps=400
New Load.a bus1=main1 kv=12.47 kw=300 pf=.95
New Load.b bus1=main2 kv=12.47 kw=300 pf=.95
{line}
Set voltagebases=[12.47]
CalcVoltageBases
"""
MISSPELT = "nothing connects its part of the circuit, with bus mian1; did you mean main1?"
OPEN = "open or disabled on the way to it: line.l2"


def master(folder: Path, second: str = "main1", line: str = "") -> Path:
    path = folder / "own.dss"
    path.write_text(MASTER.format(second=second, line=line))
    return path


@pytest.mark.parametrize(
    ("second", "line", "why"),
    [
        ("mian1", "", MISSPELT),
        ("main1", "Open Line.l2 1", OPEN),
        ("main1", "Disable Line.l2", OPEN),
        ("main1", "Edit Vsource.source enabled=no", ""),
        # Buses of a row are told apart by their numbers, and are no slips of each other.
        ("main7", "", ""),
    ],
)
def test_customers_without_a_source_are_told_with_why(tmp_path: Path, second: str, line: str, why: str) -> None:
    words = solve_base_case(Feeder.from_dss(master(tmp_path, second, line))).unserved
    assert words.startswith("no source serves ")
    assert words.partition("; ")[2] == why


def test_every_study_refuses_such_a_bus_with_one_cause_before_it_begins(tmp_path: Path) -> None:
    """A check of 1 MW said that the bus lay behind 493 ohm, and a queue failed with all that was asked for."""
    path = str(master(tmp_path, "mian1"))
    requests = tmp_path / "requests.csv"
    requests.write_text("name,bus,mw,date\nfirst,main1,0.05,2026-01-01\nsecond,main2,1,2026-01-01\n")
    site = SiteChoice("dc", (ServedModel("llama-3.1-70b", 800),), candidates=("main2",))
    for study in (
        HostingCapacityStudy(feeder=path, buses=("main2",)),
        ConnectionCheckStudy(feeder=path, bus="main2", mw=1.0),
        ConnectionQueueStudy(feeder=path, requests=str(requests)),
        LoadProfileStudy(feeder=path, buses=("main2",)),
        LocationStudy(feeder=path, sites=(site,)),
    ):
        with pytest.raises(InputError) as raised:
            study.check()
        assert f"bus 'main2' of feeder own is served by no source; {MISSPELT}" in str(raised.value)
        assert ("second: " in str(raised.value)) == isinstance(study, ConnectionQueueStudy)
