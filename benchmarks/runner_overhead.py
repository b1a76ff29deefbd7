"""What the runner costs: tasks per second with tasks that do nothing, on worker processes and on Dask, and bytes kept.

python benchmarks/runner_overhead.py [--tasks 1000] [--dask]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from measuring import ROOT

sys.path.insert(0, str(ROOT / "tests" / "runner"))

from small_study import SmallStudy

from g2g_opt.consent import Consent, give_consent
from studies.running.local_workers import LocalWorkers, Workers
from studies.running.runner import begin_study, run_study


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=1000, help="tasks to run (default %(default)s)")
    parser.add_argument("--dask", action="store_true", help="on a Dask cluster of two processes here")
    options = parser.parse_args()

    def workers() -> Workers:
        if options.dask:
            from studies.running.dask_workers import DaskWorkers

            return DaskWorkers(n_workers=2)
        return LocalWorkers(2)

    give_consent(Consent(studies=True))  # the small study of the tests is not a registered one
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "study"
        begin_study(root, SmallStudy(n=options.tasks))
        began_s = time.perf_counter()
        first_s: list[float] = []
        run_study(root, workers, tell=lambda event: first_s.append(time.perf_counter()) if event.n_done else None)
        seconds = time.perf_counter() - first_s[0]
        kept = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
        print(f"{options.tasks} tasks on two {'Dask ' if options.dask else ''}processes: first result after "
              f"{first_s[0] - began_s:.1f} s, then {options.tasks / seconds:.0f} tasks/s; "
              f"{kept / options.tasks / 1024:.1f} KiB kept per task")  # fmt: skip


if __name__ == "__main__":
    main()
