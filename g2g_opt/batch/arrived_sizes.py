"""Batch sizes that have arrived at the fleets of a batch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import kernel

Ints = NDArray[np.int64]
Ticks = NDArray[np.int32]
Bools = NDArray[np.bool_]


@kernel
def arrived_sizes(
    newest: Ticks, arrived: Ticks, row_fleet: Ints, sent_batch: Ints, commanded: Ints, rows: Ints, sizes: Ints
) -> int:
    """Take note of the `newest` step whose set-points have come to each fleet; how many rows change batch size by it.

    `arrived` is that step up to now, `sent_batch` (step modulo its length, row) what was sent. The rows that change and
    their sizes are put into `rows` and `sizes`.
    """
    n = 0
    for r in range(len(row_fleet)):
        f = row_fleet[r]
        if newest[f] > arrived[f]:
            size = sent_batch[newest[f] % len(sent_batch), r]
            if size != commanded[r]:
                rows[n], sizes[n] = r, size
                n += 1
    for f in range(len(newest)):
        arrived[f] = max(arrived[f], newest[f])
    return n


@kernel
def sizes_at_once(now: Bools, row_fleet: Ints, batch: Ints, commanded: Ints, rows: Ints, sizes: Ints) -> int:
    """How many rows of fleets that are reached `now` change to their set-points `batch`; put into `rows`, `sizes`."""
    n = 0
    for r in range(len(row_fleet)):
        if now[row_fleet[r]] and batch[r] != commanded[r]:
            rows[n], sizes[n] = r, batch[r]
            n += 1
    return n
