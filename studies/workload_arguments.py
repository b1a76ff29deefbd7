"""Command-line options that choose between configurations of one measured model, the same in every command."""

from __future__ import annotations

import argparse


def add_workload_filters(parser: argparse.ArgumentParser) -> None:
    """Options that choose between configurations of one model."""
    parser.add_argument("--task", help="only measurements of this task, e.g. lm-arena-chat")
    parser.add_argument("--precision", help="only this precision, e.g. bfloat16 or fp8")
    parser.add_argument("--gpus-per-replica", type=int, metavar="N", help="only replicas of so many GPUs")
