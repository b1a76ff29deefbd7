"""Records of live runs: losses as the relay made them, damage, and messages that fare alike in the simulator."""

from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest
from live_rigs import ANY_PORT, settings
from pydantic import TypeAdapter

from g2g_opt.allocation.allocators import PIAllocator
from g2g_opt.allocation.client_grid import ClientGrid
from g2g_opt.allocation.clients import load_client_case
from g2g_opt.channel.transport import arrivals_s
from g2g_opt.communication import Channels, ChannelSpec, Lane
from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.limits import Limits
from g2g_opt.live.allocation import ProportionalRule
from g2g_opt.live.campaign import CampaignOutcome, run_campaign
from g2g_opt.live.client_campaign import LiveClients
from g2g_opt.live.record import LiveLane, LiveRecorder, LiveRun, load_live_run
from g2g_opt.live.relay import LossRelay
from g2g_opt.live.replay import channels_of_run, lane_figures, recorded_channel
from g2g_opt.live.settings import Address, LiveSettings
from g2g_opt.live.steady_clock import SteadyClock
from g2g_opt.live.tally import LiveTally
from g2g_opt.plan import Plan, Policy
from g2g_opt.reading import read_toml
from g2g_opt.scenario import Scenario
from g2g_opt.simulation import simulate
from g2g_opt.site import sized_site
from studies.live.channel_file import channels_toml
from studies.shared.workload import measured_models

pytestmark = pytest.mark.xdist_group("live records")  # one worker, so that one lossy campaign is run

LOSS = 0.3


def campaign(
    folder: Path, channel: ChannelSpec | None, n_nodes: int = 20, seconds: float = 1.5, transport: str = "udp"
) -> CampaignOutcome:
    measures = {f"n{k}": lambda time_s: (10.0, 1.0) for k in range(n_nodes)}
    return asyncio.run(
        run_campaign(
            measures, seconds, ProportionalRule(100.0), settings(transport), channel=channel, seed=7, record_in=folder
        )
    )


@pytest.fixture(scope="module")
def lossy(tmp_path_factory: pytest.TempPathFactory) -> tuple[CampaignOutcome, LiveRun]:
    folder = tmp_path_factory.mktemp("lossy")
    outcome = campaign(folder, ChannelSpec("udp", loss=LOSS, latency_s=0.01))
    return outcome, load_live_run(folder)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_without_a_relay_nothing_is_lost(transport: str, tmp_path: Path) -> None:
    outcome = campaign(tmp_path, None, seconds=0.6, transport=transport)
    run = load_live_run(tmp_path)
    assert len(run.lanes) == 40
    assert {lane.loss for lane in run.lanes.values()} == {0.0}
    assert outcome.tally.n_refused == 0
    assert sum(len(lane.sent_s) for name, lane in run.lanes.items() if name[2] == "report") == outcome.tally["reports"]
    assert not run.cut_short
    assert not run.one_sided


@pytest.mark.parametrize("topic", ["report", "allocation"])
def test_a_relay_loses_what_it_is_told_to(lossy: tuple[CampaignOutcome, LiveRun], topic: str) -> None:
    lanes = [lane for name, lane in lossy[1].lanes.items() if name[2] == topic]
    n_sent = sum(len(lane.sent_s) for lane in lanes)
    n_lost = sum(int(np.isinf(lane.arrived_s).sum()) for lane in lanes)
    assert n_sent > 100
    assert abs(n_lost / n_sent - LOSS) < 3.0 * (LOSS * (1.0 - LOSS) / n_sent) ** 0.5
    assert lossy[0].relay["relay_dropped"] >= n_lost
    assert min(lane_figures(lane).delay_mean_s for lane in lanes) >= 0.01


def test_recorded_messages_fare_alike_in_the_simulator(lossy: tuple[CampaignOutcome, LiveRun]) -> None:
    for lane in lossy[1].lanes.values():
        spec = recorded_channel(lane)
        replayed_s = arrivals_s(spec, lane.sent_s, 1, "anything")
        np.testing.assert_allclose(replayed_s, lane.arrived_s, rtol=0, atol=1e-6)
        # From the first again after the last; an outage loses all in it.
        again_s = arrivals_s(spec.with_outage(0.0, 2.5), np.arange(2.0 * len(lane.sent_s)), 1, "anything")
        assert np.isinf(again_s[:3]).all()
        np.testing.assert_array_equal(np.isinf(again_s[len(lane.sent_s) :]), np.isinf(lane.arrived_s))


