"""Command-line options on what sites serve and where, the same in every command."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any


def add_workload_filters(parser: argparse.ArgumentParser) -> None:
    """Options that choose between configurations of one model."""
    parser.add_argument("--task", help="only measurements of this task, e.g. lm-arena-chat")
    parser.add_argument("--precision", help="only this precision, e.g. bfloat16 or fp8")
    parser.add_argument("--gpus-per-replica", type=int, metavar="N", help="only replicas of so many GPUs")


def add_fleet_arguments(parser: argparse.ArgumentParser) -> None:
    """Feeder, buses, and the models that a site serves."""
    add = parser.add_argument
    add("--feeder", default="ieee13", help="bundled feeder, or path of a .dss master file (default %(default)s)")
    add("--bus", action="append", help="a bus; repeat for several (default: all candidates of the feeder)")
    add("--model", action="append", help="a measured model; repeat to share the servers evenly (default llama-3.1-70b)")
    add("--gpu", default="H100", help="GPU the models run on (default %(default)s)")
    add_workload_filters(parser)
    add("--batch-size", type=int, default=128, help="batch size without control (default %(default)s)")
    add("--trace-dir", default="data/specs", help="where your own traces lie (default %(default)s)")


def fleet_content(options: argparse.Namespace, models: Sequence[str]) -> dict[str, Any]:
    """The fields of a question that `add_fleet_arguments` fills; `models` are the default ones."""
    return {
        "feeder": options.feeder,
        "buses": tuple(options.bus or ()),
        "models": tuple(options.model or models),
        "gpu": options.gpu,
        "task": options.task,
        "precision": options.precision,
        "gpus_per_replica": options.gpus_per_replica,
        "batch_size": options.batch_size,
        "trace_dir": options.trace_dir,
    }
