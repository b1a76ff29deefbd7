"""A disk so small that it can be filled, and consent to a study that is not registered."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from g2g_opt.consent import Consent, give_consent, given_consent


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
