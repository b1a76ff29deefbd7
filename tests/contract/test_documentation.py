"""What the pages say is so: Python on them runs, commands are understood, links and named files are there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from studies.cli import parser_of

ROOT = Path(__file__).resolve().parents[2]
PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8") for path in sorted((ROOT / "docs").glob("*.md"))
}
PAGES |= {
    name: (ROOT / name).read_text(encoding="utf-8") for name in ("CONTRIBUTING.md", "CHANGELOG.md", "SECURITY.md")
}
PYTHON = [(page, k) for page, text in PAGES.items() for k in range(len(re.findall(r"```python\n", text)))]
COMMANDS = sorted(
    {
        line
        for text in PAGES.values()
        for block in re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        for line in re.findall(r"^g2g (.+?)(?:\s+#.*)?$", block.replace("\\\n", " "), re.MULTILINE)
    }
)


@pytest.mark.parametrize(("page", "number"), PYTHON)
def test_python_of_a_page_runs_outside_the_checkout(page: str, number: int, tmp_path: Path) -> None:
    block = re.findall(r"```python\n(.*?)```", PAGES[page], re.DOTALL)[number]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    command = [sys.executable, "-W", "error", "-c", block]
    run = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


@pytest.mark.parametrize("line", COMMANDS)
def test_a_command_of_a_page_is_understood(line: str) -> None:
    words = line.split()
    if "--help" in words or words[0].startswith("--"):
        return
    options = parser_of(words[0]).parse_args(words)
    assert callable(options.run)


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_links_lead_to_files_and_headings(page: str) -> None:
    text = (ROOT / page).read_text(encoding="utf-8")
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        name, _, _ = target.partition("#")
        # Pages of the API are written when the site is built.
        if not name or "://" in name or name.startswith("reference/"):
            continue
        if not (ROOT / page).parent.joinpath(name).exists():
            dead.append(target)
    assert dead == []


@pytest.mark.parametrize("page", [*PAGES, "README.md"])
def test_files_that_a_page_names_are_there(page: str) -> None:
    named = re.findall(
        r"`((?:g2g_opt|solvers|studies|tests|docs|examples|benchmarks|data|\.ci)/[\w./-]+)`",
        (ROOT / page).read_text(encoding="utf-8"),
    )
    made_by_users = ("data/specs",)
    assert [name for name in named if not (ROOT / name).exists() and not name.startswith(made_by_users)] == []


def test_the_site_has_every_page() -> None:
    script = (ROOT / ".ci" / "docs").read_text(encoding="utf-8")
    missing = [page for page in PAGES if f'"{page.removeprefix("docs/")}"' not in script]
    assert missing == []


def test_the_version_is_one() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    import g2g_opt

    assert g2g_opt.__version__ == version
    assert f"version: {version}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert re.findall(r"^## (\d+\.\d+\.\d+)", PAGES["CHANGELOG.md"], re.MULTILINE)[0] == version
    # The wheel that the README names is the one that is built.
    assert set(re.findall(r"g2g_opt-([\d.]+)-py3", (ROOT / "README.md").read_text(encoding="utf-8"))) == {version}


def test_no_page_names_an_index_of_packages() -> None:
    texts = {**PAGES, "README.md": (ROOT / "README.md").read_text(encoding="utf-8")}
    assert [page for page, text in texts.items() if re.search(r"--(?:extra-)?index-url|pypi\.org", text)] == []
