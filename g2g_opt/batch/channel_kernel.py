"""What channels of a batch do in every step, compiled: figures of fleets, and batch sizes that have arrived."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.compiled.kernel import kernel
from g2g_opt.compiled.records import Floats1, Floats2, Ints1, Ints2, reader

Ints = NDArray[np.int64]
Counts = NDArray[np.int32]
Bools = NDArray[np.bool_]


@kernel
def arrived_sizes(
    newest: Counts, arrived: Counts, row_fleet: Ints, sent_batch: Ints, commanded: Ints, rows: Ints, sizes: Ints
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


class Figures(NamedTuple):
    """What is measured of fleets, and the tables that it is gathered in, figure by figure."""

    replicas: Ints1
    itl_s: Floats1
    batch: Ints1
    servers: Ints2
    power_w: Floats2
    rows: Floats2
    whole: Ints2
    measured_w: Floats2


_read = reader(Figures)


@kernel
def gather(packed: Ints) -> None:
    """Write down what was measured: replicas, latency, batch size, servers by phase, and powers by phase."""
    f = _read(packed)
    for r in range(len(f.replicas)):
        f.whole[0, r], f.rows[1, r], f.whole[2, r] = f.replicas[r], f.itl_s[r], f.batch[r]
        for phase in range(3):
            f.whole[3 + phase, r] = f.servers[r, phase]
    for k in range(len(f.power_w)):
        for phase in range(3):
            f.measured_w[phase, k] = f.power_w[k, phase]
