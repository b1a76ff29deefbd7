"""The full corpus: `python tests/fuzz/nightly.py --n 2000 --circuits 300 --seed 14`. Exit status 1 if there are faults.

Cases run in child processes, a batch in each, so that one that crashes its process is a line of the table and not the
end of it. `--area toml --seed 14 --case 12` runs one case and shows all of its end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import traceback
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# The product beside these tests and no other; small studies of the runner's tests, which pytest finds by its settings.
_ROOT = Path(__file__).resolve().parents[2]
sys.path[1:1] = [str(_ROOT), str(_ROOT / "tests" / "runner")]

from corpus import AREAS, CIRCUITS, shares
from endings import FAULTS, run_case
from malformed_case import DEFAULT_SEED

_BATCH = 40
# A batch whose process neither ends nor says anything more.
_BATCH_TIME_OUT_S = 600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000, help="inputs over all areas but circuits (default %(default)s)")
    parser.add_argument("--circuits", type=int, default=300, help="circuits (default %(default)s)")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="of every draw (default %(default)s)")
    parser.add_argument("--area", choices=AREAS, help="only this area")
    parser.add_argument("--case", type=int, help="only this case of the area, in this process")
    parser.add_argument("--workers", type=int, default=2, help="processes (default %(default)s)")
    parser.add_argument("--out", type=Path, help="write every end as a line of JSON")
    parser.add_argument("--batch", nargs=2, type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.case is not None:
        return _one(options.area, options.seed, options.case)
    if options.batch is not None:
        _batch(options.area, options.seed, range(*options.batch))
        return 0
    counts = shares(options.n) | {CIRCUITS: options.circuits}
    if options.area is not None:
        counts = {options.area: options.circuits if options.area == CIRCUITS else options.n}
    return _all(counts, options.seed, options.workers, options.out)


def _one(area: str, seed: int, number: int) -> int:
    case, end = run_case(area, AREAS[area], seed, number)
    print(f"{area}, seed {seed}, case {number}: {case.words}\n  must name {case.names}, one of {case.places}")
    print(f"{end.kind} {end.where}\n{end.words}")
    return int(end.kind in FAULTS)


def _batch(area: str, seed: int, numbers: range) -> None:
    for number in numbers:
        print(json.dumps({"area": area, "number": number, "begins": True}), flush=True)
        try:
            case, end = run_case(area, AREAS[area], seed, number)
        except BaseException:
            sys.stderr.write(f"case {area} {number} cannot be made:\n{traceback.format_exc()}")
            raise
        line = {
            "area": area,
            "number": number,
            "words": case.words,
            "kind": end.kind,
            "told": end.words,
            "at": end.where,
        }
        print(json.dumps(line), flush=True)


def _all(counts: dict[str, int], seed: int, workers: int, out: Path | None) -> int:
    print(f"seed {seed}: {counts}", flush=True)
    batches = [
        (area, seed, first, min(first + _BATCH, n)) for area, n in counts.items() for first in range(0, n, _BATCH)
    ]
    with ThreadPoolExecutor(workers) as pool:
        lines = [line for found in pool.map(lambda batch: _run_batch(*batch), batches) for line in found]
    if out is not None:
        out.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    _show(lines, seed)
    return int(any(line["kind"] in (*FAULTS, "crash") for line in lines))


def _run_batch(area: str, seed: int, first: int, end: int) -> list[dict[str, object]]:
    lines: list[dict[str, object]] = []
    while first < end:
        command = [sys.executable, __file__, "--area", area, "--seed", str(seed), "--batch", str(first), str(end)]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_BATCH_TIME_OUT_S, check=False)
            said, errors, how = run.stdout, run.stderr, f"its process ended with {run.returncode}"
        except subprocess.TimeoutExpired as error:
            said, errors, how = str(error.stdout or b"", "utf-8", "replace"), "", "its process did not end"
        found = [json.loads(line) for line in said.splitlines() if line.startswith('{"area"')]
        ended = [line for line in found if "kind" in line]
        lines += ended
        first += len(ended)
        if first < end:
            # The one that was begun and did not end took the process along.
            lines.append(
                {
                    "area": area,
                    "number": first,
                    "words": "",
                    "kind": "crash",
                    "told": f"{how}: {errors[-1500:]}",
                    "at": "",
                }
            )
            first += 1
    return lines


def _show(lines: list[dict[str, object]], seed: int) -> None:
    kinds = ("accepted", "refused", "unnamed", "traceback", "hang", "crash")
    table = Counter((line["area"], line["kind"]) for line in lines)
    print(f"{'area':12}{'inputs':>8}" + "".join(f"{kind:>11}" for kind in kinds))
    for area in dict.fromkeys(line["area"] for line in lines):
        row = [table[area, kind] for kind in kinds]
        print(f"{area:12}{sum(row):>8}" + "".join(f"{n:>11}" for n in row))
    groups: dict[tuple[str, str, str], list[dict[str, object]]] = defaultdict(list)
    for line in lines:
        if line["kind"] in (*FAULTS, "crash"):
            what = str(line["told"]).partition(":")[0] if line["kind"] == "traceback" else ""
            groups[str(line["kind"]), str(line["at"]), what].append(line)
    for (kind, at, what), group in sorted(groups.items(), key=lambda item: -len(item[1])):
        print(f"\n{len(group)} x {kind} {what} {at}")
        for line in group[:6]:
            print(
                f"   --area {line['area']} --seed {seed} --case {line['number']}: {line['words']}: {line['told']}"[:420]
            )


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
