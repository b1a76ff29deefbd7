"""The `g2g` command."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt import __version__
from g2g_opt.consent import Consent, give_consent
from g2g_opt.errors import G2GError
from studies.study_commands import add_circuit_consent, add_study_commands
from studies.workload_arguments import add_excluded_buses, add_workload_filters, excluded_buses

# Where there is no terminal to measure (a log, a pipe), tables are this wide.
_PLAIN_WIDTH = 132


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns the exit status: 0 done, 1 some part failed, 2 bad input, 130 interrupted."""
    arguments = sys.argv[1:] if arguments is None else arguments
    options = parser_of(arguments[0] if arguments else None).parse_args(arguments)
    console = Console() if sys.stdout.isatty() else Console(width=_PLAIN_WIDTH)
    give_consent(Consent(getattr(options, "trust_circuit", False), getattr(options, "trust_study", False)))
    try:
        return int(options.run(options, console))
    except G2GError as error:
        Console(stderr=True).print(Text("error: ", style="bold red") + Text(str(error)))
        return 2
    except KeyboardInterrupt:
        Console(stderr=True).print("interrupted")
        return 130


def parser_of(wanted: str | None) -> argparse.ArgumentParser:
    """The parser of every command; of the studies only the `wanted` one has its options."""
    parser = argparse.ArgumentParser(
        prog="g2g",
        description="Planning studies of AI datacenters on distribution feeders, judged by closed-loop simulation.",
        epilog="Begin with: g2g hosting-capacity --feeder ieee13",
    )
    parser.add_argument("--version", action="version", version=f"g2g-opt {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    add_study_commands(commands, wanted)
    models = commands.add_parser("models", help="list the measured inference workloads")
    models.add_argument("--model", help="only this model: its id, or the part after the slash")
    models.add_argument("--gpu", help="only this GPU, e.g. H100")
    add_workload_filters(models)
    models.add_argument("--tensor-parallel", type=int, metavar="N", help="only this tensor-parallel degree")
    models.add_argument("--expert-parallel", type=int, metavar="N", help="only this expert-parallel degree")
    models.set_defaults(run=_run_models)
    feeder = commands.add_parser("feeder", help="describe a feeder and say what it lacks for studies")
    feeder.add_argument("feeder", help="a bundled feeder's name, or the path of an OpenDSS master file")
    add_excluded_buses(feeder)
    add_circuit_consent(feeder)
    feeder.set_defaults(run=_run_feeder)
    return parser


def _run_models(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.datacenter.workloads.measurements import query_measurements

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
    from g2g_opt.feeder import Feeder
    from g2g_opt.feeder_description import describe_feeder
    from g2g_opt.feeder_lint import format_findings, lint_feeder

    feeder = Feeder.find(options.feeder).excluding(excluded_buses(options))
    console.print(repr(feeder), markup=False)
    console.print(f"candidate buses: {', '.join(feeder.candidate_buses)}", markup=False)
    for words in describe_feeder(feeder):
        console.print(words, markup=False)
    console.print(format_findings(lint_feeder(feeder)), markup=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
