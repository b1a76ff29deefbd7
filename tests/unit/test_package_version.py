"""`g2g --version` says version and commit: of a checkout git's, of a built package the one that it holds."""

from __future__ import annotations

from pathlib import Path

import pytest

import g2g_opt
from studies import package_version
from studies.cli import EVERY, main, parser_of


def test_a_built_package_holds_its_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    stored = tmp_path / "_commit.txt"
    stored.write_text("0123456789\n")
    monkeypatch.setattr(package_version, "_STORED", stored)
    assert package_version.version_in_words() == f"g2g-opt {g2g_opt.__version__} (commit 0123456789)"


def test_without_file_and_git_nothing_is_made_up(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(package_version, "_STORED", tmp_path / "none")
    monkeypatch.setattr(package_version, "_PACKAGE", tmp_path / "g2g_opt")
    assert package_version.version_in_words() == f"g2g-opt {g2g_opt.__version__}"


def test_the_command_says_it(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        main(["--version"])
    assert end.value.code == 0
    assert capsys.readouterr().out.strip() == package_version.version_in_words()


def test_completion_knows_every_command_and_its_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "bash"]) == 0
    script = capsys.readouterr().out
    for words in ("hosting-capacity", "--voltage-min-pu", "--feeder", "resume", "models", "--tensor-parallel", "live"):
        assert words in script
    # Every command has its options there, not only its help.
    choices = next(action.choices for action in parser_of(EVERY)._actions if isinstance(action.choices, dict))
    assert [name for name, parser in choices.items() if len(parser._actions) < 2] == []
