"""A disk so small that it can be filled, consent to a study that is not registered, and one that is stored."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from stored_study import STUDY

from g2g_opt.consent import Consent, give_consent, given_consent
from studies.cli import main
from studies.running.local_workers import LocalWorkers
from studies.running.runner import run_study


@pytest.fixture(autouse=True, scope="module")
def _trusted_study() -> Iterator[None]:
    """`small_study` is a study by where it is; fixtures of a module need that, too."""
    before = given_consent()
    give_consent(Consent(studies=True))
    yield
    give_consent(before)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of one MB with 30 kB left; deleting `ballast` makes room."""
    place = tmp_path / "disk"
    place.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(place)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode != 0:
        pytest.skip("only root may mount a small file system")
    try:
        (place / "ballast").write_bytes(b"0" * (1024 * 1024 - 200_000))
        yield place
    finally:
        subprocess.run(["umount", str(place)], check=True)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished study with its report, which nobody may change."""
    root = tmp_path_factory.mktemp("whole") / "s"
    run_study(root, lambda: LocalWorkers(2), question=STUDY)
    assert main(["report", str(root), "--trust-study"]) == 0
    return root


@pytest.fixture
def stored(whole: Path, tmp_path: Path) -> Path:
    """A copy of it that a test may spoil."""
    return Path(shutil.copytree(whole, tmp_path / "stored"))
