"""A cluster that is none: replayed measurements behind a real HTTP endpoint, with the names of DCGM and vLLM.

`GET /metrics` is a Prometheus text of what an `OfflineDatacenter` does by now, one power per GPU, one series per
engine; `POST /commands` takes batch sizes as `CommandPost` sends them. Power of a phase is spread evenly over its GPUs,
and of a site of more than 1,000 GPUs one series stands for the eight of a server.
"""

from __future__ import annotations

import hmac
import logging
import threading
import time
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from g2g_opt.clock import SimulationClock
from g2g_opt.datacenter.cluster_metrics import PHASES, MetricNames
from g2g_opt.datacenter.command import SetBatchSize
from g2g_opt.datacenter.offline import OfflineDatacenter
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.live.settings import Address, check_who_may_listen
from g2g_opt.live.sockets import naming
from g2g_opt.reading import parse_json
from g2g_opt.simulation_log import SimulationLog

logger = logging.getLogger(__name__)
_BODY_MAX = 65_536
_GPUS_TOLD_MAX = 1000


class _Server(ThreadingHTTPServer):
    """Who goes away before the answer is written is no news for a terminal."""

    def handle_error(self, request: Any, client_address: Any) -> None:
        logger.debug("request of %s", client_address, exc_info=True)


class ClusterEmulator:
    """Serves a replayed site; `speed` seconds of it pass in one of wall time, from `start` on.

    In one of the `outages` (start s, end s) every request is answered with status 503. With a `token`, requests
    without it are refused. What the site draws besides its GPUs no exporter tells, and this one does not.
    """

    def __init__(
        self,
        site: OfflineDatacenter,
        *,
        speed: float = 1.0,
        outages: tuple[tuple[float, float], ...] = (),
        token: str | None = None,
    ) -> None:
        self._site, self._speed, self._outages, self._token = site, speed, outages, token
        self._clock = SimulationClock(Fraction(site.dt_s))
        self._events = EventEmitter(self._clock, SimulationLog(), "datacenter")
        self._lock = threading.Lock()
        self._tokens = np.zeros(len(site.model_labels))
        self._seconds = np.zeros(len(site.model_labels))
        self._server: ThreadingHTTPServer | None = None
        self._thread: threading.Thread | None = None
        self._began_s = 0.0
        self._servers = [int(n) for n in site.demand.pool.n_servers_by_phase]
        self._gpus_told = 1 if 8 * sum(self._servers) > _GPUS_TOLD_MAX else 8  # by server
        self.n_commands = 0

    # --- life

    def start(self, address: Address) -> Address:
        """Listen; returns the address, with the port that was found."""
        check_who_may_listen(address, None if self._token is None else self._token.encode())
        emulator = self

        class Handler(BaseHTTPRequestHandler):
            """Hands requests to the emulator."""

            timeout = 10.0

            def do_GET(self) -> None:
                emulator._answer(self, None)

            def do_POST(self) -> None:
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal() or not int(length[:9]) <= _BODY_MAX:
                    self.send_error(413)
                    return
                emulator._answer(self, self.rfile.read(int(length)))

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base class names it so
                logger.debug(format, *args)

        with naming(address):
            self._server = _Server((address.host, address.port), Handler)
        self._server.daemon_threads = True
        self._site.do_reset()
        self._clock.reset()
        self._began_s = time.monotonic()
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        host, port = self._server.server_address[:2]
        return Address(str(host), int(port))

    def stop(self) -> None:
        """Close."""
        if self._server is not None and self._thread is not None:
            self._server.shutdown()
            self._server.server_close()
            self._thread.join()

    @property
    def names(self) -> MetricNames:
        """The mapping that goes with it: which host is on which phase."""
        hosts = {host: phase for phase in range(3) for host in self._hosts(phase)}
        return MetricNames(phase_of_host={host: PHASES[phase] for host, phase in hosts.items()})

    def _hosts(self, phase: int) -> list[str]:
        return [f"server-{PHASES[phase].lower()}{k}" for k in range(self._servers[phase])]

    # --- requests

    def _answer(self, request: BaseHTTPRequestHandler, body: bytes | None) -> None:
        now_s = (time.monotonic() - self._began_s) * self._speed
        if self._token is not None:
            given = request.headers.get("Authorization", "").encode("utf-8", "replace")
            if not hmac.compare_digest(given, f"Bearer {self._token}".encode()):
                request.send_error(401)
                return
        if any(start_s <= now_s < end_s for start_s, end_s in self._outages):
            request.send_error(503)
            return
        path = request.path.partition("?")[0]
        if body is None and path == "/metrics":
            answer, kind = self._metrics(now_s).encode(), "text/plain; version=0.0.4"
        elif body is not None and path == "/commands":
            refusal = self._command(body, now_s)
            if refusal is not None:
                # A status line holds no other letters, however a model is named.
                request.send_error(400, refusal[:100].encode("ascii", "backslashreplace").decode())
                return
            answer, kind = b"{}", "application/json"
        else:
            request.send_error(404)
            return
        request.send_response(200)
        request.send_header("Content-Type", kind)
        request.send_header("Content-Length", str(len(answer)))
        request.end_headers()
        request.wfile.write(answer)

    def _command(self, body: bytes, now_s: float) -> str | None:
        """Set batch sizes; why they are refused, None if they are not."""
        try:
            found = parse_json(body.decode("utf-8"), "the command")
            sizes = found["batch_size_by_model"]
            if not isinstance(sizes, dict) or not all(type(size) is int for size in sizes.values()):
                return "no command: batch_size_by_model gives a whole number for each model"
            with self._lock:
                self._advance(now_s)
                self._site.apply_control(SetBatchSize(sizes, target=self._site), self._events)
                self.n_commands += 1
        except InputError as error:
            return str(error)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            return f"no command: {type(error).__name__}"
        return None

    def _advance(self, now_s: float) -> None:
        """Replay up to now, and count the tokens on the way."""
        site, dt_s = self._site, float(self._site.dt_s)
        record = site.record
        while self._clock.time_s <= now_s:
            site.advance(self._clock, self._events)
            itl_s = record.itl_s[-1]
            served = np.isfinite(itl_s) & (record.replicas[-1] > 0)
            tokens = np.where(
                served, record.replicas[-1] * record.batch_size[-1] * dt_s / np.where(served, itl_s, 1), 0
            )
            self._tokens += tokens
            self._seconds += tokens * np.where(served, itl_s, 0.0)
            self._clock.advance()

    def _metrics(self, now_s: float) -> str:
        with self._lock:
            self._advance(now_s)
            record = self._site.record
            power_w = record.power_w[-1] - 1e3 * self._site.config.base_kw_per_phase
            batch, replicas = record.batch_size[-1].tolist(), record.replicas[-1].tolist()
            tokens, seconds = self._tokens.tolist(), self._seconds.tolist()
        lines = ["# HELP DCGM_FI_DEV_POWER_USAGE Power draw (in W).", "# TYPE DCGM_FI_DEV_POWER_USAGE gauge"]
        for phase in range(3):
            told, hosts = self._gpus_told, self._hosts(phase)
            each = f"{power_w[phase] / max(told * len(hosts), 1):.3f}"
            gauge, uuid = "DCGM_FI_DEV_POWER_USAGE", f"GPU-{PHASES[phase]}"
            lines += [
                f'{gauge}{{gpu="{k}",UUID="{uuid}{place}-{k}",Hostname="{host}"}} {each}'
                for place, host in enumerate(hosts)
                for k in range(told)
            ]
        models = [
            spec.model_id for spec in sorted(self._site.workload.inference_data.models, key=lambda s: s.model_label)
        ]
        lines += [
            "# HELP vllm:num_requests_running Number of requests currently running.",
            "# TYPE vllm:num_requests_running gauge",
        ]
        for model, size, count in zip(models, batch, replicas, strict=True):
            lines += [f'vllm:num_requests_running{{engine="{k}",model_name="{model}"}} {size}' for k in range(count)]
        histogram = "vllm:inter_token_latency_seconds"
        lines += [f"# HELP {histogram} Histogram of inter-token latency in seconds.", f"# TYPE {histogram} histogram"]
        for model, n, total in zip(models, tokens, seconds, strict=True):
            lines += [
                f'{histogram}_bucket{{le="+Inf",model_name="{model}"}} {n:.0f}',
                f'{histogram}_sum{{model_name="{model}"}} {total!r}',
                f'{histogram}_count{{model_name="{model}"}} {n!r}',
            ]
        return "\n".join(lines) + "\n"
