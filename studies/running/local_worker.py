"""The beginning of a worker process: light enough to tell its runner why it cannot begin."""

from __future__ import annotations

import gc
from multiprocessing.connection import Connection


def begin(descriptor: int, runner_pid: int, study: str = "") -> None:
    """Be a worker of the runner at the other end of the socket `descriptor`, for jobs of a study where that is known.

    A reason for not being one (no memory for a library, say) goes there as words, before the process ends.
    """
    runner = Connection(descriptor)
    try:
        # What all studies run on, whose libraries want the most memory. What an import makes stays, so that looking
        # through it for garbage again and again is a sixth of the time.
        gc.disable()
        # Curves of fleets need the interpolation, in the first run of nearly every study.
        import scipy.interpolate  # noqa: F401

        import g2g_opt.simulation  # noqa: F401
        from studies.catalogue import question_type
        from studies.running.worker import serve

        if study:
            question_type(study)

        gc.freeze()
        gc.enable()
    except (ImportError, MemoryError, OSError, RuntimeError) as error:
        runner.send(f"{type(error).__name__}: {error}")
        return
    serve(runner, runner_pid)
