"""Coordination on networks of 24 to 300 buses beside a sparse Clarabel on the same matrices, in CPU seconds.

    python benchmarks/coordination_networks.py                          # parts at 24, 118 and 300 buses
    python benchmarks/coordination_networks.py --study case118 --datacenters 3   # g2g coordination as users run it
    python benchmarks/coordination_networks.py --cases case24_ieee_rts:3,case118:3 --q 50,250 --record FILE
    python benchmarks/coordination_networks.py --record FILE --draw docs/pictures/coordination_growth.svg

PYPOWER's cases; branches without a rating that could bind may carry 1.5 times what they carry in the dispatch at the
file's own loads, and 150 MW at least, so that the network is congested. Datacenters stand at the largest loads.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import matplotlib.pyplot as plt
import numpy as np
from measuring import ROOT, machine

sys.path.insert(0, str(ROOT))
sys.path.insert(0, str(ROOT / "tests" / "cross_check"))

from network_cases import dispatched, published, write_case

from g2g_opt.transmission.network_case import RATING, load_network_case
from solvers.dispatch.blocks import dispatch_blocks
from solvers.policy_training import training
from solvers.quadratic import program as quadratic
from studies.coordination_policy.network import load_network
from studies.coordination_policy.question import CoordinationQuestion
from studies.coordination_policy.setting import draw_records, published_figures, setting_of

Found = TypeVar("Found")
NEVER_BINDS_MW = 5000.0
# Of ratings, that dispatch may use: the default of studies.
SHARE = 0.7


def timed(run: Callable[[], Found]) -> tuple[Found, float]:
    began_s = time.process_time()
    return run(), time.process_time() - began_s


def congested(name: str, folder: Path) -> Path:
    tables = published(name)
    path = write_case(folder / f"{name}.m", tables)
    case = load_network_case(str(path))
    _, found, _ = dispatched(case)
    rating = tables["branch"][:, RATING]
    open_ended = (rating == 0.0) | (rating > NEVER_BINDS_MW)
    in_service = tables["branch"][:, 10] > 0.0
    carried = np.zeros(len(rating))
    carried[in_service] = np.abs(found.flow_mw[0])
    tables["branch"][:, RATING] = np.where(open_ended, np.maximum(1.5 * carried, 150.0) / SHARE, rating)
    return write_case(path, tables)


def by_clarabel(run: Callable[[], Found]) -> Found:
    """The same, with Clarabel for every program and no method of our own."""
    piqp, own = quadratic._by_piqp, training.solve_quadratic_program
    quadratic._by_piqp = quadratic._by_clarabel
    training.solve_quadratic_program = lambda stated, _=None: own(stated)
    kept, training.MEMORY_MAX_BYTES = training.MEMORY_MAX_BYTES, 0
    try:
        return run()
    finally:
        quadratic._by_piqp, training.solve_quadratic_program, training.MEMORY_MAX_BYTES = piqp, own, kept


def parts(path: Path, n_centers: int, qs: list[int], *, clarabel: bool) -> list[dict[str, float]]:
    """Seconds of a case by number of training records."""
    case = load_network_case(str(path))
    buses = tuple(float(case.bus_names[k]) for k in case.largest_loads[:n_centers])
    question = CoordinationQuestion(network=str(path), datacenter_buses=buses, penetrations=(0.1,), rating_share=SHARE)
    network = load_network(question)
    setting, setting_s = timed(lambda: setting_of(network.system, "physical", 0.1, 0.25, SHARE))
    load, injected = network.records.load_mw, network.records.injected_mw
    base, base_s = timed(lambda: setting.dispatched(load, injected, setting.base_mw))
    words = [
        f"{path.stem}, {n_centers} datacenters: setting {setting_s:.2f}, dispatch of {len(load)} records {base_s:.2f}"
    ]
    if clarabel:
        blocks = dispatch_blocks(setting.dispatch, setting.system.with_datacenters(load, setting.base_mw), injected)
        _, other_s = timed(lambda: quadratic._by_clarabel(blocks.program, quadratic._TOLERANCE))
        words.append(f"(Clarabel {other_s:.2f})")
    ideal, ideal_s = timed(lambda: setting.ideal(load, injected))
    saved = 1.0 - np.nansum(ideal.cost_usd) / np.nansum(base.cost_usd)
    assert ideal.network is not None
    words.append(
        f"ideal {ideal_s:.2f} ({100 * saved:.2f} % saved, {len(ideal.network.limits.rows)} rows of latency, "
        f"{int((~ideal.solved).sum())} without)"
    )
    print(*words, flush=True)
    features = published_figures(load, injected, base)
    lines = []
    solved = np.flatnonzero(base.solved & ideal.solved)
    for q in qs:
        train = np.intersect1d(draw_records(256, 0, len(load), q), solved)

        def fit(train=train):  # type: ignore[no-untyped-def]
            arguments = (setting.dispatch, load[train], injected[train], ideal.network, features[train], 10.0)
            return training.train_policy(*arguments)

        found, own_s = timed(fit)
        text = f"  training, {q} records, {features.shape[1]} features: {own_s:.2f} by {found.solver}"
        text += f", {'certified' if found.certified else 'NOT certified'}, {found.cost_usd:,.2f} $"
        if clarabel and q <= 24:
            other, other_s = timed(lambda fit=fit: by_clarabel(fit))
            text += f" (Clarabel {other_s:.2f}, {other.cost_usd:,.2f} $)"
        print(text, flush=True)
        size = {"buses": len(case.bus), "datacenters": n_centers, "records": q, "features": features.shape[1]}
        lines.append(size | {"dispatch_s": base_s, "ideal_s": ideal_s, "training_s": own_s})
    print(f"  {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB", flush=True)
    return lines


def draw(lines: list[dict[str, float]], to: Path) -> None:
    """CPU seconds over buses, records and datacenters, each with the others as they are mostly."""
    panels = (
        ("buses", {"datacenters": 3, "records": 250}),
        ("records", {"datacenters": 3}),
        ("datacenters", {"buses": 24, "records": 250}),
    )
    drawn, axes = plt.subplots(1, len(panels), figsize=(10.0, 3.2), layout="constrained", sharey=True)
    for axis, (over, fixed) in zip(axes, panels, strict=True):
        own = [line for line in lines if all(line[name] == value for name, value in fixed.items())]
        for buses in sorted({line["buses"] for line in own}) if over == "records" else (None,):
            shown = sorted((line for line in own if buses in (None, line["buses"])), key=lambda line: line[over])
            for name in ("training_s",) if over == "records" else ("dispatch_s", "ideal_s", "training_s"):
                label = f"training, {buses:g} buses" if buses else name.removesuffix("_s")
                axis.plot([line[over] for line in shown], [line[name] for line in shown], "o-", label=label)
        axis.set(xlabel=over, xscale="log", yscale="log")
        axis.set_xticks(sorted({line[over] for line in own}))
        axis.xaxis.set_major_formatter("{x:g}")
        axis.yaxis.set_major_formatter("{x:g}")
        axis.xaxis.set_minor_formatter("")
        axis.yaxis.set_minor_formatter("")
        axis.grid(alpha=0.3)
        axis.legend(fontsize=7)
    axes[0].set_ylabel("CPU seconds")
    drawn.savefig(to)


def study(path: Path, n_centers: int, n_1: int | None) -> None:
    case = load_network_case(str(path))
    buses = ",".join(case.bus_names[k] for k in case.largest_loads[:n_centers])
    out = str(path.parent / "study")
    command = [sys.executable, "-m", "studies.cli", "coordination", "--network", str(path), "--datacenters", buses]
    outages = [] if n_1 is None else ["--n-1", str(n_1)]
    began_s = time.perf_counter()
    ended = subprocess.run([*command, *outages, "--penetration", "0.1", "--workers", "1", "--out", out])
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    print(
        f"{path.stem}, {n_centers} datacenters, whole study: {time.perf_counter() - began_s:.0f} s, "
        f"{used.ru_utime + used.ru_stime:.0f} CPU s, {used.ru_maxrss / 1024:.0f} MB, exit {ended.returncode}"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", default="case24_ieee_rts:3,case24_ieee_rts:8,case24_ieee_rts:20,case118:3,case300:3")
    parser.add_argument("--q", default="24,250")
    parser.add_argument("--study", help="a case whose whole study is run")
    parser.add_argument("--datacenters", type=int, default=3)
    parser.add_argument("--n-1", type=int, help="records of that study on which outages are checked")
    parser.add_argument("--record", type=Path, help="where seconds are kept, a line for each training")
    parser.add_argument("--draw", type=Path, help="only draw the record")
    parser.add_argument("--clarabel", action="store_true", help="also Clarabel, on the same matrices")
    options = parser.parse_args()
    if options.draw:
        draw([json.loads(line) for line in options.record.read_text().splitlines()], options.draw)
        return
    print(machine())
    with tempfile.TemporaryDirectory() as made:
        if options.study:
            study(congested(options.study, Path(made)), options.datacenters, options.n_1)
            return
        for text in options.cases.split(","):
            name, n_centers = text.split(":")
            qs = [int(q) for q in options.q.split(",")]
            lines = parts(congested(name, Path(made)), int(n_centers), qs, clarabel=options.clarabel)
            if options.record:
                with options.record.open("a", encoding="utf-8") as out:
                    out.writelines(json.dumps(line) + "\n" for line in lines)


if __name__ == "__main__":
    main()