def test_a_closed_loop_runs_on_recorded_messages(tmp_path: Path) -> None:
    sent_s = np.arange(20.0)
    reports = LiveLane(sent_s, sent_s + 0.01, True)
    # Allocations are lost for the first eight seconds.
    allocations = LiveLane(sent_s, np.where(sent_s < 8.0, np.inf, sent_s + 0.01), True)
    lanes = {("n0", "allocator", "report"): reports, ("allocator", "n0", "allocation"): allocations}
    channels = channels_of_run(LiveRun(lanes, (), (), LiveTally(), ()), {"site": "n0"})
    (tmp_path / "channels.toml").write_text(channels_toml(channels), encoding="utf-8")
    written = read_toml(tmp_path / "channels.toml", "channels")["policy"]["channels"]
    assert TypeAdapter(Channels).validate_python(written) == channels
    site = sized_site("site", "671", measured_models(("llama-3.1-70b",), "H100", None, None, None, 128), 960, 0.2)
    scenario = Scenario(duration_s=20, replica_ramps=())
    plans = [Plan((site,), policy=Policy("ofo", channels=own)) for own in (None, channels)]
    at_once, recorded = (
        outcomes[0].voltage.violation_time_s
        for outcomes in simulate(plans, [scenario], Feeder.load("ieee13"), Limits())
    )
    assert recorded == at_once + 8.0


def test_a_record_that_is_cut_short_is_used_up_to_there(lossy: tuple[CampaignOutcome, LiveRun], tmp_path: Path) -> None:
    recorder = LiveRecorder(tmp_path / "a.g2glive", "nodes", 1.0, LiveTally())
    lane = recorder.lane("a", "allocator", "report")
    recorder.sent(lane, 1, 1.0)
    recorder.arrived(lane, 1, 1.5, 1.0)
    recorder.flush()
    recorder.sent(lane, 2, 2.0)
    recorder.close()
    whole = (tmp_path / "a.g2glive").read_bytes()
    (tmp_path / "a.g2glive").write_bytes(whole[:-20])
    run = load_live_run(tmp_path)
    assert len(run.cut_short) == 1
    assert run.lanes["a", "allocator", "report"].arrived_s.tolist()[0] == 1.5
    for damaged in (b"", b"nonsense", whole[:5], b"\x81\xa6format\xa5other", whole[1:]):
        (tmp_path / "a.g2glive").write_bytes(damaged)
        with pytest.raises(InputError, match="record"):
            load_live_run(tmp_path)


def test_lanes_whose_receiver_kept_no_record_are_left_out(tmp_path: Path) -> None:
    recorder = LiveRecorder(tmp_path / "nodes.g2glive", "nodes", 1.0, LiveTally())
    recorder.sent(recorder.lane("a", "allocator", "report"), 1, 1.0)
    recorder.close()
    run = load_live_run(tmp_path)
    assert (run.one_sided, dict(run.lanes)) == ((("a", "allocator", "report"),), {})


def test_a_disk_that_is_full_ends_the_record_and_not_the_run(tmp_path: Path) -> None:
    tally = LiveTally()
    recorder = LiveRecorder(tmp_path / "a.g2glive", "nodes", 1.0, tally)
    assert recorder._file is not None
    recorder._file.close()
    recorder._file = open("/dev/full", "wb", buffering=0)  # noqa: SIM115 - the recorder closes it
    recorder.sent(recorder.lane("a", "b", "report"), 1, 1.0)
    recorder.flush()
    recorder.sent(0, 2, 2.0)
    recorder.close()
    assert tally["record_full"] >= 2


