"""A wrong word on a command line is answered in the words that were typed: flags, not fields and classes of Python."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from studies.catalogue import STUDIES, question_type
from studies.cli import main
from studies.shared.question_flags import flags_of


def said(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    """What a command says that is refused."""
    try:
        status = main(words)
    except SystemExit as end:
        status = int(end.code or 0)
    assert status == 2
    return " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("typed", "answer"),
    [
        ("scenarios --dt-s 0", "argument --dt-s: must be a number in (0, 316224000] s"),
        ("scenarios --dt-s 0.7", "--duration-s 3600 is no multiple of 7/10 s"),
        ("scenarios --duration-s 10 --control-dt-s 20", "--control-dt-s 20 is longer than the run"),
        ("scenarios --pv-scale 2,1", "--pv-scale must be a range that rises"),
        ("scenarios --start-batch-sizes 3", "--start-batch-sizes: no model of ieee13 can begin at 3; known: [8, 16"),
        ("controllers --start-batch-sizes 3", "--start-batch-sizes: no model of ieee13 can begin at 3"),
        ("hosting-capacity --channel udp:loss=2", "channel 'udp:loss=2': loss must lie in [0, 1)"),
        ("hosting-capacity --channel udp:latency=-1", "latency must lie in [0, 10000] s"),
        ("hosting-capacity --channel udp:age=-1", "age must lie in"),
        ("hosting-capacity --policy schedule", "kind 'schedule' needs --batch-cap"),
        ("hosting-capacity --storage 0,2", "--storage '0,2': power_kw must lie in (0, 1e+07] kW"),
        ("hosting-capacity --site-replicas a:7", "--site-replicas 'a:7': start must lie in [0, 1], got 7.0"),
        ("hosting-capacity --outage-start-s 4", "--outage-start-s needs --outage-s, how long it lasts"),
        ("hosting-capacity --sites 3 --bus 671", "--sites 3 needs at least as many buses"),
        ("hosting-capacity --frontier 1", "--frontier must be 0, or 2 and more"),
        ("live node --allocator 127.0.0.1:99999", "the port of '127.0.0.1:99999' must be a whole number in [0, 65535]"),
    ],
)
def test_a_refusal_names_what_was_typed(capsys: pytest.CaptureFixture[str], typed: str, answer: str) -> None:
    words = said(capsys, *typed.split())
    assert answer in words
    assert not re.search(r"[A-Z]\w+\.[a-z_]+ must|Fraction\(", words)


@pytest.mark.parametrize(
    ("typed", "flag"),
    [
        ("check --bus 671 --bus 675", "--bus"),
        ("check --bus 671 --mw 1 --mw 2", "--mw"),
        ("check --load-level 0.5 --own-load-share 0.4", "--load-level/--own-load-share"),
        ("queue a.csv --requests b.csv", "--requests"),
        ("queue --levels 1,0.5 --levels 0.3", "--levels"),
        ("hosting-capacity --workers 1 --workers 2", "--workers"),
        ("run --out a --out b x.toml", "--out"),
        ("live node --allocator 127.0.0.1:9 --allocator 127.0.0.1:8", "--allocator"),
    ],
)
def test_a_flag_of_one_value_is_not_given_twice(capsys: pytest.CaptureFixture[str], typed: str, flag: str) -> None:
    assert f"argument {flag}: given more than once" in said(capsys, *typed.split())


def test_lists_are_still_added_to(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = tmp_path / "two.toml"
    assert main(["hosting-capacity", "--bus", "671", "--bus", "675", "--save", str(file)]) == 0
    assert '"675"' in file.read_text(encoding="utf-8")


@pytest.mark.parametrize("study", sorted(STUDIES))
def test_every_flag_of_one_value_is_refused_when_it_is_repeated(capsys: pytest.CaptureFixture[str], study: str) -> None:
    kind = question_type(study)
    for one in flags_of(kind, kind()):
        if one.flag.const or one.hint is bool or one._is_repeated:
            continue
        if one.choices:
            word = one.choices[0]
        elif one._number_reader() is None:
            word = "x"
        else:
            continue  # numbers differ in what they take; they are kept by the same action
        assert "given more than once" in said(capsys, study, one.flag.name, word, one.flag.name, word), one.flag.name


def test_a_file_is_answered_in_the_words_of_files(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    study = tmp_path / "study.toml"
    study.write_text('study = "hosting-capacity"\nfeeder = 5\n', encoding="utf-8")
    assert "feeder: must be a text, got 5" in said(capsys, "run", str(study))
    study.write_text('study = "hosting-capacity"\nconnection = "star"\n', encoding="utf-8")
    assert "connection: must be 'auto', 'wye' or 'delta', got 'star'" in said(capsys, "run", str(study))
    study.write_text('study = "scenarios"\n', encoding="utf-8")
    (tmp_path / "feeders").mkdir()
    (tmp_path / "feeders" / "feeders.txt").write_text("ieee13\n", encoding="utf-8")
    words = said(capsys, "portfolio", str(tmp_path / "feeders"), "--question", str(study))
    assert "'scenarios' is asked of no feeder" in words
