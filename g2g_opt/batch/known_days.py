"""Days of a chain that have been run, by where they began, and where others may end that begin elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.own_controls import Standing

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class OperatedSeries:
    """Chains of steps as they went under their controls.

    `taps_pu` (chain, step, regulator) after each step, `rows` (row, chain, step): monitored voltages (pu) and then the
    loadings of rated branches, or what they were reduced to; `losses_kw` (chain, step), which steps were `solved`, and
    where controls did not come to rest (`restless`). `unbalance` (chain, step) is the highest of any three-phase bus,
    negative over positive sequence; 0 where it was not asked for. `begins` (chain, day) are where
    controls stood before each day.
    """

    taps_pu: Floats
    rows: Floats
    losses_kw: Floats
    solved: NDArray[np.bool_]
    restless: NDArray[np.bool_]
    unbalance: Floats
    begins: list[list[Standing]]

    @staticmethod
    def joined(parts: Sequence[OperatedSeries]) -> OperatedSeries:
        """The chains of several as one."""
        if len(parts) == 1:
            return parts[0]
        return OperatedSeries(
            np.concatenate([one.taps_pu for one in parts]),
            np.concatenate([one.rows for one in parts], axis=1),
            np.concatenate([one.losses_kw for one in parts]),
            np.concatenate([one.solved for one in parts]),
            np.concatenate([one.restless for one in parts]),
            np.concatenate([one.unbalance for one in parts]),
            [of_chain for one in parts for of_chain in one.begins],
        )

    def tap_steps(self, step_pu: Floats, *, within_days_of: int | None = None) -> Ints:
        """Tap steps (chain, step, regulator) made in each step of a chain, none in its first one, in which controls
        settle; nor in the first one of days of so many steps, where these do not follow each other.
        """
        moved = np.rint(np.abs(np.diff(self.taps_pu, axis=1, prepend=self.taps_pu[:, :1])) / step_pu).astype(np.int64)
        if within_days_of is not None:
            moved[:, ::within_days_of] = 0
        return moved


class KnownDay(NamedTuple):
    """Where a day ends, and the block and lane that ran it."""

    end: Standing
    block: int
    lane: int


def guessed_end(begin: Standing, known: Mapping[Standing, KnownDay]) -> Standing:
    """Where a day may end that was run from elsewhere: regulators that moved then end there, others stay.

    Each of them as in the run that began nearest for it, then for all.
    """
    runs = []
    for one in known:
        away = [abs(a - b) for a, b in zip(one.taps, begin.taps, strict=True)]
        runs.append((away, sum(away), one))
    taps = []
    for k, own in enumerate(begin.taps):
        _, _, one = min(runs, key=lambda run: (run[0][k], run[1]))
        end = known[one].end.taps[k]
        taps.append(own if one.taps[k] == end else end)
    _, _, nearest = min(runs, key=lambda run: run[1])
    return replace(known[nearest].end, taps=tuple(taps))


def gather_days(
    blocks: Sequence[OperatedSeries],
    where: Sequence[KnownDay],
    begins: list[list[Standing]],
    rows: Floats | None = None,
) -> OperatedSeries:
    """Chains made of days that were run in blocks, a lane each: those of the first chain in their order, and so on.

    `begins` (chain, day) are where controls stood before each; `rows` (row, day, step) those of all, where they are not
    the blocks'.
    """
    of_block, of_lane = np.array([(day.block, day.lane) for day in where]).T
    n_steps = blocks[0].losses_kw.shape[1]
    shape = len(begins), len(begins[0]) * n_steps

    def gathered(name: str) -> NDArray[Any]:
        """Of all days, those first, whatever else a figure has."""
        parts = [getattr(one, name) for one in blocks]
        found = np.empty((len(where), *parts[0].shape[1:]), dtype=parts[0].dtype)
        for k, part in enumerate(parts):
            found[of_block == k] = part[of_lane[of_block == k]]
        return found

    # Where they belong at once: rows of a year are by far the most that there is.
    if rows is None:
        rows = np.empty((blocks[0].rows.shape[0], len(where), n_steps))
        for k, one in enumerate(blocks):
            rows[:, of_block == k] = one.rows[:, of_lane[of_block == k]]
    return OperatedSeries(
        gathered("taps_pu").reshape(*shape, -1),
        rows.reshape(-1, *shape),
        gathered("losses_kw").reshape(shape),
        gathered("solved").reshape(shape),
        gathered("restless").reshape(shape),
        gathered("unbalance").reshape(shape),
        begins,
    )
