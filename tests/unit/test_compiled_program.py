"""Compiled parts of a step, run one after the other, and where Python comes in."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from g2g_opt.compiled.kernel import kernel
from g2g_opt.compiled.program import DONE, IN_PYTHON, LEFT, Part, Program
from g2g_opt.compiled.records import NOTHING_PACKED, Floats1, Ints1, pack, pack_again, reader


class Sums(NamedTuple):
    """Adds `each` in every step; leaves the steps that `stops` names to Python, with a code."""

    total: Floats1
    each: float
    stops: Ints1
    codes: Ints1


_read = reader(Sums)


@kernel
def add(address: int, step: int) -> int:
    """Add once."""
    s = _read(address)
    for k in range(len(s.stops)):
        if s.stops[k] == step and s.codes[k] == IN_PYTHON:
            return IN_PYTHON
    s.total[0] += s.each
    for k in range(len(s.stops)):
        if s.stops[k] == step:
            return s.codes[k]
    return DONE


def sums(each: float, *stops: tuple[int, int]) -> Sums:
    steps, codes = (np.array([stop[k] for stop in stops], dtype=np.int64) for k in range(2))
    return Sums(np.zeros(1), each, steps, codes)


def test_a_program_makes_every_part_of_every_step_and_asks_python_where_a_part_says_so() -> None:
    first, second = sums(1.0, (3, IN_PYTHON), (7, LEFT)), sums(10.0)
    heard: list[tuple[str, int, int, float]] = []

    def hear(name: str) -> Part:
        record = first if name == "first" else second
        return Part(lambda step, code: heard.append((name, step, code, float(second.total[0]))), add, pack(record))

    third = Part(lambda step, code: heard.append(("third", step, code, float(second.total[0]))))
    program = Program([hear("first"), hear("second")])
    turns = 0
    while not program.advance(10):
        turns += 1
    # In step 3 Python made the part, in step 7 it heard of one that was made; the second part has not missed a step.
    assert heard == [("first", 3, IN_PYTHON, 30.0), ("first", 7, LEFT, 70.0)]
    assert (turns, first.total[0], second.total[0]) == (2, 9.0, 100.0)

    heard.clear()
    program = Program([hear("second"), third])
    while not program.advance(2):
        pass
    assert heard == [("third", 0, IN_PYTHON, 110.0), ("third", 1, IN_PYTHON, 120.0)]
    while not program.advance(3):
        pass
    assert [step for _, step, _, _ in heard] == [0, 1, 2]


def test_a_record_packed_again_is_read_where_the_first_one_was() -> None:
    packed = pack_again(NOTHING_PACKED, sums(1.0))
    other = sums(5.0)
    again = pack_again(packed, other)
    assert again.address == packed.address
    assert add(packed.address, 0) == DONE
    assert other.total[0] == 5.0
