"""A cluster in the loop: what its metrics say, troubles as states, commands until they are taken, a voltage kept."""

from __future__ import annotations

import http.client
import json
import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from g2g_opt.assembly import assemble_datacenter
from g2g_opt.clock import SimulationClock
from g2g_opt.datacenter.cluster_link import ClusterConnection
from g2g_opt.datacenter.cluster_metrics import MetricNames, load_metric_names, read_cluster_sample
from g2g_opt.datacenter.command import SetBatchSize, ShiftReplicas
from g2g_opt.datacenter.http_exchange import ExchangeError, HttpAddress, exchange
from g2g_opt.datacenter.online import OnlineDatacenter, OnlineDatacenterState
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.live.emulator import ClusterEmulator
from g2g_opt.live.online_run import run_online
from g2g_opt.live.record import LiveRecorder, load_live_run
from g2g_opt.live.replay import channels_of_run
from g2g_opt.live.settings import Address
from g2g_opt.live.tally import LiveTally
from g2g_opt.plan import Plan, Policy
from g2g_opt.scenario import Scenario
from g2g_opt.simulation_log import SimulationLog
from g2g_opt.site import Site, sized_site
from studies.shared.workload import measured_models

LABEL = "Llama-3.1-70B"
(SPEC,) = (spec for spec, _ in measured_models(("llama-3.1-70b",), "H100", None, None, None, 128))
TEXT = """\
# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).
# TYPE DCGM_FI_DEV_POWER_USAGE gauge
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1",Hostname="east",pod="a",container="x"} 400.5
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-1",Hostname="east",pod="b",container="x"} 400.5
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-2",Hostname="east"} 300.0
DCGM_FI_DEV_POWER_USAGE{gpu="0",UUID="GPU-3",Hostname="west"} 200.0
DCGM_FI_DEV_POWER_USAGE{gpu="1",UUID="GPU-4",Hostname="west"} NaN
DCGM_FI_DEV_POWER_USAGE{gpu="2",UUID="GPU-5",Hostname="west"} -1
DCGM_FI_DEV_GPU_UTIL{gpu="0",UUID="GPU-1",Hostname="east"} 97
vllm:num_requests_running{engine="0",model_name="meta-llama/Llama-3.1-70B-Instruct"} 60.0
vllm:num_requests_running{engine="1",model_name="meta-llama/Llama-3.1-70B-Instruct"} 64.0
# TYPE vllm:time_per_output_token_seconds histogram
vllm:time_per_output_token_seconds_bucket{le="0.1",model_name="meta-llama/Llama-3.1-70B-Instruct"} 10
vllm:time_per_output_token_seconds_sum{model_name="meta-llama/Llama-3.1-70B-Instruct"} 50.0
vllm:time_per_output_token_seconds_count{model_name="meta-llama/Llama-3.1-70B-Instruct"} 1000
"""
LATER = TEXT.replace(" 50.0\n", " 53.0\n").replace(" 1000\n", " 1100\n")


