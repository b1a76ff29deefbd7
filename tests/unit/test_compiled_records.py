"""Packed named tuples as kernels read them, and where compiled code is kept."""

from __future__ import annotations

import inspect
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from g2g_opt.compiled.kernel import folder, kernel, version
from g2g_opt.compiled.records import Bools1, Complexes2, Counts1, Floats1, Floats3, Ints2, pack, part, reader


class Inside(NamedTuple):
    weight: float
    first: int
    marks: Bools1


class Outside(NamedTuple):
    number: int
    cube: Floats3
    inside: Inside
    table: Ints2
    counts: Counts1
    phasors: Complexes2
    line: Floats1


_read = reader(Outside)


@kernel
def _touch(packed: Any) -> float:
    o = _read(packed)
    total = 0.0
    for i in range(len(o.cube)):
        row = o.cube[i, 1]
        for k in range(row.shape[0]):
            total += row[k] * o.inside.weight + o.table[o.number, k]
    for k in range(o.inside.marks.shape[0]):
        if o.inside.marks[k]:
            o.counts[k] += o.inside.first
            o.phasors[k, 0] = complex(total, float(k))
    rest = part(o.line, 1)
    rest[0] = float(len(rest))
    return total


def _outside(**other: Any) -> Outside:
    rng = np.random.default_rng(3)
    fields: dict[str, Any] = {
        "number": 1,
        "cube": rng.normal(size=(2, 3, 4)),
        "inside": Inside(0.25, 7, np.array([True, False, True])),
        "table": np.arange(8).reshape(2, 4),
        "counts": np.ones(3, dtype=np.int32),
        "phasors": np.zeros((3, 1), dtype=np.complex128),
        "line": np.zeros(4),
    }
    return Outside(**(fields | other))


def test_a_kernel_reads_and_writes_the_arrays_of_a_packed_record() -> None:
    o = _outside()
    packed = pack(o)
    total = _touch(packed.words)
    assert total == pytest.approx(0.25 * o.cube[:, 1].sum() + 2 * o.table[1].sum(), rel=1e-12)
    assert o.counts.tolist() == [8, 1, 8]
    assert o.phasors[:, 0].tolist() == [complex(total, 0.0), 0.0, complex(total, 2.0)]
    assert o.line.tolist() == [0.0, 3.0, 0.0, 0.0]


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"cube": np.zeros((2, 3, 4), dtype=np.float32)}, "contiguous float64 of 3 dimensions, not float32"),
        ({"cube": np.zeros((2, 3))}, r"not float64 \(2, 3\)"),
        ({"table": np.zeros((4, 4), dtype=np.int64)[:, ::2]}, "table is a contiguous int64"),
        ({"line": [0.0]}, "not list"),
    ],
)
def test_an_array_of_another_kind_is_refused(other: dict[str, Any], words: str) -> None:
    with pytest.raises(TypeError, match=words):
        pack(_outside(**other))


def test_compiled_code_is_kept_by_version_wherever_the_code_lies(tmp_path: Path) -> None:
    assert folder().name == version()
    copy = tmp_path / "elsewhere" / "g2g_opt"
    source = Path(inspect.getfile(kernel)).resolve().parents[1]
    for path in source.rglob("*.py"):
        place = copy / path.relative_to(source)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(path.read_bytes())
    ask = "from g2g_opt.compiled.kernel import version; print(version())"

    def asked() -> str:
        elsewhere = {"cwd": copy.parent, "env": {"PYTHONPATH": str(copy.parent)}}
        done = subprocess.run([sys.executable, "-c", ask], check=True, capture_output=True, text=True, **elsewhere)
        return str(done.stdout).strip()

    assert asked() == version()
    # Kernels themselves, and where they only take a constant from.
    seen = {version()}
    for place in (("batch", "kernel_tables.py"), ("datacenter", "workloads", "latency.py")):
        with copy.joinpath(*place).open("a", encoding="utf-8") as file:
            file.write("\nMORE = 1\n")
        assert asked() not in seen
        seen.add(asked())


_KERNEL_OF_ITS_OWN = """
import sys
from typing import NamedTuple

import numba
import numpy as np

{without}
from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.records import Floats1, pack, reader


class Line(NamedTuple):
    x: Floats1
    size: float


read = reader(Line)


@inner
def add(x, by):
    for i in range(len(x)):
        x[i] += by


@kernel
def shift(packed):
    line = read(packed)
    add(line.x, line.size)
    return line.x[len(line.x) - 1]


x = np.arange(4.0)
assert shift(pack(Line(x, 0.5)).words) == 3.5 and x.tolist() == [0.5, 1.5, 2.5, 3.5]
print("g2g_opt.compiled.pipeline" in sys.modules, "pipeline_class" in str(shift.targetoptions) or bool(
    shift._compiler.pipeline_class.__module__ == "g2g_opt.compiled.pipeline"))
"""


@pytest.mark.parametrize(
    ("without", "printed"),
    [
        ("", "True True"),
        ("numba.__version__ = '0.60.0'", "False False"),
        ("import numba.core.codegen; del numba.core.codegen.JITCodeLibrary", "False False"),
    ],
)
def test_kernels_compile_without_the_private_parts_of_numba(tmp_path: Path, without: str, printed: str) -> None:
    """A numba that our own passes were not tried with, or that lacks what they are made of, compiles by its own."""
    script = tmp_path / "own_kernel.py"
    script.write_text(_KERNEL_OF_ITS_OWN.format(without=without), encoding="utf-8")
    root = Path(inspect.getfile(kernel)).resolve().parents[2]
    environment = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
    assert (done.returncode, done.stdout.strip()) == (0, printed), done.stderr


_ANOTHER_KERNEL = """
print(sum(shift.stats.cache_hits.values()), "numba.np.npyimpl" in sys.modules)


@kernel
def bend(packed):
    line = read(packed)
    return np.tanh(line.x[0]) + np.log1p(line.size)


assert bend(pack(Line(x, 0.5)).words) == np.tanh(x[0]) + np.log1p(0.5)
"""


def test_a_process_loads_what_is_compiled_without_a_compiler_and_compiles_what_is_not(tmp_path: Path) -> None:
    script = tmp_path / "own_kernel.py"
    script.write_text(_KERNEL_OF_ITS_OWN.format(without="") + _ANOTHER_KERNEL, encoding="utf-8")
    root = Path(inspect.getfile(kernel)).resolve().parents[2]
    environment = {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": str(tmp_path / "compiled")}
    for printed in ("0 True", "1 False"):
        done = subprocess.run([sys.executable, script], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stdout.split("\n")[1]) == (0, printed), done.stderr
        # The second process finds the first kernel, and the other one has to be compiled in it.
        for path in (tmp_path / "compiled").rglob("*bend*"):
            path.unlink()


def test_a_version_that_is_in_use_is_kept_however_many_there_are(tmp_path: Path) -> None:
    # Another process may be about to put what it compiled there.
    places = [tmp_path / "kernels" / f"{k:020d}" for k in range(9)]
    for k, place in enumerate(places):
        place.mkdir(parents=True)
        used_s = time.time() - (10.0 if k < 7 else 90_000.0)
        os.utime(place, (used_s, used_s))
    ask = "from g2g_opt.compiled.kernel import folder; print(folder())"
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", ask], env=environment, capture_output=True, text=True, check=True)
    assert Path(done.stdout.strip()).is_dir()
    assert [place.is_dir() for place in places] == [True] * 7 + [False] * 2
