"""Two hundred kills and twenty races, counted: what was lost, what differs, which runs were ended by a worker's death.

python tests/nightly/kills.py [--kills 200] [--races 20] [--seed 2026]

Not part of CI; takes about ten minutes on two cores. Exit status 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "runner"))

from killing import Row, ends_within, g2g, kill, rows_of, workers_of, write_question
from small_study import SmallStudy

from g2g_opt.consent import Consent, give_consent
from studies.running.local_workers import LocalWorkers
from studies.running.runner import run_study

STUDY = SmallStudy(n=24, group=2, seconds=0.1)
# Kills that are tried on one run; a run that ends before leaves the rest to the next one.
KILLS_OF_A_RUN = 5


@dataclass
class Count:
    """What became of some kills: rows lost, rows that differ, runs that a worker's death ended, by all runs."""

    kills: int = 0
    runs: int = 0
    lost: int = 0
    different: int = 0
    ended: int = 0
    said: str = ""

    def add(self, root: Path, expected: list[Row]) -> None:
        found = {row[0]: row for row in rows_of(root)}
        self.runs += 1
        self.lost += sum(row[0] not in found for row in expected)
        self.different += sum(found.get(row[0], row) != row for row in expected) + len(found) - len(expected)

    @property
    def is_fine(self) -> bool:
        return self.lost == self.different == self.ended == 0


def kill_runners(count: Count, root: Path, draw: random.Random, n: int, begun: Callable[[], int]) -> None:
    """Kill runners of one study, with their workers or without, until it was killed `n` times or is done."""
    arguments = ["run", str(root.with_suffix(".toml")), "--out", str(root), "--workers", "2"]
    for _ in range(n):
        runner = g2g(*arguments)
        until = begun() + draw.randint(0, 3)
        while not (over := ends_within(runner, 0.01)) and begun() < until:
            pass
        if not over and not ends_within(runner, draw.uniform(0.0, 0.4)):
            os.killpg(runner.pid, signal.SIGKILL) if draw.random() < 0.3 else runner.kill()
            count.kills += 1
        runner.communicate()
        if runner.returncode == 0:
            return
        if runner.returncode > 0:
            count.ended, count.said = count.ended + 1, "a run failed by itself"
            return
    last = g2g(*arguments)
    _, said = last.communicate()
    if last.returncode != 0:
        count.ended, count.said = count.ended + 1, said


def kill_workers(
    count: Count, root: Path, draw: random.Random, n: int, engine: str, moment: Callable[[float], bool]
) -> None:
    """Kill workers of one run: while they start, or at any moment, as `moment` says of the life of one."""
    mark = "dask-worker" if engine == "dask" else "studies.running.local_worker"
    options = ["--workers", "2", "--engine", engine]
    runner = g2g("run", str(root.with_suffix(".toml")), "--out", str(root), *options)
    seen: dict[int, float] = {}
    killed: set[int] = set()
    while len(killed) < n and not ends_within(runner, 0.003):
        now_s = time.monotonic()
        for worker in workers_of(runner.pid, mark):
            seen.setdefault(worker, now_s)
            if worker not in killed and len(killed) < n and moment(now_s - seen[worker]) and kill(worker):
                killed.add(worker)
                count.kills += 1
    _, said = runner.communicate()
    if runner.returncode != 0:
        count.ended, count.said = count.ended + 1, said


def at_start(draw: random.Random) -> Callable[[float], bool]:
    """The moment so long after a worker appears, another one for each."""
    wait_s = draw.choice([0.0, 0.05, 0.1, 0.2, 0.3, 0.4])

    def moment(age_s: float) -> bool:
        nonlocal wait_s
        if age_s < wait_s:
            return False
        wait_s = draw.choice([0.0, 0.05, 0.1, 0.2, 0.3, 0.4])
        return True

    return moment


def at_random(draw: random.Random) -> Callable[[float], bool]:
    """Any moment, about every 0.8 s."""
    due_s = time.monotonic() + draw.uniform(0.5, 2.0)

    def moment(age_s: float) -> bool:
        nonlocal due_s
        if time.monotonic() < due_s:
            return False
        due_s = time.monotonic() + draw.uniform(0.2, 1.4)
        return True

    return moment


def race(count: Count, root: Path) -> None:
    """Two runners begin one folder at once: one of them is refused (status 2), or comes when all is done."""
    log = root.with_suffix(".log")
    study = replace(STUDY, seconds=0.0, bad=((0, "waits"),), log=str(log))
    question = write_question(root.with_suffix(".toml"), study)
    two = [g2g("run", str(question), "--out", str(root), "--workers", "1") for _ in range(2)]
    while not (over := [one for one in two if one.poll() is not None]):
        time.sleep(0.01)
    refused = [one.returncode for one in over] == [2] and "another g2g" in over[0].communicate()[1]
    log.with_name(f"{log.name}.go").touch()
    statuses = []
    for one in two:
        if one not in over:
            _, said = one.communicate()
            statuses.append(one.returncode)
            count.said = said or count.said
    count.kills += 1
    if not refused or statuses != [0]:
        count.ended += 1


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="kills in all (default %(default)s)")
    parser.add_argument("--races", type=int, default=20, help="races of two runners (default %(default)s)")
    parser.add_argument("--seed", type=int, default=2026, help="of the moments (default %(default)s)")
    options = parser.parse_args()
    draw = random.Random(options.seed)
    give_consent(Consent(studies=True))
    began_s = time.monotonic()
    shares = {"runner": 0.3, "worker, at random": 0.3, "worker, at its start": 0.25, "Dask worker": 0.15}
    counts = {name: Count() for name in (*shares, "race")}
    with tempfile.TemporaryDirectory() as folder:
        here = Path(folder)
        run_study(here / "peace", lambda: LocalWorkers(2), question=replace(STUDY, seconds=0.0))
        expected = rows_of(here / "peace")
        for name, share in shares.items():
            count = counts[name]
            while count.kills < round(share * options.kills) and count.is_fine:
                root = here / f"{len(list(here.glob('*.toml')))}"
                log = root.with_suffix(".log")
                write_question(root.with_suffix(".toml"), replace(STUDY, log=str(log)))
                n = min(KILLS_OF_A_RUN, round(share * options.kills) - count.kills)
                if name == "runner":
                    kill_runners(count, root, draw, n, lambda at=log: at.read_text().count("\n") if at.exists() else 0)
                else:
                    engine = "dask" if name == "Dask worker" else "local"
                    starts = name.endswith("start") or (engine == "dask" and draw.random() < 0.5)
                    kill_workers(count, root, draw, n, engine, at_start(draw) if starts else at_random(draw))
                count.add(root, expected)
        for k in range(options.races):
            race(counts["race"], here / f"race{k}")
            counts["race"].add(here / f"race{k}", expected)
    print(f"seed {options.seed}, {time.monotonic() - began_s:.0f} s")
    print("| killed | kills | studies | rows lost | rows different | runs ended by it |")
    print("| --- | --- | --- | --- | --- | --- |")
    for name, count in counts.items():
        kills = f"{count.kills} races" if name == "race" else count.kills
        print(f"| {name} | {kills} | {count.runs} | {count.lost} | {count.different} | {count.ended} |")
    for count in counts.values():
        if not count.is_fine:
            print(count.said, file=sys.stderr)
    return 0 if all(count.is_fine for count in counts.values()) else 1


if __name__ == "__main__":
    sys.exit(main())
