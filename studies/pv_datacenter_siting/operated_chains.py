"""Chains of hours of a feeder under its own controls, shared among the processors that a task may use."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.known_days import OperatedSeries
from g2g_opt.batch.operated_series import FeederOperation, Reduction, SetPoints
from g2g_opt.batch.operating_points import Unit
from g2g_opt.batch.own_controls import Standing
from g2g_opt.batch.unit_series import UnitPoints
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import RatingBasis
from studies.shared.run_processes import processors_of_task, run_processes

Floats = NDArray[np.float64]

# Days, all chains together, from which on another process is worth what passing them on costs.
_WORTH_SHARING = 4 * WIDTH


@dataclass(frozen=True, eq=False)
class Chains:
    """What `FeederOperation.run` is asked for, in its words."""

    units: Sequence[Unit]
    kw: Floats
    load_share: Floats | Mapping[str, Floats]
    set_points: Sequence[SetPoints]
    steps_a_day: int
    begins: Sequence[Sequence[Standing]] | None = None
    guesses: Sequence[Sequence[Standing]] | None = None
    reduce: Reduction | None = None
    tells_unbalance: bool = False
    own_units: UnitPoints | None = None
    over_max: float | None = None

    @property
    def n(self) -> int:
        """How many."""
        return len(self.set_points)

    def run(self, operation: FeederOperation, n_threads: int) -> OperatedSeries:
        """The chains as they go."""
        return operation.run(
            self.units,
            self.kw,
            self.load_share,
            self.set_points,
            steps_a_day=self.steps_a_day,
            begins=self.begins,
            guesses=self.guesses,
            reduce=self.reduce,
            tells_unbalance=self.tells_unbalance,
            own_units=self.own_units,
            n_threads=n_threads,
            over_max=self.over_max,
        )

    def parts(self, n: int) -> list[Chains]:
        """The chains in their order, in so many parts of about the same number."""
        ends = [self.n * k // n for k in range(n + 1)]
        return [self._part(slice(*of_part)) for of_part in pairwise(ends)]

    def _part(self, some: slice) -> Chains:
        return replace(
            self,
            kw=self.kw[:, some],
            set_points=self.set_points[some],
            begins=None if self.begins is None else self.begins[some],
            guesses=None if self.guesses is None else self.guesses[some],
        )


@lru_cache(maxsize=4)
def operation_of(feeder: Feeder, rating_basis: RatingBasis) -> FeederOperation:
    """The feeder under its own controls; `InputError` where they cannot be simulated in lockstep."""
    try:
        return FeederOperation(feeder, rating_basis=rating_basis, storage_idles=True)
    except UnsupportedByBatch as error:
        raise InputError(f"{error}: ask for taps with foresight instead (--taps optimised)") from error


def run_chains(feeder: Feeder, rating_basis: RatingBasis, chains: Chains) -> OperatedSeries:
    """The chains as they go, the same however they are shared.

    Processes share chains, and threads the days of one. Rows of a year that are not reduced stay in one process: to
    pass them on would take as long as to run them.
    """
    processes, n_processors = run_processes(), processors_of_task()
    n_parts = 1 if processes is None or chains.reduce is None else min(processes.n_ready, chains.n)
    n_days = chains.n * (chains.kw.shape[2] // chains.steps_a_day)
    if processes is None or n_parts == 1 or n_days < _WORTH_SHARING:
        return chains.run(operation_of(feeder, rating_basis), n_processors)
    n_threads = n_processors // n_parts
    here = partial(Chains.run, operation=operation_of(feeder, rating_basis), n_threads=n_threads)
    beside = partial(_run_beside, feeder=pickle.dumps(feeder), rating_basis=rating_basis, n_threads=n_threads)
    return OperatedSeries.joined(processes.spread(here, beside, chains.parts(n_parts)))


def _run_beside(chains: Chains, feeder: bytes, rating_basis: RatingBasis, n_threads: int) -> OperatedSeries:
    """In another process, which knows a feeder that it was told before by its bytes."""
    return chains.run(_operation_of_pickled(feeder, rating_basis), n_threads)


@lru_cache(maxsize=2)
def _operation_of_pickled(feeder: bytes, rating_basis: RatingBasis) -> FeederOperation:
    return operation_of(pickle.loads(feeder), rating_basis)