@contextmanager
def served(answer: Callable[[BaseHTTPRequestHandler], None]) -> Iterator[str]:
    """A server on loopback that answers as told; yields its URL."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            answer(self)

        do_POST = do_GET

        def log_message(self, *args: Any) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request: Any, client_address: Any) -> None:
            pass

    with Quiet(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_address[1]}"
        finally:
            server.shutdown()


def say(request: BaseHTTPRequestHandler, text: str, status: int = 200) -> None:
    request.send_response(status)
    request.send_header("Content-Length", str(len(text.encode())))
    request.end_headers()
    request.wfile.write(text.encode())


class Rig:
    """An `OnlineDatacenter` that is stepped by hand."""

    def __init__(self, url: str, **connection: Any) -> None:
        given: dict[str, Any] = {"poll_s": 0.02, "time_out_s": 2.0, "age_max_s": 0.3, "lost_s": 0.8, **connection}
        self.site = OnlineDatacenter(
            [SPEC],
            ClusterConnection((f"{url}/metrics",), **given),
            name="site",
            dt_s=Fraction(1),
            start_batch_sizes={SPEC.model_label: 128},
        )
        self.clock, self.log = SimulationClock(Fraction(1)), SimulationLog[Any, Any]()
        self.events = EventEmitter(self.clock, self.log, "datacenter")

    def __enter__(self) -> Rig:
        self.site.do_reset()
        self.site.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.site.stop()

    def step(self) -> OnlineDatacenterState:
        state = self.site.do_step(self.clock, self.events)
        self.clock.advance()
        return state

    def step_until(self, true: Callable[[OnlineDatacenterState], bool], seconds: float = 15.0) -> OnlineDatacenterState:
        end_s = time.monotonic() + seconds
        while not true(state := self.step()):
            assert time.monotonic() < end_s, f"not in {seconds} s: {state}"
            time.sleep(0.01)
        return state


# --- metrics


def test_a_text_is_read_by_the_names_of_dcgm_and_vllm() -> None:
    sample = read_cluster_sample(TEXT, MetricNames())
    assert sample.power_w == {"east": 700.5, "west": 200.0}
    assert (sample.n_gpus, sample.refused) == (3, 2)
    model = "meta-llama/Llama-3.1-70B-Instruct"
    assert (sample.replicas, sample.latency_sum_s, sample.latency_count) == ({model: 2}, {model: 50.0}, {model: 1000.0})


def test_a_mapping_file_gives_other_names(tmp_path: Path) -> None:
    path = tmp_path / "names.toml"
    path.write_text(
        'power = "node_power_milliwatts"\npower_unit_w = 0.001\nhost_label = "instance"\ngpu_label = "slot"\n'
        'running = "engine_up"\nmodel_label = "served"\nbatch_size = "engine_batch"\n'
        'models = { big = "Llama-3.1-70B" }\n'
        '[phase_of_host]\neast = "B"\n'
    )
    names = load_metric_names(path)
    text = (
        'node_power_milliwatts{instance="east",slot="1"} 5e5\n'
        'engine_up{served="big"} 1\nengine_batch{served="big"} 64\n'
    )
    sample = read_cluster_sample(text, names)
    assert (sample.power_w, sample.replicas, sample.batch_size) == ({"east": 500.0}, {LABEL: 1}, {LABEL: 64})
    for wrong in ("pwr = 1", "power = 1", "models = { a = 1 }", 'phase_of_host = { a = "D" }', "power_unit_w = -1"):
        path.write_text(wrong)
        with pytest.raises(InputError):
            load_metric_names(path)


@pytest.mark.parametrize("pod", ["a\u2028b", "a\x85b", "a\x0bb", "a # b", "a}b", "a,b", "a\\\\", 'a\\"b', "# {"])
def test_a_label_may_hold_what_other_texts_end_lines_and_values_with(pod: str) -> None:
    sample = read_cluster_sample(TEXT.replace('pod="a"', f'pod="{pod}"'), MetricNames())
    assert sample.power_w == {"east": 700.5, "west": 200.0}


@pytest.mark.parametrize(
    "text", ["", "hello", "<html></html>", TEXT.replace(" 400.5", " watt"), "DCGM_FI_DEV_POWER_USAGE{"]
)
def test_a_text_that_is_no_metrics_is_refused(text: str) -> None:
    with pytest.raises((ValueError, KeyError, IndexError)):
        read_cluster_sample(text, MetricNames())


# --- states


def test_a_step_shows_power_replicas_and_latency_since_the_last_sample() -> None:
    texts = iter([TEXT])
    with served(lambda request: say(request, next(texts, LATER))) as url:
        names = MetricNames(phase_of_host={"east": "A"})
        with Rig(url, names=names) as rig:
            state = rig.step_until(lambda s: math.isfinite(s.observed_itl_s_by_model[SPEC.model_label]))
    assert state.power_w == pytest.approx((700.5 + 200.0 / 3, 200.0 / 3, 200.0 / 3))
    assert state.active_replicas_by_model == {SPEC.model_label: 2}
    assert state.observed_itl_s_by_model[SPEC.model_label] == pytest.approx(0.03)
    assert (state.power_source, list(state.endpoints.values())) == ("measured", ["fresh"])
    share = rig.site.phase_share_by_model[SPEC.model_label]
    assert share.tolist() == pytest.approx([(700.5 + 200 / 3) / 900.5, 200 / 3 / 900.5, 200 / 3 / 900.5])
    assert rig.site.record.power_w[-1].sum() == pytest.approx(900.5)


def hang(request: BaseHTTPRequestHandler) -> None:
    time.sleep(3.0)


TROUBLES: dict[str, tuple[Callable[[BaseHTTPRequestHandler], None], str]] = {
    "an error": (lambda request: say(request, "", 500), "status"),
    "a redirect": (lambda request: say(request, "", 302), "status"),
    "nonsense": (lambda request: say(request, "hello"), "malformed"),
    "no text": (lambda request: request.wfile.write(b"\x00\xff" * 100), "malformed"),
    "silence": (hang, "timed out"),
    "a cut connection": (lambda request: request.connection.close(), "malformed"),
}


@pytest.mark.parametrize("kind", TROUBLES)
def test_an_endpoint_that_fails_becomes_stale_then_lost_and_comes_back(kind: str) -> None:
    answer, trouble = TROUBLES[kind]
    fails = threading.Event()
    with (
        served(lambda request: answer(request) if fails.is_set() else say(request, TEXT)) as url,
        Rig(url, time_out_s=0.2, lost_rule="rated") as rig,
    ):
        rig.step_until(lambda s: s.power_source == "measured")
        fails.set()
        held = rig.step_until(lambda s: s.power_source == "held")
        assert (sum(held.power_w), list(held.endpoints.values())) == (pytest.approx(900.5), ["stale"])
        lost = rig.step_until(lambda s: s.power_source == "rated")
        # Three GPUs at 700 W.
        assert (sum(lost.power_w), list(lost.endpoints.values())) == (pytest.approx(2100.0), ["lost"])
        assert rig.site.troubles[trouble] > 0
        fails.clear()
        back = rig.step_until(lambda s: s.power_source == "measured")
        assert sum(back.power_w) == pytest.approx(900.5)
    told = [event.data["state"] for event in rig.log.events if event.topic == "datacenter.endpoint"]
    assert told == ["fresh", "stale", "lost", "fresh"]


def test_a_cluster_that_is_not_there_is_a_state_from_the_start() -> None:
    with served(lambda request: None) as url:
        pass  # nobody listens there any more
    with Rig(url) as rig:
        first = rig.step()
        assert (sum(first.power_w), first.power_source, list(first.endpoints.values())) == (0.0, "unknown", ["waiting"])
        assert list(rig.step_until(lambda s: "lost" in s.endpoints.values()).endpoints.values()) == ["lost"]
        assert rig.site.troubles["refused"] > 0


def test_too_long_an_answer_and_too_slow_a_one_end() -> None:
    def drip(request: BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.end_headers()
        for _ in range(100):
            request.wfile.write(b"x")
            time.sleep(0.05)

    with served(lambda request: say(request, "x" * 5000)) as url, pytest.raises(ExchangeError) as error:
        exchange(HttpAddress.parse(url), time_out_s=5.0, bytes_max=1000)
    assert error.value.trouble == "oversized"
    with served(drip) as url, pytest.raises(ExchangeError) as error:
        exchange(HttpAddress.parse(url), time_out_s=0.3, bytes_max=1000)
    assert error.value.trouble == "timed out"


@pytest.mark.parametrize(
    "url", ["file:///etc/passwd", "ftp://h/", "http://", "http://u:p@h/", "h:80", "http://h:x/", "http://h/ x"]
)
def test_an_address_is_http_and_holds_no_password(url: str) -> None:
    with pytest.raises(InputError):
        HttpAddress.parse(url)


# --- commands


def test_a_command_is_posted_until_it_is_taken_and_the_newest_counts() -> None:
    bodies: list[str] = []
    takes = threading.Event()

    def answer(request: BaseHTTPRequestHandler) -> None:
        if request.command == "GET":
            say(request, TEXT)
            return
        body = request.rfile.read(int(request.headers["Content-Length"])).decode()
        bodies.append(body + str(request.headers["Authorization"]))
        say(request, "{}", 200 if takes.is_set() else 503)

    label = SPEC.model_label
    with served(answer) as url, Rig(url, command=f"{url}/batch", token="secret") as rig:
        for size in (64, 32):
            rig.site.apply_control(SetBatchSize({label: size}, target=rig.site), rig.events)
            rig.step_until(lambda s: rig.site.troubles["status"] >= 2)
        assert rig.site.commanded_batch_size_by_model == {label: 32}
        assert rig.step().batch_size_by_model == {label: 128}, "what the cluster has not taken is not in force"
        takes.set()
        rig.step_until(lambda s: s.batch_size_by_model == {label: 32})
    assert '"sequence": 2' in bodies[-1]
    assert bodies[-1].endswith("Bearer secret")
    for wrong in (SetBatchSize({"other": 8}, target=rig.site), SetBatchSize({label: 7}, target=rig.site)):
        with pytest.raises(InputError):
            rig.site.apply_control(wrong, rig.events)
    with pytest.raises(InputError, match="SetBatchSize"):
        rig.site.apply_control(ShiftReplicas(label, 1, target=rig.site), rig.events)


# --- the loop


def big_site(megawatt: float = 7.0) -> Site:
    models = measured_models(("llama-3.1-70b",), "H100", None, None, None, 128)
    return sized_site("site", "671", models, round(megawatt * 1e3 / (8 * 0.908)), 0.208)


def test_a_controller_keeps_a_voltage_with_a_cluster_behind_real_sockets(tmp_path: Path) -> None:
    plan = Plan((big_site(),), policy=Policy("ofo"))
    scenario = Scenario(name="live", duration_s=40, replica_ramps=())
    feeder, limits, speed = Feeder.load("ieee13"), Limits(), 20.0
    outside_pu_s = {}
    for kind in ("none", "ofo"):
        own = replace(plan, policy=Policy(kind))  # type: ignore[arg-type]
        emulator = ClusterEmulator(assemble_datacenter(own.sites[0], scenario), speed=speed, token="secret")
        url = f"http://{emulator.start(Address('127.0.0.1', 0))}"
        recorder = LiveRecorder(tmp_path / kind / "run.g2glive", "controller", 0.0, LiveTally())
        try:
            with pytest.raises(ExchangeError, match="401"):
                exchange(HttpAddress.parse(f"{url}/metrics"), time_out_s=5.0, bytes_max=10_000)
            connection = ClusterConnection(
                (f"{url}/metrics",),
                f"{url}/commands",
                names=emulator.names,
                age_max_s=100.0,
                lost_s=1000.0,
                time_out_s=20.0,
                token="secret",
            )
            online = run_online(own, scenario, feeder, limits, {"site": connection}, speed=speed, recorder=recorder)
        finally:
            emulator.stop()
            recorder.close()
        outside_pu_s[kind] = online.outcome.voltage.integral_violation_pu_s
        columns = online.assembly.grid.monitored_columns
        lowest_pu = online.assembly.grid.record.voltage_pu[-1, columns].min()
        assert online.troubles["site"] == {}
        assert (emulator.n_commands > 0) == (kind == "ofo")
        assert (lowest_pu >= 0.95) == (kind == "ofo")
    assert outside_pu_s["ofo"] < 0.8 * outside_pu_s["none"]
    run = load_live_run(tmp_path / "ofo")
    assert run.lanes["site", "controller", "site"].loss == 0.0
    assert [lane.topic for lane in channels_of_run(run, {"site": "site"}).lanes] == ["site", "command"]


def test_what_is_no_command_is_refused_with_the_reason_and_changes_nothing() -> None:
    site = assemble_datacenter(sized_site("site", "671", ((SPEC, 128),), 4, 0.2), Scenario(duration_s=60))
    label = site.model_labels[0]
    emulator = ClusterEmulator(site)
    listening = emulator.start(Address("127.0.0.1", 0))
    bodies = [
        {"batch_size_by_model": {"\u6a21\u578b": 8}},
        *({"batch_size_by_model": {label: size}} for size in ("64", 64.7, True, -5, None, [64])),
        {"batch_size_by_model": [[label, 64]]},
        {},
        [],
    ]
    try:
        for body in (*(json.dumps(found).encode() for found in bodies), b"\xff", b"[" * 1000, b"{"):
            connection = http.client.HTTPConnection(listening.host, listening.port, timeout=60.0)
            with closing(connection):
                connection.request("POST", "/commands", body)
                answer = connection.getresponse()
                assert (answer.status, answer.reason != "") == (400, True), body
        assert (emulator.n_commands, site.commanded_batch_size_by_model) == (0, {label: 128})
    finally:
        emulator.stop()


def test_a_plan_that_a_cluster_cannot_follow_is_refused() -> None:
    scenario, feeder = Scenario(duration_s=10), Feeder.load("ieee13")
    for policy in (Policy("ofo", channels="udp:loss=0.1"), Policy("ofo", load_shift_gpus=8)):  # type: ignore[arg-type]
        with pytest.raises(InputError, match="cluster"):
            run_online(Plan((big_site(),), policy=policy), scenario, feeder, Limits(), {})
    with pytest.raises(InputError, match="connection"):
        run_online(Plan((big_site(),)), scenario, feeder, Limits(), {})
