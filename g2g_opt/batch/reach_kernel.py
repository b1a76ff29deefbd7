"""How far an ampere moves any node, compiled: one pass over many responses, with no array of their sizes between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import kernel

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@kernel
def farthest(x: Floats, other: Ints, scale: Floats, group: Ints, reach: Floats) -> None:
    """Raise `reach` (column, group) to the largest |x - x[other]| times `scale` of any node (equation 5.8).

    `x` has shape (place, 2, column, 2): real and imaginary parts of the answers to a real and an imaginary ampere.
    """
    width = x.shape[2]
    for i in range(len(scale)):
        o, g, size = other[i], group[i], scale[i] * scale[i]
        for b in range(width):
            for part in range(2):
                re, im = x[i, 0, b, part] - x[o, 0, b, part], x[i, 1, b, part] - x[o, 1, b, part]
                reach[b, g] = max(reach[b, g], (re * re + im * im) * size)
    for b in range(width):
        for g in range(3):
            reach[b, g] = np.sqrt(reach[b, g])
