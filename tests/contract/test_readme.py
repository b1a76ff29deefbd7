"""The README's Python runs, and its commands exist."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("number", range(len(BLOCKS)))
def test_python_of_the_readme_runs_outside_the_checkout(number: int, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "Agg"}
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", BLOCKS[number]],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip()


def test_every_command_line_of_the_readme_is_understood() -> None:
    from studies.cli import main, parser_of

    lines = re.findall(r"^g2g (.+?)(?:\s+#.*)?$", README, re.MULTILINE)
    assert len(lines) >= 5
    for line in lines:
        if line.endswith("--help"):
            continue
        options = parser_of(line.split()[0]).parse_args(line.split())
        if line.startswith("hosting-capacity") and ".dss" not in line:
            # A question that the studies accept, not only the parser.
            options.question_of(options).check()
        if line.startswith("models"):
            assert main(line.split()) == 0


def test_the_two_commands_install_with_the_pins_and_end_in_the_job_and_the_tests() -> None:
    commands = [line for line in README.splitlines() if line.startswith("python3 -m venv")]
    assert len(commands) == 2
    assert all("-c constraints.txt" in command for command in commands)
    assert commands[0].endswith("g2g hosting-capacity --feeder ieee13")
    assert commands[1].endswith("pytest")
