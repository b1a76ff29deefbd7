"""The model of TCP given what happened to every packet of a kernel: does it deliver when the kernel did?

    unshare -rn python benchmarks/tcp_over_loss.py --case 0.2,0.2 --watched 60 --out packets.json
    python benchmarks/tcp_same_fates.py packets.json

Which segments and acknowledgements were lost is taken from the recording, so that chance is the same on both sides and
some dozens of connections tell what hundreds would have to without it. The kernel's timers wait in wheels whose slots
stand in absolute time; their phase is the one of 512 with which the first connections agree best. `--fates FILE --first
N` writes the first N connections of every case as `tests/reference/tcp` keeps them.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import numpy as np

from g2g_opt.channel.age import mean_age_s
from g2g_opt.channel.tcp import DONE, TICK_S, tcp_arrivals_s

MESSAGE_BYTES, FORWARD = 12, "->"


def fates_of(packets: list[list[Any]], first_s: float, seconds: int) -> dict[str, Any]:
    """A connection: when its messages were delivered (s from its first sending, None: never) and what was lost."""
    data = [p for p in packets if p[1] == FORWARD and p[4] > 0]
    began = data[0][2]
    there: set[int] = set()
    arrival_s: list[float | None] = []
    for at_s, _, seq, _, length, _, lost, *_ in data:
        if not lost:
            first = (seq - began) % 2**32 // MESSAGE_BYTES
            there.update(range(first, first + length // MESSAGE_BYTES))
            while len(arrival_s) in there and len(arrival_s) < seconds:
                arrival_s.append(round(at_s - first_s, 3))
    arrival_s += [None] * (seconds - len(arrival_s))
    marks = ["".join("x" if p[6] else "." for p in way) for way in (data, [p for p in packets if p[1] != FORWARD])]
    return {"first_s": round(first_s, 4), "data": marks[0], "acknowledgements": marks[1], "arrival_s": arrival_s}


def modelled_s(fates: dict[str, Any], phase_s: float) -> np.ndarray:
    """Deliveries by the model (s from the first sending, inf: never), message k sent after k s."""
    n = len(fates["arrival_s"])
    length = len(fates["data"]) + 40 * n
    uniforms = np.ones((2, length))
    for row, marks in zip(uniforms, (fates["data"], fates["acknowledgements"]), strict=True):
        row[: len(marks)] = [0.0 if mark == "x" else 1.0 for mark in marks]
    began_s, none, way_s, arrival_s = fates["first_s"] + phase_s, np.zeros(0), np.full(length, 5e-5), np.empty(n)
    args = (0.5, none, 0.5, none, 0.0, none, uniforms[0], uniforms[1], way_s, way_s, 0.0, 64, 256, arrival_s)
    if tcp_arrivals_s(began_s + np.arange(float(n)), began_s + n, *args) != DONE:
        raise ValueError("the model sends more packets than were drawn for it")
    return arrival_s - began_s


def apart_s(fates: dict[str, Any], phase_s: float) -> np.ndarray:
    """By how much (s) the model delivers messages later; what only one of them delivers counts up to the end."""
    n = len(fates["arrival_s"])
    seen_s = np.array([n if at_s is None else at_s for at_s in fates["arrival_s"]], dtype=float)
    return np.minimum(modelled_s(fates, phase_s), n) - seen_s


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("packets")
    parser.add_argument("--seconds", type=int, default=200)
    parser.add_argument("--fates", help="file to write (JSON)")
    parser.add_argument("--first", type=int, default=10)
    options = parser.parse_args()
    with open(options.packets, encoding="utf-8") as stream:
        kept = json.load(stream)
    cases = {
        port: [fates_of(rows, kept["first_s"][f"{port},{peer}"], options.seconds) for peer, rows in of_case.items()]
        for port, of_case in kept["seen"].items()
    }
    some = [fates for of_case in cases.values() for fates in of_case[:8]]
    phases_s = np.arange(512) * TICK_S
    phase_s = float(min(phases_s, key=lambda phase_s: sum(np.abs(apart_s(one, phase_s)).mean() for one in some)))
    print(f"phase of the kernel's ticks {phase_s:.3f} s")
    for port in sorted(cases):
        ages = {}
        for horizon_s in (60, 200):
            sent_s = np.arange(float(min(horizon_s, options.seconds)))
            rows = []
            for fates in cases[port]:
                seen_s = np.array([np.inf if at_s is None else at_s for at_s in fates["arrival_s"]])
                both = (seen_s, modelled_s(fates, phase_s))
                rows.append([mean_age_s(sent_s, at_s[: len(sent_s)], float(horizon_s)) for at_s in both])
            ages[horizon_s] = np.mean(rows, axis=0)
        late_s = np.concatenate([apart_s(fates, phase_s) for fates in cases[port]])
        close = 100.0 * np.mean(np.abs(late_s) < 0.1)
        lost = [np.mean([mark == "x" for f in cases[port] for mark in f[way]]) for way in ("data", "acknowledgements")]
        told = ", ".join(f"{s} s: kernel {k:.3f}, model {m:.3f}" for s, (k, m) in ages.items())
        print(f"{len(cases[port])} connections, {lost[0]:.3f} / {lost[1]:.3f} lost: {told}; {close:.1f} % within 0.1 s")
    if options.fates:
        with open(options.fates, "w", encoding="utf-8") as stream:
            first = {port: of_case[: options.first] for port, of_case in sorted(cases.items())}
            json.dump({"phase_s": round(phase_s, 3), "cases": list(first.values())}, stream)


if __name__ == "__main__":
    main()
