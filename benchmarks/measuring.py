"""What the benchmarks share: a case folder for both sides, child processes that are measured, ratios of pairs.

Imports nothing but the standard library, nor do the commands that start children: a child starts with its parent's
peak memory on its account.
"""

from __future__ import annotations

import gzip
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
CASES = ROOT / "tests" / "reference" / "openg2g"
FEEDERS = ROOT / "data" / "feeders"
OURS, PEER = "g2g_opt", "openg2g"
# Matrices are small, and idle threads of a linear-algebra library count as CPU time.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class BenchmarkError(Exception):
    """A side failed, or both sides did not compute the same thing."""


@dataclass(frozen=True)
class Measurement:
    """One child process: seconds of CPU (user + system) and wall time, peak memory (MiB), and what it wrote."""

    cpu_s: float
    wall_s: float
    peak_mib: float
    result: dict[str, Any]


# --- inputs


def write_case(
    folder: Path,
    duration_s: int,
    window_pu: tuple[float, float] = (0.95, 1.05),
    dt_s: str = "1/10",
    name: str = "ieee123_noop",
) -> None:
    """A recorded case with one OFO controller per site, its profiles, and the circuit as one .dss file."""
    folder.mkdir(parents=True)
    case = json.loads((CASES / name / "case.json").read_text(encoding="utf-8"))
    study = json.loads((FEEDERS / case["feeder"] / "study.json").read_text(encoding="utf-8"))
    case["controllers"] = [{"kind": "ofo", "config": study["ofo"]}]
    # The peer's loads keep OpenDSS's own window, so no other one can be compared.
    case["dc_constant_power_window_pu"] = list(window_pu)
    case |= {"dt_s": dt_s, "control_dt_s": "1", "duration_s": duration_s, "master_file": f"{case['feeder']}.dss"}
    (folder / "case.json").write_text(json.dumps(case, indent=1), encoding="utf-8")
    with gzip.open(CASES / name / "profiles.csv.gz", "rb") as packed, (folder / "profiles.csv").open("wb") as plain:
        shutil.copyfileobj(packed, plain)
    run_child(sys.executable, "g2g_side.py", [str(folder), "--write-feeder"], folder / "feeder.json")


# --- children


class Child:
    """A side as a process of its own; `result` is the JSON file it writes, in a folder two below the bytecode's."""

    def __init__(self, python: str, script: str, arguments: Sequence[str], result: Path) -> None:
        environment = os.environ | dict.fromkeys(THREAD_VARIABLES, "1")
        # Bytecode and compiled kernels come from the warm-up, whatever the environment and the checkout hold.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        environment["PYTHONPYCACHEPREFIX"] = str(result.parent.parent / "bytecode")
        environment["NUMBA_CACHE_DIR"] = str(result.parent.parent / "compiled")
        if script != "openg2g_side.py":
            environment["PYTHONPATH"] = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self._what, self._result, self._words = f"{python} {script}", result, result.with_suffix(".txt")
        self._started = time.perf_counter()
        with self._words.open("wb") as words:
            self._process = subprocess.Popen(
                [python, str(HERE / script), *arguments, "--result", str(result)],
                env=environment,
                stdout=words,
                stderr=subprocess.STDOUT,
            )

    def wait(self) -> Measurement:
        """Wait for its end and measure it; `BenchmarkError` with its last words if it fails."""
        _, status, usage = os.wait4(self._process.pid, 0)
        wall_s = time.perf_counter() - self._started
        code = self._process.returncode = os.waitstatus_to_exitcode(status)
        if code != 0:
            tail = self._words.read_text(encoding="utf-8", errors="replace")[-3000:]
            missing = any(f"named '{name}'" in tail for name in (PEER, "mlenergy"))
            hint = "; install the extra `.[benchmark]` or name --peer-python" if missing else ""
            raise BenchmarkError(f"{self._what} ended with status {code}{hint}:\n{tail}")
        peak_mib = usage.ru_maxrss / (1024 if platform.system() == "Linux" else 1024**2)
        result = json.loads(self._result.read_text(encoding="utf-8"))
        return Measurement(usage.ru_utime + usage.ru_stime, wall_s, peak_mib, result)


def run_child(python: str, script: str, arguments: Sequence[str], result: Path) -> Measurement:
    """Run a side to its end and measure it; `BenchmarkError` with its last words if it fails."""
    return Child(python, script, arguments, result).wait()


# --- what is printed


def machine() -> str:
    """The machine and how busy it is."""
    load = os.getloadavg()[0]
    return f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores, load {load:.2f}"


def spread(values: Sequence[float], form: str = ".2f") -> str:
    """Minimum, median and maximum."""
    return " / ".join(f"{value:{form}}" for value in (min(values), median(values), max(values)))
