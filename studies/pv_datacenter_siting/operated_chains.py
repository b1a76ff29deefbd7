"""Chains of hours of a feeder under its own controls, shared among the processors that a task may use."""

from __future__ import annotations

import pickle
from functools import lru_cache, partial

from g2g_opt.batch.chains import Chains
from g2g_opt.batch.known_days import OperatedSeries
from g2g_opt.batch.operated_series import FeederOperation
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.compiled.lanes import WIDTH
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import RatingBasis
from studies.shared.run_processes import processors_of_task, run_processes

# Days, all chains together, from which on another process is worth what passing them on costs.
_WORTH_SHARING = 4 * WIDTH


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
    n_days = chains.n * chains.n_days
    if processes is None or n_parts == 1 or n_days < _WORTH_SHARING:
        return operation_of(feeder, rating_basis).run(chains, n_processors)
    n_threads = n_processors // n_parts
    here = partial(operation_of(feeder, rating_basis).run, n_threads=n_threads)
    beside = partial(_run_beside, feeder=pickle.dumps(feeder), rating_basis=rating_basis, n_threads=n_threads)
    return OperatedSeries.joined(processes.spread(here, beside, chains.parts(n_parts)))


def _run_beside(chains: Chains, feeder: bytes, rating_basis: RatingBasis, n_threads: int) -> OperatedSeries:
    """In another process, which knows a feeder that it was told before by its bytes."""
    return _operation_of_pickled(feeder, rating_basis).run(chains, n_threads)


@lru_cache(maxsize=2)
def _operation_of_pickled(feeder: bytes, rating_basis: RatingBasis) -> FeederOperation:
    return operation_of(pickle.loads(feeder), rating_basis)
