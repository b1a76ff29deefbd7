"""All buses of a study over worker processes, with progress."""

from __future__ import annotations

import multiprocessing
import os
import queue
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from g2g_opt.site import GPUS_PER_SERVER
from studies.hosting_capacity.study import Capacity, HostingCapacityStudy, JudgedSize, Operation, find_capacities

# Sizes a search usually judges per bus and operation; the bar is corrected when a bus is done.
_EXPECTED_SIZES = 18

# Seconds between lines of progress where there is no terminal.
_PLAIN_EVERY_S = 20.0


@dataclass(frozen=True)
class BatchResult:
    """Answers in the order of the buses, the reason of each bus without one, and whether Ctrl-C ended the batch."""

    capacities: list[Capacity]
    failures: dict[str, str]
    interrupted: bool = False


_messages: Any = None


def _start_worker(messages: Any) -> None:
    global _messages
    _messages = messages


def _run_share(study: HostingCapacityStudy, buses: tuple[str, ...]) -> list[Capacity]:
    def report(bus: str, operation: Operation, judged: JudgedSize) -> None:
        _messages.put((bus, operation, judged.n_servers, judged.kept))

    return find_capacities(study, buses, report)


def run_buses(
    study: HostingCapacityStudy, buses: tuple[str, ...], workers: int | None, console: Console
) -> BatchResult:
    """Find every bus's capacity; each worker takes a share of the buses through its search side by side.

    A share that fails is tried again bus by bus, so that one bus that fails is a row in `failures`, not the end of the
    others. On a terminal a bar with the estimated time left is shown, elsewhere a line now and then. Ctrl-C stops the
    workers; the buses finished by then are kept.
    """
    n_workers = max(1, min(len(buses), workers or os.cpu_count() or 1))
    shares = [buses[k::n_workers] for k in range(n_workers)]
    context = multiprocessing.get_context("spawn")
    done: dict[str, list[Capacity]] = {}
    failures: dict[str, str] = {}
    interrupted = False
    began_s = told_s = time.monotonic()
    with context.Manager() as manager, _bar(console) as bar:
        messages = manager.Queue()
        task = bar.add_task("simulating", total=2 * _EXPECTED_SIZES * len(buses))
        pool = ProcessPoolExecutor(n_workers, mp_context=context, initializer=_start_worker, initargs=(messages,))
        waiting: dict[Future[list[Capacity]], tuple[str, ...]] = {}
        try:
            waiting |= {pool.submit(_run_share, study, share): share for share in shares}
            while waiting:
                finished, _ = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
                _drain(messages, bar, task)
                if not console.is_terminal and time.monotonic() > told_s + _PLAIN_EVERY_S:
                    told_s = time.monotonic()
                    judged = int(bar.tasks[task].completed)
                    console.print(f"{told_s - began_s:6.1f} s  {judged} sizes judged so far", markup=False)
                for future in finished:
                    share = waiting.pop(future)
                    error = future.exception()
                    if error is not None and len(share) > 1:
                        waiting |= {pool.submit(_run_share, study, (bus,)): (bus,) for bus in share}
                        continue
                    for bus in share:
                        if error is None:
                            done[bus] = [capacity for capacity in future.result() if capacity.bus == bus]
                            sizes = sum(len(capacity.judged) for capacity in done[bus])
                        else:
                            failures[bus], sizes = f"{type(error).__name__}: {error}", 0
                        total = bar.tasks[task].total or 0
                        bar.update(task, total=total + sizes - 2 * _EXPECTED_SIZES)
                        if not console.is_terminal:
                            state = failures.get(bus) or f"{sizes} sizes judged"
                            console.print(f"{time.monotonic() - began_s:6.1f} s  bus {bus}: {state}", markup=False)
        except KeyboardInterrupt:
            interrupted = True
            failures |= {bus: "interrupted" for share in waiting.values() for bus in share}
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
    capacities = [capacity for bus in buses if bus in done for capacity in done[bus]]
    return BatchResult(capacities, failures, interrupted)


def _drain(messages: Any, bar: Progress, task: Any) -> None:
    while True:
        try:
            bus, operation, n_servers, kept = messages.get_nowait()
        except queue.Empty:
            return
        verdict = "keeps the limits" if kept else "does not"
        bar.update(
            task, advance=1, description=escape(f"bus {bus} {operation}: {GPUS_PER_SERVER * n_servers} GPUs {verdict}")
        )


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
