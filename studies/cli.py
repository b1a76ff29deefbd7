"""The `g2g` command."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt import __version__
from g2g_opt.datacenter.workloads.measurements import query_measurements
from g2g_opt.errors import G2GError
from g2g_opt.feeder import Feeder
from g2g_opt.feeder_lint import format_findings, lint_feeder
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.scenario import Scenario
from studies.hosting_capacity.study import HostingCapacityStudy


def _positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError("must be 1 or more")
    return value


# Where there is no terminal to measure (a log, a pipe), tables are this wide.
_PLAIN_WIDTH = 132


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 some part failed, 2 bad input, 130 interrupted."""
    options = _parser().parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    try:
        return int(options.run(options, console))
    except G2GError as error:
        Console(stderr=True).print(Text("error: ", style="bold red") + Text(str(error)))
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="g2g",
        description="Planning studies of AI datacenters on distribution feeders, judged by closed-loop simulation.",
        epilog="Begin with: g2g hosting-capacity --feeder ieee13",
    )
    parser.add_argument("--version", action="version", version=f"g2g-opt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_hosting_capacity(commands)
    models = commands.add_parser("models", help="list the measured inference workloads")
    models.add_argument("--model", help="only this model: its id, or the part after the slash")
    models.add_argument("--gpu", help="only this GPU, e.g. H100")
    _add_workload_filters(models)
    models.add_argument("--tensor-parallel", type=int, metavar="N", help="only this tensor-parallel degree")
    models.add_argument("--expert-parallel", type=int, metavar="N", help="only this expert-parallel degree")
    models.set_defaults(run=_run_models)
    feeder = commands.add_parser("feeder", help="describe a feeder and say what it lacks for studies")
    feeder.add_argument("feeder", help="a bundled feeder's name, or the path of an OpenDSS master file")
    feeder.set_defaults(run=_run_feeder)
    return parser


def _add_workload_filters(parser: argparse.ArgumentParser) -> None:
    """Options that choose between configurations of one model."""
    parser.add_argument("--task", help="only measurements of this task, e.g. lm-arena-chat")
    parser.add_argument("--precision", help="only this precision, e.g. bfloat16 or fp8")
    parser.add_argument("--gpus-per-replica", type=int, metavar="N", help="only replicas of so many GPUs")


def _add_hosting_capacity(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    default = HostingCapacityStudy()
    parser = commands.add_parser(
        "hosting-capacity",
        help="how many MW can each bus host, firm and with flexible operation",
        description=(
            "For every bus: the largest datacenter that keeps the limits in closed loop over a whole hour, firm "
            "(batch sizes fixed) and flexible (a controller lowers and raises batch sizes), with the limit that binds."
        ),
        epilog=(
            "Example: g2g hosting-capacity --feeder ieee13 --bus 671 --bus 675 --model llama-3.1-8b --out results/two. "
            "Exit status 0 when every bus has an answer, 1 when one failed, 2 on bad input, 130 after Ctrl-C (what was "
            "finished is written)."
        ),
    )
    add = parser.add_argument
    add("--feeder", default=default.feeder, help="bundled feeder, or path of a .dss master file (default %(default)s)")
    add("--bus", action="append", help="a bus; repeat for several (default: all candidates of the feeder)")
    add("--model", action="append", help="a measured model; repeat to share the servers evenly (default llama-3.1-70b)")
    add("--gpu", default=default.gpu, help="GPU the models run on (default %(default)s)")
    _add_workload_filters(parser)
    add("--batch-size", type=int, default=default.batch_size, help="batch size without control (default %(default)s)")
    add("--policy", choices=("ofo", "droop"), default="ofo", help="controller of flexible operation (default ofo)")
    add(
        "--margin",
        type=float,
        default=default.policy.margin_pu,
        metavar="PU",
        help="the controller aims this far inside the voltage limits (default %(default)s)",
    )
    add(
        "--taps",
        choices=("optimised", "study", "own control"),
        default="optimised",
        help="regulator taps: found per size, the feeder's own, or moved by its controls (default optimised)",
    )
    limits = Limits()
    add("--voltage-min", type=float, default=limits.voltage_min_pu, metavar="PU", help="default %(default)s")
    add("--voltage-max", type=float, default=limits.voltage_max_pu, metavar="PU", help="default %(default)s")
    add(
        "--violation-share",
        type=float,
        default=limits.violation_time_share_max,
        metavar="SHARE",
        help="share of the hour in which a voltage may be outside (default %(default)s)",
    )
    add(
        "--loading-max",
        type=float,
        metavar="SHARE",
        help="judge lines and transformers against this share of their ratings (default: report only)",
    )
    add(
        "--throughput-min",
        type=float,
        default=limits.throughput_share_min,
        metavar="SHARE",
        help="tokens served, as a share of the uncontrolled fleet's (default %(default)s)",
    )
    add("--seed", type=int, default=0, help="study seed (default %(default)s)")
    add("--workers", type=_positive, help="processes (default: one per core)")
    add("--trace-dir", default=default.trace_dir, help="where your own traces lie (default %(default)s)")
    add(
        "--out",
        type=Path,
        default=Path("results/hosting_capacity"),
        metavar="DIR",
        help="folder of the results (default %(default)s)",
    )
    parser.set_defaults(run=_run_hosting_capacity)


def question_of(options: argparse.Namespace) -> HostingCapacityStudy:
    """The study that a parsed `g2g hosting-capacity` line asks for."""
    return HostingCapacityStudy(
        feeder=options.feeder,
        buses=tuple(options.bus or ()),
        models=tuple(options.model or HostingCapacityStudy.models),
        gpu=options.gpu,
        task=options.task,
        precision=options.precision,
        gpus_per_replica=options.gpus_per_replica,
        batch_size=options.batch_size,
        policy=Policy(options.policy, margin_pu=options.margin),
        taps=options.taps,
        scenario=Scenario(seed=options.seed),
        limits=Limits(
            voltage_min_pu=options.voltage_min,
            voltage_max_pu=options.voltage_max,
            violation_time_share_max=options.violation_share,
            loading_max_pu=options.loading_max,
            throughput_share_min=options.throughput_min,
        ),
        trace_dir=options.trace_dir,
    )


def _run_hosting_capacity(options: argparse.Namespace, console: Console) -> int:
    from studies.hosting_capacity.batch import run_buses
    from studies.hosting_capacity.results import (
        make_folder,
        not_assessed,
        overload_warning,
        result_table,
        write_results,
    )

    study = question_of(options)
    # What can be wrong with the question or the folder is found before a worker starts.
    feeder, buses = study.check()
    make_folder(options.out)
    began_s = time.monotonic()
    batch = run_buses(study, buses, options.workers, console)
    paths = write_results(study, batch.capacities, batch.failures, options.out, time.monotonic() - began_s)
    if batch.capacities:
        from studies.hosting_capacity.figures import draw_hosting_capacity

        title = f"Hosting capacity of {feeder.name}, {', '.join(study.models)} on {study.gpu}"
        paths.append(draw_hosting_capacity(feeder, batch.capacities, title, options.out / "hosting_capacity.png"))
        console.print(result_table(study, batch.capacities))
        console.print(
            "mean and peak MW: simulated in closed loop over the hour; fleet MW: peak of the same fleet uncontrolled; "
            "tokens: served, as a share of the uncontrolled fleet's"
        )
        if warning := overload_warning(study, batch.capacities):
            console.print(warning, style="yellow", markup=False)
    for bus, reason in batch.failures.items():
        console.print(f"bus {bus} failed: {reason}", style="red", markup=False)
    for note in not_assessed(study):
        console.print(f"not assessed: {note}", markup=False)
    console.print(f"{time.monotonic() - began_s:.0f} s; results in:", *(str(path) for path in paths), sep="\n  ")
    if batch.interrupted:
        return 130
    return 1 if batch.failures else 0


def _run_models(options: argparse.Namespace, console: Console) -> int:
    rows = query_measurements(
        model=options.model,
        gpu=options.gpu,
        task=options.task,
        precision=options.precision,
        gpus_per_replica=options.gpus_per_replica,
        tensor_parallel=options.tensor_parallel,
        expert_parallel=options.expert_parallel,
    )
    table = Table("model", "GPUs", "task", "precision", "parallel", "batch sizes", title="Measured inference workloads")
    by_configuration: dict[str, list[int]] = {}
    cells: dict[str, tuple[str, ...]] = {}
    for row in rows:
        c = row.configuration
        by_configuration.setdefault(str(c), []).append(row.batch_size)
        split = f"t{c.tensor_parallel} e{c.expert_parallel} d{c.data_parallel}"
        cells[str(c)] = (c.model_id, f"{c.num_gpus} x {c.gpu_model}", c.task, c.precision, split)
    for key, sizes in by_configuration.items():
        table.add_row(*cells[key], " ".join(str(size) for size in sizes))
    console.print(table)
    return 0


def _run_feeder(options: argparse.Namespace, console: Console) -> int:
    name = options.feeder
    feeder = Feeder.from_dss(name) if name.lower().endswith(".dss") else Feeder.load(name)
    console.print(repr(feeder), markup=False)
    console.print(f"candidate buses: {', '.join(feeder.candidate_buses)}", markup=False)
    console.print(format_findings(lint_feeder(feeder)), markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
