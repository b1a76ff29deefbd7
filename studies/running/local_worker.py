"""The beginning of a worker process: light enough to tell its runner why it cannot begin."""

from __future__ import annotations

import gc
from multiprocessing.connection import Connection


def begin(descriptor: int, runner_pid: int) -> None:
    """Be a worker of the runner at the other end of the socket `descriptor`.

    A reason for not being one (no memory for a library, say) goes there as words, before the process ends.
    """
    runner = Connection(descriptor)
    try:
        # What all studies run on, whose libraries want the most memory. What an import makes stays, so that looking
        # through it for garbage again and again is a sixth of the time.
        gc.disable()
        import g2g_opt.simulation  # noqa: F401
        from studies.running.worker import serve

        gc.freeze()
        gc.enable()
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        runner.send(f"{type(error).__name__}: {error}")
        return
    serve(runner, runner_pid)
