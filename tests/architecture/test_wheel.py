"""The built wheel works with the source tree out of reach: it holds every module and all of data/, and finds them."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
pytestmark = pytest.mark.xdist_group("wheel")  # one worker, so that the wheel is built once
PACKAGES = ("g2g_opt", "solvers", "studies")

# Runs with -I -S: neither the working folder nor a .pth file (an editable install) can bring the checkout back.
# argv: the unzipped wheel, then the folders of the installed libraries.
PROBE = """
import importlib, pkgutil, sys
sys.path[:0] = sys.argv[1:2]
sys.path += sys.argv[2:]
from g2g_opt.data_files import data_path
print(data_path("feeders", "ieee13", "loads.csv"))
for package in ("g2g_opt", "solvers", "studies"):
    top = importlib.import_module(package)
    for found in pkgutil.walk_packages(top.__path__, package + "."):
        if not found.name.endswith("__main__"):
            try:
                print(importlib.import_module(found.name).__file__)
            except ModuleNotFoundError as error:
                # What an extra brings is imported by the modules for which it is there.
                if error.name not in ("stable_baselines3", "torch"):
                    raise
                print(found.module_finder.find_spec(found.name).origin)
"""


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Root of the unzipped wheel, built without network from the sdist that is built from the checkout."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT, cwd=folder)
    (file,) = folder.glob("*.whl")
    assert file.name.endswith("-py3-none-any.whl"), "a pure Python wheel: nothing is compiled"
    with zipfile.ZipFile(file) as archive:
        archive.extractall(folder / "unzipped")
    return folder / "unzipped"


def files_under(folder: Path) -> set[str]:
    found = (file for file in folder.rglob("*") if file.is_file() and "__pycache__" not in file.parts)
    return {file.relative_to(folder).as_posix() for file in found}


def test_wheel_holds_the_data(wheel: Path) -> None:
    shipped = files_under(wheel / "g2g_opt" / "_data")
    assert "feeders/ieee13/loads.csv" in shipped
    assert shipped == files_under(ROOT / "data")


def test_wheel_holds_the_three_packages_and_nothing_else(wheel: Path) -> None:
    assert {path.name for path in wheel.iterdir() if not path.name.endswith(".dist-info")} == set(PACKAGES)
    for package in PACKAGES:
        shipped = {name for name in files_under(wheel / package) if not name.startswith("_data/")}
        # The commit that it was built from, if that was a checkout.
        assert shipped - {"_commit.txt"} == files_under(ROOT / package)


def test_wheel_names_its_command_and_licence(wheel: Path) -> None:
    (info,) = wheel.glob("*.dist-info")
    assert "g2g = studies.cli:main" in (info / "entry_points.txt").read_text(encoding="utf-8")
    assert "License-Expression: Apache-2.0" in (info / "METADATA").read_text(encoding="utf-8")
    assert (info / "licenses" / "LICENSE").is_file()
    assert (info / "licenses" / "LICENSES.md").is_file()


def test_wheel_finds_its_modules_and_data_without_the_checkout(wheel: Path, tmp_path: Path) -> None:
    libraries = dict.fromkeys((sysconfig.get_path("purelib"), sysconfig.get_path("platlib")))
    out = run(sys.executable, "-I", "-S", "-c", PROBE, wheel, *libraries, cwd=tmp_path)
    found = [Path(line) for line in out.splitlines()]
    assert found[0] == wheel / "g2g_opt" / "_data" / "feeders" / "ieee13" / "loads.csv"
    assert [path for path in found if not path.is_relative_to(wheel)] == []