def test_a_channel_that_is_recorded_has_nothing_else() -> None:
    lane = LiveLane(np.array([0.0, 1.0]), np.array([0.2, np.inf]), True)
    assert recorded_channel(lane) == ChannelSpec(
        "recorded", latency_kind="trace", latency_trace_s=(0.2, 0.0), lost_messages=(1,)
    )
    for wrong in (
        {"transport": "recorded"},
        {"transport": "recorded", "latency_kind": "trace", "latency_trace_s": (0.1,), "loss": 0.1},
        {"transport": "recorded", "latency_kind": "trace", "latency_trace_s": (0.1,), "lost_messages": (1,)},
        {"transport": "udp", "lost_messages": (0,)},
    ):
        with pytest.raises(InputError):
            ChannelSpec(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize("spec", [ChannelSpec("tcp", loss=0.1), ChannelSpec("tcp", rate_per_s=5.0), ChannelSpec("udp")])
def test_a_relay_says_what_it_cannot_do_to_a_stream(spec: ChannelSpec) -> None:
    with pytest.raises(InputError, match="relay"):
        LossRelay(spec, ANY_PORT, LiveSettings(transport="tcp"))


def test_a_relay_delays_a_stream_and_keeps_its_order(tmp_path: Path) -> None:
    campaign(tmp_path, ChannelSpec("tcp", latency_s=0.1, latency_kind="exponential"), 5, 1.0, "tcp")
    for lane in load_live_run(tmp_path).lanes.values():
        arrived_s = lane.arrived_s[np.isfinite(lane.arrived_s)]
        assert (np.diff(arrived_s) >= 0.0).all()
        assert (arrived_s - lane.sent_s[: len(arrived_s)]).mean() > 0.05


@pytest.mark.parametrize(
    "text", ["", "host", "host:", ":5", "host:70000", "host:x", "host:-1", "..:5", "a" * 100 + ":5", "\udce9:5"]
)
def test_an_address_is_host_and_port(text: str) -> None:
    with pytest.raises(InputError):
        Address.parse(text)


def test_who_can_reach_an_address_is_known() -> None:
    reachable = {t: Address.parse(t).is_loopback for t in ("127.0.0.1:1", "[::1]:1", "localhost:1", "0.0.0.0:1", "h:1")}
    assert reachable == {"127.0.0.1:1": True, "[::1]:1": True, "localhost:1": True, "0.0.0.0:1": False, "h:1": False}
    assert str(Address.parse("[::1]:5")) == "[::1]:5"


def test_lanes_of_a_site_and_of_the_grid_are_those_of_the_nodes_named(lossy: tuple[CampaignOutcome, LiveRun]) -> None:
    channels = channels_of_run(lossy[1], {"site": "n0", "grid": "n1"})
    ends = [(lane.source, lane.destination, lane.topic) for lane in channels.lanes]
    assert ends == [
        ("site", "controller", "site"),
        ("controller", "site", "command"),
        ("grid", "controller", "voltage"),
        ("controller", "grid", "command"),
    ]
    assert isinstance(channels.lanes[0], Lane)
    with pytest.raises(InputError, match="did you mean"):
        channels_of_run(lossy[1], {"site": "n0x"})


def test_clients_on_real_sockets_keep_a_limit_and_are_kept_as_a_simulated_run(tmp_path: Path) -> None:
    clock, case = SteadyClock(), load_client_case("five-clients").part(60)
    clients = LiveClients(case, ClientGrid(case), PIAllocator(case.pv_max_kw), 0.05, clock)
    chosen = settings(silence_s=2.0)
    asyncio.run(
        run_campaign(clients.measures, 2.0, clients, chosen, record_in=tmp_path, clock=clock, beside=clients.run_grid)
    )
    run = clients.outcome(load_live_run(tmp_path))
    assert run.delivered_share > 0.9
    assert len(run.voltage_pu) == len(run.begin_s) > 20
    assert (np.diff(run.begin_s) > 0.0).all()
    # What was given at each step is what the units could give, or less where they were capped.
    rows = [case.row_at(float(t)) for t in run.begin_s]
    assert (run.given_kw <= case.available_kw[rows] + 1e-9).mean() > 0.9
    assert 0.0 <= run.lost_share < 1.0
