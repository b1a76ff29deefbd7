"""Random closed loops on circuits whose regulators, banks and inverters have controls, against OpenDSS in time mode.

Taps, banks, vars and watts of inverters, and voltages of the batch engine at every step beside those of a run of the
same draws by opendssdirect alone (`tests/closed_loop/opendss_in_time.py`). A loop is a line of the output file, so a
run that was stopped goes on where it was.

python benchmarks/own_controls.py --out loops.jsonl [--loops 200] [--seed 5000]

Exit status 1 if a loop differs.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "closed_loop"))

from controlled_feeders import compared_loop, controlled_feeder

from g2g_opt.batch.unsupported import UnsupportedByBatch


def line_of(seed: int) -> dict[str, object]:
    """One loop, compared."""
    with tempfile.TemporaryDirectory() as folder:
        feeder = controlled_feeder(Path(folder), seed)
        told: dict[str, object] = {"seed": seed, "feeder": feeder.name}
        try:
            return told | asdict(compared_loop(feeder, seed))
        except UnsupportedByBatch as reason:
            return told | {"not_modelled": str(reason)}


def outcome(line: dict[str, object]) -> str:
    """What a loop counts as."""
    if "not_modelled" in line:
        return "not modelled"
    if line["difference"]:
        return "differ as OpenDSS does from itself" if line["difference_of_opendss"] else "differ"
    if line["failure"] or line["failure_opendss"]:
        return "end alike before the last step" if line["failure"] and line["failure_opendss"] else "one side fails"
    return "equal at every step"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--loops", type=int, default=200)
    parser.add_argument("--seed", type=int, default=5000)
    asked = parser.parse_args()
    lines = (
        [json.loads(line) for line in asked.out.read_text(encoding="utf-8").splitlines()] if asked.out.exists() else []
    )
    done = {line["seed"] for line in lines}
    with asked.out.open("a", encoding="utf-8") as file:
        for seed in range(asked.seed, asked.seed + asked.loops):
            if seed not in done:
                lines.append(line_of(seed))
                print(json.dumps(lines[-1]), file=file, flush=True)
    seen: Counter[str] = Counter()
    for line in lines:
        seen[outcome(line)] += 1
        seen.update({key: line.get(key, 0) for key in ("n_steps", "tap_moves", "bank_moves", "var_moves")})
    furthest = {key: max((line.get(key, 0.0) for line in lines), default=0.0) for key in ("voltage_pu", "inverter_kva")}
    cpu = resource.getrusage(resource.RUSAGE_SELF)
    print(dict(seen), furthest, f"{cpu.ru_utime + cpu.ru_stime:.0f} CPU s")
    for line in lines:
        if outcome(line) not in ("equal at every step", "end alike before the last step"):
            print(line)
    return int(any(outcome(line) in ("differ", "one side fails") for line in lines))


if __name__ == "__main__":
    sys.exit(main())
