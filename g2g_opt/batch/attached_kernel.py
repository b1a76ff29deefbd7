"""What is attached to the grids of a batch draws in a step, compiled: sites, generators and loads that follow time."""

from __future__ import annotations

from typing import Any, NamedTuple

from g2g_opt.compiled.kernel import inner, kernel
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.compiled.program import DONE, IN_PYTHON
from g2g_opt.compiled.records import Bools1, Floats1, Floats2, Floats3, Ints1, reader


class FollowedShares(NamedTuple):
    """Shares of loads, or of units, that follow time: `slots[i]` has those of `kinds[i]` in the places `columns`."""

    table: Floats3  # (step, kind, column)
    slots: Ints1
    kinds: Ints1
    columns: Ints1


class AttachedPowers(NamedTuple):
    """Powers of sites (W by phase) and of profiles (kW) and where they go, three ports of each one after the other.

    `real` and `imaginary` are places in `power` seen as a flat array. `series` (step, profile), as the tables of
    shares, holds the steps from `span[0]` up to `span[1]`; a port draws `sign` times that of its `kind`, with `tan_phi`
    of it as vars. Scenarios that `has_failed` marks, `n_failed` in all, draw nothing.
    """

    site_w: Floats2  # (fleet, 3)
    site_real: Ints1
    site_imaginary: Ints1
    site_tan_phi: Floats1
    series: Floats2
    span: Ints1
    kind: Ints1
    sign: Floats1
    real: Ints1
    imaginary: Ints1
    tan_phi: Floats1
    has_failed: Bools1
    n_failed: Ints1
    power: Floats1  # (chunk, port x 2 x lane), flat
    by_chunk: Floats2
    loads: FollowedShares
    units: FollowedShares
    load_share: Floats3  # (chunk, place, lane)


_read = reader(AttachedPowers)


@inner
def _write_shares(load_share: Any, of: Any, row: int) -> None:
    for i in range(len(of.slots)):
        chunk, lane, kind = of.slots[i] // WIDTH, of.slots[i] % WIDTH, of.kinds[i]
        for k in range(len(of.columns)):
            load_share[chunk, of.columns[k], lane] = of.table[row, kind, k]


@kernel
def write_powers(address: int, step: int) -> int:
    """Write the powers of a step, if it is laid out."""
    p = _read(address)
    follows = len(p.kind) + len(p.loads.slots) + len(p.units.slots) > 0
    if follows and not p.span[0] <= step < p.span[1]:
        return IN_PYTHON
    row = step - p.span[0]
    for fleet in range(len(p.site_w)):
        for phase in range(3):
            i = 3 * fleet + phase
            site_w = p.site_w[fleet, phase]
            p.power[p.site_real[i]] = site_w
            p.power[p.site_imaginary[i]] = site_w * p.site_tan_phi[i]
    for i in range(len(p.kind)):
        profile_w = p.sign[i] * p.series[row, p.kind[i]]
        p.power[p.real[i]] = profile_w
        p.power[p.imaginary[i]] = profile_w * p.tan_phi[i]
    _write_shares(p.load_share, p.loads, row)
    _write_shares(p.load_share, p.units, row)
    if p.n_failed[0] > 0:
        for slot in range(len(p.has_failed)):
            if p.has_failed[slot]:
                own = p.by_chunk[slot // WIDTH]
                for place in range(slot % WIDTH, len(own), WIDTH):
                    own[place] = 0.0
    return DONE
