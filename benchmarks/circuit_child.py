"""What it costs a study that a user's circuit is compiled in a child process first.

    python benchmarks/circuit_child.py [MASTER.dss ...] [--repeats N]

Without files, the bundled feeders written out as circuits. For each, alternating N times: the file read and checked,
the same commands compiled and solved here, and the same in a child. Asked: at most one compilation and 0.4 s a study.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.child import compile_in_child
from g2g_opt.circuit.script_file.script import read_script
from g2g_opt.feeder import Feeder


def timed(work: Callable[[], object]) -> float:
    began_s = time.perf_counter()
    work()
    return time.perf_counter() - began_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("masters", nargs="*", type=Path)
    parser.add_argument("--repeats", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        masters = options.masters or [Feeder.load(name).write_dss(folder) for name in Feeder.known()]
        print("| circuit | commands | read (s) | compiled here (s) | in a child (s) | child less compilation (s) |")
        print("| --- | --- | --- | --- | --- | --- |")
        for master in masters:
            script = read_script(master)

            def compile_here(commands: tuple[str, ...] = script.commands) -> None:
                Circuit(commands).finish()

            rows = [
                (
                    timed(lambda: read_script(master)),  # noqa: B023  (called at once)
                    timed(compile_here),
                    timed(lambda: compile_in_child(script.commands, script.places, master)),  # noqa: B023
                )
                for _ in range(options.repeats)
            ]
            read_s, here_s, child_s = (statistics.median(column) for column in zip(*rows, strict=True))
            extra_s = statistics.median(child - here for _, here, child in rows)
            name = f"{master.parent.name}/{master.name}" if options.masters else master.stem
            print(
                f"| {name} | {len(script.commands):,} | {read_s:.3f} | {here_s:.3f} | {child_s:.3f} | {extra_s:.3f} |"
            )


if __name__ == "__main__":
    main()
