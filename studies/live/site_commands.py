"""`g2g live datacenter`: a plan of one site that runs on a cluster, or on an emulated one."""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from g2g_opt.errors import InputError, shown
from g2g_opt.quantities import BatchSize, Bounds, DurationS, PowerMw, RunS
from g2g_opt.reading import plain_digits, read_text
from studies.shared.number_flags import number

if TYPE_CHECKING:
    from g2g_opt.live.online_run import OnlineRun

Speed = Annotated[float, Bounds(0, 1000, "s of the run a second", above_low=True)]
_MODELS = ("llama-3.1-70b",)
_TOKEN_BYTES_MAX = 4096
_UNHEARD = "no sample of the cluster's power arrived: the run has no figures of it"


def add_datacenter(commands: Any) -> None:
    """Add the command."""
    parser = commands.add_parser("datacenter", help="keep a feeder's voltages with a cluster that runs")
    parser.description = (
        "Read the power of a running cluster (Prometheus text: the DCGM exporter's and vLLM's names, or a mapping "
        "file's), solve the feeder with it step by step, and post batch sizes by which a controller keeps voltages. "
        "With --emulate, bundled measurements are replayed behind a real HTTP endpoint on loopback, once without and "
        "once with the controller. The run is judged as any study's."
    )
    parser.epilog = (
        "Example: g2g live datacenter --emulate --speed 10. With a cluster of yours: g2g live datacenter --metrics "
        "http://10.0.0.5:9400/metrics --metrics http://10.0.0.5:8000/metrics --command http://10.0.0.5:8080/batch"
    )
    where = parser.add_argument_group("the cluster")
    where.add_argument("--emulate", action="store_true", help="an emulated one instead of --metrics")
    where.add_argument(
        "--metrics", action="append", default=[], metavar="URL", help="Prometheus text; repeat for several"
    )
    where.add_argument("--command", metavar="URL", help="where batch sizes are posted as JSON (docs/live.md)")
    where.add_argument("--mapping", type=Path, metavar="FILE", help="TOML of other metric names, models, and phases")
    where.add_argument("--token-file", type=Path, metavar="FILE", help="bearer token that goes with every request")
    where.add_argument(
        "--age-max-s",
        type=number(DurationS),
        default=5.0,
        metavar="S",
        help="older samples are stale, and held (default 5)",
    )
    where.add_argument(
        "--lost-s", type=number(DurationS), default=30.0, metavar="S", help="older ones are lost (default 30)"
    )
    lost = "what a lost endpoint's power is taken for (default hold)"
    where.add_argument("--lost-rule", choices=("hold", "rated"), default="hold", help=lost)
    outage = "of an emulated cluster: it answers nothing from one time to another (s of the run)"
    where.add_argument("--drop-out", metavar="START-END", help=outage)
    plan = parser.add_argument_group("site and feeder")
    plan.add_argument("--feeder", default="ieee13", help="bundled feeder or OpenDSS master file (default ieee13)")
    plan.add_argument("--bus", default="671", help="bus of the site (default 671)")
    plan.add_argument("--mw", type=number(PowerMw), default=7.0, help="size of an emulated site, rated (default 7)")
    plan.add_argument(
        "--model", action="append", default=[], help=f"model served (default {_MODELS[0]}); see g2g models"
    )
    plan.add_argument("--gpu", default="H100", help="GPU it is served on (default H100)")
    plan.add_argument(
        "--batch-size", type=number(BatchSize), default=128, metavar="N", help="without a command (default 128)"
    )
    plan.add_argument("--policy", choices=("none", "droop", "ofo"), default="ofo", help="controller (default ofo)")
    run = parser.add_argument_group("the run")
    run.add_argument(
        "--duration-s", type=number(RunS), default=300, metavar="S", help="length of the run (default 300)"
    )
    run.add_argument(
        "--speed",
        type=number(Speed),
        default=1.0,
        metavar="X",
        help="seconds of the run in one of wall time (default 1)",
    )
    now = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    out = "folder for record, table and picture (default: a new one below results/live)"
    run.add_argument("--out", type=Path, default=Path("results/live") / now, metavar="DIR", help=out)
    parser.set_defaults(run=_run_datacenter)


def _run_datacenter(options: argparse.Namespace, console: Console) -> int:
    from g2g_opt.datacenter.cluster_link import ClusterConnection
    from g2g_opt.datacenter.cluster_metrics import load_metric_names

    if options.emulate == bool(options.metrics):
        raise InputError("give --emulate, or --metrics URL with a cluster of yours")
    if options.drop_out is not None and not options.emulate:
        raise InputError("--drop-out goes with --emulate")
    if options.command is not None and options.emulate:
        raise InputError(
            "--command is where a cluster of yours takes batch sizes; the emulator has an address of its own"
        )
    token = None
    if options.token_file is not None:
        token = read_text(options.token_file, "token file", _TOKEN_BYTES_MAX).strip()
        if not token.isascii() or not token.isprintable() or not token:
            raise InputError(f"token file {options.token_file} holds no token of printable ASCII letters")
    shared: dict[str, Any] = {
        "age_max_s": options.age_max_s, "lost_s": options.lost_s, "lost_rule": options.lost_rule, "token": token
    }  # fmt: skip
    if options.mapping is not None:
        shared["names"] = load_metric_names(options.mapping)
    runs: dict[str, OnlineRun] = {}
    kinds = ("none", options.policy) if options.emulate and options.policy != "none" else (options.policy,)
    for kind in kinds:
        words = "without a controller" if kind == "none" else f"with {kind}"
        console.print(f"{words}: {options.duration_s / options.speed:.0f} s of wall time", markup=False)
        if options.emulate:
            runs[kind] = _run_emulated(options, kind, shared)
        else:
            connection = ClusterConnection(tuple(options.metrics), options.command, **shared)
            runs[kind] = _run_on(options, kind, connection)
    return _show(options, runs, console)


