"""`g2g live` from the command line: a campaign, its replay, a cluster, and what is refused."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from studies.cli import main


def test_a_campaign_is_told_and_replayed_as_channels(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = str(tmp_path / "record")
    words = ["live", "campaign", "--nodes", "5", "--duration-s", "0.5", "--period-s", "0.1", "--record", record]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "5 of 5 nodes have joined" in out
    assert "reports of all 5 nodes" in out
    assert "% of a core" in out
    channels = tmp_path / "channels.toml"
    assert main(["live", "replay", record, "--as", "site=n0", "--out", str(channels)]) == 0
    assert 'transport = "recorded"' in channels.read_text(encoding="utf-8")
    capsys.readouterr()
    assert main(["live", "replay", record, "--as", "site=n9", "--out", str(channels)]) == 2
    assert "known nodes" in capsys.readouterr().err


def test_a_cluster_that_was_never_heard_has_no_figures(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A run on the base load alone was judged as the cluster's, and ended well."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        where = f"http://127.0.0.1:{closed.getsockname()[1]}/metrics"
        command = ["live", "datacenter", "--metrics", where, "--duration-s", "3", "--speed", "3"]
        assert main([*command, "--out", str(tmp_path / "run")]) == 1
    told = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "no sample of the cluster's power arrived: the run has no figures of it" in told
    assert " pu " not in told


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_an_address_that_cannot_be_listened_on_is_named(
    transport: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It was "a file or the output: address already in use"."""
    listen = ["live", "allocator", "--transport", transport, "--record", str(tmp_path / "r"), "--duration-s", "0.1"]
    kind = socket.SOCK_DGRAM if transport == "udp" else socket.SOCK_STREAM
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if transport == "tcp":
            other.listen()
        where = f"127.0.0.1:{other.getsockname()[1]}"
        assert main([*listen, "--listen", where]) == 2
    assert f"{where}: address already in use; choose another port, or 0 for any that is free" in capsys.readouterr().err
    assert main(["live", "key", str(tmp_path / "key")]) == 0
    assert main([*listen, "--listen", "nowhere.invalid:5555", "--key-file", str(tmp_path / "key")]) == 2
    assert "nowhere.invalid:5555: " in capsys.readouterr().err


def test_nodes_that_were_never_answered_say_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = ["live", "node", "--allocator", f"127.0.0.1:{port}", "--duration-s", "0.5", "--period-s", "0.1"]
    assert main([*words, "--record", str(tmp_path)]) == 1
    assert f"no allocation came from 127.0.0.1:{port}" in " ".join(capsys.readouterr().out.split())


def test_an_allocator_that_nobody_joined_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["live", "allocator", "--listen", "127.0.0.1:0", "--duration-s", "0.2", "--record", str(tmp_path)]
    assert main(words) == 0
    assert "nothing happened: no message came" in capsys.readouterr().out


