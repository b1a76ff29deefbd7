"""Steps of a loop that compiled kernels make one after the other, with Python only where it is needed.

Every part of a step is a kernel `part(address, step) -> code` that reads the record at an address (`records.pack`).
`run_program` makes part after part and step after step; it comes back where a part returns another code than `DONE`, or
has no kernel (`IN_PYTHON`). Kernels are called by their addresses, so that each is compiled once, for Python and for
programs alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import kernel
from g2g_opt.compiled.records import Packed

Ints = NDArray[np.int64]

# What a part of a step returns: it is made, Python has to make it, or something is left to do for Python (a code of the
# part's own, from `LEFT` on).
DONE, IN_PYTHON, LEFT = 0, 1, 2
_OF_A_PART = (types.int64, types.int64)


class Part(NamedTuple):
    """A part of a step: `attend(step, code)` does in Python what the kernel left to it; none: it is all Python's."""

    attend: Callable[[int, int], None]
    kernel: Any = None
    record: Packed | None = None


def make_all(parts: Sequence[Part], step: int) -> None:
    """Make parts of a step one after the other, where something outside of the program acts between them."""
    for part in parts:
        code = IN_PYTHON if part.kernel is None or part.record is None else part.kernel(part.record.address, step)
        if code != DONE:
            part.attend(step, code)


class Program:
    """Parts of a step in their order, run from step 0 on."""

    def __init__(self, parts: Sequence[Part]) -> None:
        self.parts = tuple(parts)
        self._entries = np.array([entry_of(part.kernel) for part in parts], dtype=np.int64)
        self._records = np.array([0 if p.record is None else p.record.address for p in parts], dtype=np.int64)
        self._where = np.zeros(3, dtype=np.int64)

    def advance(self, end: int) -> bool:
        """Go on to step `end`, or until Python has made its share of a step: True if the end is reached."""
        run_program(self._entries, self._records, self._where, end)
        step, place, code = self._where.tolist()
        if step >= end:
            return True
        self.parts[place].attend(step, code)
        self._where[1] = place + 1
        return False


@cache
def entry_of(of: Any) -> int:
    """Address of a kernel's code; 0 for none."""
    if of is None:
        return 0
    of.compile(_OF_A_PART)
    compiled = of.overloads[_OF_A_PART]
    return int(compiled.library.get_pointer_to_function(compiled.fndesc.llvm_func_name))


@intrinsic
def call(typing_context: Any, entry: Any, record: Any, step: Any) -> Any:
    """What the kernel at an address returns; none of them raises."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        word, raised = ir.IntType(64), ir.IntType(8).as_pointer()
        kind = ir.FunctionType(ir.IntType(32), [word.as_pointer(), raised.as_pointer(), word, word])
        code, error = cgutils.alloca_once(builder, word), cgutils.alloca_once(builder, raised)
        builder.call(builder.inttoptr(arguments[0], kind.as_pointer()), [code, error, *arguments[1:]])
        return builder.load(code)

    return types.int64(types.int64, types.int64, types.int64), generate


@kernel
def run_program(entries: Ints, records: Ints, where: Ints, end: int) -> None:
    """From `where` (step, place of the next part) on; writes where it ended, and with which code."""
    step, place, n_parts = where[0], where[1], len(entries)
    while step < end:
        while place < n_parts:
            code = call(entries[place], records[place], step) if entries[place] != 0 else IN_PYTHON
            if code != DONE:
                where[0], where[1], where[2] = step, place, code
                return
            place += 1
        step, place = step + 1, 0
    where[0], where[1], where[2] = step, place, DONE
