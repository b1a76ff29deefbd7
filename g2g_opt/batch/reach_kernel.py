"""How far an ampere moves any node, compiled: one pass over many responses, with no array of their sizes between."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import kernel
from g2g_opt.compiled.records import Floats1, Floats2, Floats4, Ints1, pack, reader

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class _Responses(NamedTuple):
    """The arguments of `farthest`, in their order."""

    x: Floats4
    other: Ints1
    scale: Floats1
    group: Ints1
    reach: Floats2


_read = reader(_Responses)


def farthest(x: Floats, other: Ints, scale: Floats, group: Ints, reach: Floats) -> None:
    """Raise `reach` (column, group) to the largest |x - x[other]| times `scale` of any node (equation 5.8).

    `x` has shape (place, 2, column, 2): real and imaginary parts of the answers to a real and an imaginary ampere.
    """
    _farthest(pack(_Responses(x, other, scale, group, reach)).words)


@kernel
def _farthest(packed: Ints) -> None:
    t = _read(packed)
    x, reach = t.x, t.reach
    width = x.shape[2]
    for i in range(len(t.scale)):
        o, g, size = t.other[i], t.group[i], t.scale[i] * t.scale[i]
        for b in range(width):
            for part in range(2):
                re, im = x[i, 0, b, part] - x[o, 0, b, part], x[i, 1, b, part] - x[o, 1, b, part]
                square = (re * re + im * im) * size
                if square > reach[b, g]:
                    reach[b, g] = square
    for b in range(width):
        for g in range(3):
            reach[b, g] = math.sqrt(reach[b, g])