def test_an_emulated_site_has_a_server_at_least(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One of fewer MW was made one of a server in silence."""
    words = ["live", "datacenter", "--emulate", "--duration-s", "10", "--speed", "100", "--out", str(tmp_path)]
    assert main([*words, "--mw", "0.0001"]) == 2
    assert "--mw 0.0001: a server of 8 GPUs is rated for 0.00" in capsys.readouterr().err


def test_allocator_and_nodes_of_two_processes_meet_with_a_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, curve = tmp_path / "run.key", tmp_path / "curve.csv"
    assert main(["live", "key", str(key)]) == 0
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert main(["live", "key", str(key)]) == 2, "a key is not overwritten"
    curve.write_text("time_s,power_kw\n0,20\n60,20\n", encoding="utf-8")
    shared = ["--key-file", str(key), "--period-s", "0.1", "--record", str(tmp_path / "record")]
    command = [sys.executable, "-m", "studies.cli", "live", "allocator", "--listen", "127.0.0.1:0", "--limit-kw", "20"]
    allocator = subprocess.Popen([*command, *shared], stdout=subprocess.PIPE, text=True)
    try:
        assert allocator.stdout is not None
        where = allocator.stdout.readline().split()[2]
        nodes = ["live", "node", "--allocator", where, "--nodes", "2", "--curve", str(curve), "--duration-s", "1.5"]
        assert main([*nodes, *shared]) == 0
        assert "curve.csv: up to 20 kW of each node, over 60 s" in " ".join(capsys.readouterr().out.split())
    finally:
        allocator.send_signal(signal.SIGTERM)
        told, _ = allocator.communicate(timeout=20.0)
    assert allocator.returncode == 0
    assert "nodes that joined" in told
    assert main(["live", "replay", str(tmp_path / "record")]) == 0


@pytest.mark.parametrize("rule", ["pi", "opf"])
def test_clients_of_a_feeder_are_capped_on_real_sockets(
    rule: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["live", "campaign", "--case", "five-clients", "--rule", rule, "--period-s", "0.05", "--duration-s", "1.5"]
    assert main([*words, "--record", str(tmp_path)]) == 0
    out = capsys.readouterr().out
    assert "5 of 5 nodes have joined" in out
    assert "simulated, messages as recorded" in out


def test_an_allocator_by_itself_caps_clients_of_another_process_by_an_optimum(tmp_path: Path) -> None:
    shared = ["--case", "five-clients", "--period-s", "0.1", "--record", str(tmp_path)]
    command = [sys.executable, "-m", "studies.cli", "live", "allocator", "--listen", "127.0.0.1:0", "--rule", "opf"]
    allocator = subprocess.Popen([*command, *shared], stdout=subprocess.PIPE, text=True)
    try:
        assert allocator.stdout is not None
        where = allocator.stdout.readline().split()[2]
        assert main(["live", "node", "--allocator", where, "--duration-s", "2", *shared]) == 0
    finally:
        allocator.send_signal(signal.SIGTERM)
        told, _ = allocator.communicate(timeout=20.0)
    assert allocator.returncode == 0
    counted = {words.strip(): int(n) for words, n in re.findall(r"│ ([a-z ]+?) +│ +(\d+) │", told)}
    assert counted["nodes that joined"] == 5
    assert counted["allocations acknowledged by nodes"] > 5
    assert "the rule had no allocation" not in told


def test_an_emulated_cluster_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["live", "datacenter", "--emulate", "--duration-s", "10", "--speed", "10", "--policy", "droop"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert "droop" in capsys.readouterr().out
    rows = (tmp_path / "steps.csv").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 21
    assert (tmp_path / "run.png").stat().st_size > 10_000


@pytest.mark.parametrize(
    "words",
    [
        ["allocator", "--listen", "0.0.0.0:0"],
        ["node", "--allocator", "127.0.0.1:1", "--key-file", "/nowhere"],
        ["campaign", "--nodes", "5", "--nodes-max", "4"],
        ["campaign", "--channel", "tcp:loss=0.1"],
        ["campaign", "--transport", "tcp", "--channel", "tcp:loss=0.1"],
        ["campaign", "--period-s", "2", "--silence-s", "1"],
        ["campaign", "--rule", "opf"],
        ["campaign", "--channel", "udp:loss=0.1,fail_safe=safe"],
        ["node", "--allocator", "127.0.0.1:0"],
        ["node", "--allocator", "127.0.0.1:1", "--name", ""],
        ["node", "--allocator", "127.0.0.1:1", "--name", "\udce9"],
        ["node", "--allocator", "127.0.0.1:1", "--name", "\x1b[31m"],
        ["datacenter", "--emulate", "--drop-out", "5-1"],
        ["datacenter", "--emulate", "--drop-out", "1-inf"],
        ["datacenter", "--emulate", "--command", "http://127.0.0.1:1/batch"],
        ["campaign", "--case", "five-clients", "--curve", "/nowhere"],
        ["allocator", "--rule", "pi"],
        ["replay", "/nowhere"],
        ["datacenter"],
        ["datacenter", "--metrics", "file:///etc/passwd"],
        ["datacenter", "--emulate", "--drop-out", "soon"],
        ["datacenter", "--emulate", "--mapping", "/nowhere"],
    ],
    ids=lambda words: json.dumps(words)[:60],
)
def test_bad_input_is_one_line_that_says_why(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["live", *words]) == 2
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert "\n" not in error


def test_a_key_that_others_may_read_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "run.key"
    key.write_bytes(b"k" * 32)
    os.chmod(key, 0o644)
    assert main(["live", "allocator", "--key-file", str(key), "--record", str(tmp_path)]) == 2
    assert "chmod 600" in capsys.readouterr().err
