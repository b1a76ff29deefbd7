"""Our side of `hosting_capacity.py`: a whole hosting-capacity study in one process, tables and all."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import as_in_d63c28f

from studies.hosting_capacity.rows import CapacityRun
from studies.hosting_capacity.study import HostingCapacityStudy
from studies.shared.task import TaskResult, gather

# Besides, the most GPUs were sought, and nothing for each limit alone.
_AS_IN_D63C28F = as_in_d63c28f.QUESTION | {"ladder": False, "objective": "gpus"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("feeder")
    parser.add_argument("--bus", action="append", default=[])
    parser.add_argument("--as-in-d63c28f", action="store_true", help="the question that commit d63c28f asks by default")
    parser.add_argument("--result", type=Path, required=True)
    options = parser.parse_args()
    question = _AS_IN_D63C28F if options.as_in_d63c28f else {}
    study = HostingCapacityStudy(feeder=options.feeder, buses=tuple(options.bus), **question)
    began_s = time.process_time()
    results = [TaskResult(task, study.run(task, lambda share, words: None)) for task in study.tasks("capacities", ())]
    run_s = time.process_time() - began_s
    # A run that failed on its way counts for nothing.
    runs = [row for row in gather(results, "runs") if row["failure_kind"] is None]
    found = {
        "cpu_s": {"run": run_s},
        "n_sizes": len(gather(results, "judged")),
        "n_runs": len(runs),
        "simulated_s": sum(CapacityRun.from_row(row).read_scenario().duration_s for row in runs),
    }
    options.result.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