def _run_emulated(options: argparse.Namespace, kind: str, shared: Mapping[str, Any]) -> OnlineRun:
    """A run on an emulator of the same site."""
    from g2g_opt.assembly import assemble_datacenter
    from g2g_opt.datacenter.cluster_link import ClusterConnection
    from g2g_opt.live.campaign import LOOPBACK
    from g2g_opt.live.emulator import ClusterEmulator

    plan, scenario = _plan_of(options, kind)
    site = assemble_datacenter(plan.sites[0], scenario)
    outages: tuple[tuple[float, float], ...] = ()
    if options.drop_out is not None:
        outages = (_drop_out(options.drop_out),)
    emulator = ClusterEmulator(site, speed=options.speed, outages=outages, token=shared["token"])
    found = emulator.start(LOOPBACK)
    try:
        connection = ClusterConnection(
            (f"http://{found}/metrics",), f"http://{found}/commands", **({"names": emulator.names} | dict(shared))
        )
        return _run_on(options, kind, connection)
    finally:
        emulator.stop()


def _drop_out(text: str) -> tuple[float, float]:
    start, _, end = text.partition("-")
    try:
        start_s, end_s = float(plain_digits(start)), float(plain_digits(end))
    except ValueError as error:
        raise InputError(f"--drop-out {shown(text)}: give START-END in seconds") from error
    if not 0.0 <= start_s < end_s < math.inf:
        raise InputError(f"--drop-out {shown(text)}: an outage begins, from 0 s on, before it ends")
    return start_s, end_s


def _plan_of(options: argparse.Namespace, kind: str) -> Any:
    from g2g_opt.plan import Plan, Policy
    from g2g_opt.scenario import Scenario
    from g2g_opt.site import BASE_KW_PER_GPU, GPUS_PER_SERVER, sized_site
    from studies.shared.workload import GPU_RATED_KW, measured_models

    models = measured_models(options.model or _MODELS, options.gpu, None, None, None, options.batch_size)
    server_kw = GPUS_PER_SERVER * (GPU_RATED_KW + BASE_KW_PER_GPU)
    servers = round(options.mw * 1e3 / server_kw)
    if servers < 1:
        words = f"a server of {GPUS_PER_SERVER} GPUs is rated for {server_kw / 1e3:.4g} MW; give that or more"
        raise InputError(f"--mw {options.mw:g}: {words}")
    site = sized_site("site", options.bus, models, servers, BASE_KW_PER_GPU)
    policy: Any = kind
    return Plan((site,), policy=Policy(policy)), Scenario(name="live", duration_s=options.duration_s, dt_s=Fraction(1))


def _run_on(options: argparse.Namespace, kind: str, connection: Any) -> OnlineRun:
    from g2g_opt.feeder import Feeder
    from g2g_opt.limits import Limits
    from g2g_opt.live.online_run import run_online
    from g2g_opt.live.record import LiveRecorder, record_path
    from g2g_opt.live.steady_clock import SteadyClock
    from g2g_opt.live.tally import LiveTally

    plan, scenario = _plan_of(options, kind)
    recorder = LiveRecorder(
        record_path(options.out / kind, "controller"), "controller", SteadyClock().now_s(), LiveTally()
    )
    try:
        return run_online(
            plan, scenario, Feeder.find(options.feeder), Limits(), {"site": connection},
            speed=options.speed, recorder=recorder,
        )  # fmt: skip
    finally:
        recorder.close()


def _show(options: argparse.Namespace, runs: Mapping[str, OnlineRun], console: Console) -> int:
    from studies.live.figures import write_online_picture
    from studies.live.online_table import write_online_table

    table = Table(
        "run", "lowest", "highest", "outside the band", "integral", "mean power", "tokens/s", "held", "verdict"
    )
    failed = False
    for kind, run in runs.items():
        for trouble, count in run.troubles["site"].items():
            console.print(f"{kind}: {trouble}: {count}", markup=False)
        outcome = run.outcome
        states: Any = run.assembly.datacenters["site"].history()
        held = sum(state.power_source != "measured" for state in states) / max(len(states), 1)
        reason = str(outcome.failure) if outcome.failure is not None else _UNHEARD if held == 1.0 else ""
        if reason:
            failed = True
            table.add_row(Text(kind), *[""] * 7, Text(reason))
            continue
        voltage, site = outcome.voltage, outcome.summary.sites[0]
        table.add_row(
            Text(kind),
            f"{voltage.worst_vmin:.4f} pu",
            f"{voltage.worst_vmax:.4f} pu",
            f"{voltage.violation_time_s:.0f} s",
            f"{voltage.integral_violation_pu_s:.3f} pu s",
            f"{site.power_mean_mw:.3f} MW",
            f"{site.throughput_tps:.0f}",
            f"{100 * held:.1f} %",
            Text("kept" if outcome.kept else "; ".join(outcome.reasons)),
        )
    console.print(table)
    for path in (write_online_table(options.out, runs), write_online_picture(options.out, runs)):
        console.print(f"written: {path}", markup=False, soft_wrap=True)
    return 1 if failed else 0
