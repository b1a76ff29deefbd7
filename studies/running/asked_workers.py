"""The workers that a command line asks for."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from g2g_opt.errors import InputError
from studies.running.local_workers import LocalWorkers, Workers


@contextmanager
def asked_workers(options: argparse.Namespace, is_new: bool) -> Iterator[Callable[[], Workers]]:
    """What does the tasks; of a study that `is_new` its first processes import while its question is checked.

    Raises `InputError` for a scheduler without Dask.
    """
    if options.scheduler is not None and options.engine != "dask":
        raise InputError("--scheduler goes with --engine dask")
    if options.engine == "dask":
        from studies.running.dask_workers import DaskWorkers

        yield lambda: DaskWorkers(options.scheduler, options.workers, options.time_out_s)
        return
    workers = LocalWorkers(options.workers, options.time_out_s)
    try:
        if is_new:
            workers.start()
        yield lambda: workers
    finally:
        workers.stop()
