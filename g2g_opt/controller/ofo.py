"""Online feedback optimisation of batch sizes, one controller per site (equations 4.1 to 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property, lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.compiled.lanes import WIDTH, aligned
from g2g_opt.compiled.records import pack
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_sizes import FeasibleTable, changed_command, specs_of, start_log2
from g2g_opt.controller.ofo_update import (
    CurvesAt,
    DualsStep,
    OFORows,
    OFOState,
    OFOStep,
    OFOTuning,
    ofo_step,
    update_voltage_duals,
)
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import InferenceModelSpec, ModelDeployment
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.datacenter.workloads.measured_curve import MeasuredCurve
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid
from g2g_opt.quantities import BandVoltagePu, CountFromZero, PowerKwAboveZero, StepSize, Weight, check_quantities

__all__ = ["LogisticModelStore", "OFOBatchSizeController", "OFOConfig"]

Floats = NDArray[np.float64]
_EVEN_SHARE = np.full(3, 1.0 / 3.0)
_ALL = 2**63 - 1
_ONLY = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class OFOConfig:
    """Tuning (equations, section 4): step sizes rho_x, rho_v, rho_l, weights w_T, w_S, scale k_v, band (pu).

    Slopes are measured with `sensitivity_perturbation_kw` at the first step and every
    `sensitivity_update_interval` control steps after it (0: only once).
    """

    primal_step_size: StepSize = 0.05
    w_throughput: Weight = 0.1
    w_switch: Weight = 0.0
    voltage_gradient_scale: Weight = 1e6
    v_min: BandVoltagePu = 0.95
    v_max: BandVoltagePu = 1.05
    voltage_dual_step_size: Weight = 0.5
    latency_dual_step_size: Weight = 1.0
    sensitivity_update_interval: CountFromZero = 0
    sensitivity_perturbation_kw: PowerKwAboveZero = 100.0

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.v_min < self.v_max:
            raise InputError(f"OFO needs v_min < v_max, got {self.v_min} and {self.v_max}")

    @cached_property
    def tuning(self) -> OFOTuning:
        """What the update of batch sizes needs of it."""
        return OFOTuning(
            float(self.primal_step_size),
            float(self.latency_dual_step_size),
            float(self.w_throughput),
            float(self.w_switch),
            float(self.voltage_gradient_scale),
        )


class _Block(NamedTuple):
    """What a site shows at the times (s) of a block: replicas and latencies (s) of shape (step, model), shares of
    servers by phase (step, model, 3), and the batch sizes that it was told before.
    """

    times_s: Sequence[float]
    replicas: Floats | NDArray[np.int64]
    itl_s: Floats
    shares: Floats
    held: tuple[int, ...]


def start_state(log2_batch: Floats) -> OFOState:
    """The state before the first step, from start batch sizes [row]."""
    n = len(log2_batch)
    return OFOState(np.zeros(n), log2_batch.copy(), log2_batch.copy(), CurvesAt.nowhere(n))


@lru_cache(maxsize=64)
def ofo_rows(specs: tuple[InferenceModelSpec, ...], curves: LogisticModelStore) -> OFORows:
    """Rows of one site's models, site 0; x ranges over the union of their feasible batch sizes (equations, section 4).

    Whatever x is, a model is only ever sent one of its own feasible batch sizes. Thousands of runs have the same
    models: their rows are made once, and are not to be written to.
    """
    union = sorted({int(b) for spec in specs for b in spec.feasible_batch_sizes})
    labels = [spec.model_label for spec in specs]
    kinds = [
        [curves.power(label) for label in labels],
        [curves.latency(label) for label in labels],
        [curves.throughput(label) for label in labels],
    ]
    peak = np.array([float(curve.eval(union[-1])) for curve in kinds[2]])
    feasible = FeasibleTable.of([spec.feasible_batch_sizes for spec in specs])

    def of_logistic(name: str) -> Floats:
        return np.array(
            [[getattr(curve, name) if isinstance(curve, LogisticModel) else 0.0 for curve in row] for row in kinds]
        )

    n_knots = np.array(
        [[len(c.x) if isinstance(c, MeasuredCurve) else 0 for c in row] for row in kinds], dtype=np.int64
    )
    knots = np.zeros((3, len(specs), max(int(n_knots.max()), 2)))
    coefficients = np.zeros((3, len(specs), max(int(n_knots.max()) - 1, 1), 4))
    for kind, row in enumerate(kinds):
        for i, curve in enumerate(row):
            if isinstance(curve, MeasuredCurve):
                knots[kind, i, : len(curve.x)] = curve.x
                coefficients[kind, i, : len(curve.coefficients)] = curve.coefficients
    return OFORows(
        site=np.zeros(len(specs), dtype=np.int64),
        base=of_logistic("b0"),
        amplitude=of_logistic("L"),
        midpoint=of_logistic("x0"),
        steepness=of_logistic("k"),
        n_knots=n_knots,
        knots=knots,
        coefficients=coefficients,
        by_value=np.array([isinstance(curve, MeasuredCurve) and not curve.rises for curve in kinds[0]]),
        throughput_max=np.where(peak > 0.0, peak, 1.0),
        deadline_s=np.array([spec.itl_deadline_s for spec in specs]),
        log2_low=np.full(len(specs), np.log2(union[0])),
        log2_high=np.full(len(specs), np.log2(union[-1])),
        sizes=feasible.sizes,
        midpoints=feasible.midpoints,
    )


class OFOBatchSizeController(Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid]):
    """OFO at one site: reads voltages, latencies and replicas, measures slopes on the grid, sets batch sizes.

    `models` are the fitted curves; `initial_batch_sizes` seeds x per model label (smallest feasible size if left
    out). A command is sent when a batch size changes. `exhausted_at_s` are the times (s) of the control steps at which
    a voltage was outside its band and no other batch size would have been better for that. Raises `InputError` if a
    curve is missing.
    """

    def __init__(
        self,
        inference_models: Iterable[InferenceModelSpec | ModelDeployment],
        datacenter: LLMBatchSizeControlledDatacenter[LLMDatacenterState],
        grid: OpenDSSGrid,
        models: LogisticModelStore,
        config: OFOConfig | None = None,
        dt_s: Fraction = Fraction(1),
        initial_batch_sizes: Mapping[str, int] | None = None,
    ) -> None:
        specs = specs_of(inference_models)
        self.labels = [spec.model_label for spec in specs]
        self.rows = ofo_rows(specs, models)
        self.datacenter, self.grid = datacenter, grid
        self.config = config or OFOConfig()
        self._dt_s = dt_s
        start = start_log2(specs, initial_batch_sizes)[0]
        self.start_log2 = np.clip(start, self.rows.log2_low, self.rows.log2_high)
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._now: OFOStep | None = None
        self._steps = 0
        self.exhausted_at_s: list[float] = []
        self._shares: tuple[Mapping[str, Floats] | None, Floats] = (None, np.empty((0, 3)))
        self._block = _Block((), np.empty((0, 0)), np.empty((0, 0)), np.empty((0, 0, 3)), ())

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        grid, config = self.grid, self.config
        voltage_pu = grid.voltages_vector()
        interval = config.sensitivity_update_interval
        if self._now is None:
            n = len(self.labels)
            rows, band = np.arange(len(voltage_pu)), (config.v_min, config.v_max)
            # One scenario; the other lanes are within every band.
            seen = aligned(len(voltage_pu), WIDTH)
            seen[:] = 0.5 * (config.v_min + config.v_max)
            self._now = OFOStep(
                DualsStep.of(seen, rows, config.voltage_dual_step_size, *band),
                _ONLY,
                np.zeros((len(voltage_pu), 3, 1)),
                np.zeros((3, 1)),
                start_state(self.start_log2),
                self.rows,
                config.tuning,
                *(np.zeros((n, 3)), np.zeros(n), np.zeros(n)),
                np.zeros(n, dtype=np.int64),
                np.zeros(n, dtype=np.bool_),
            )
            self._packed, self._packed_duals = pack(self._now), pack(self._now.duals)
        now = self._now
        if self._steps == 0 or (interval > 0 and self._steps % interval == 0):
            slopes, _ = grid.estimate_sensitivity(config.sensitivity_perturbation_kw, dc=self.datacenter)
            now.slopes[:, :, 0] = slopes
        now.replicas[:], now.itl_s[:] = self.datacenter.observe(self.labels)
        now.servers[:] = self._phase_share()
        self._update(now, voltage_pu, clock.time_s)
        return self.end_block(clock, events)

    def _update(self, now: OFOStep, voltage_pu: Floats, time_s: float) -> None:
        """One step of multipliers and batch sizes for what stands in `now`."""
        now.duals.voltage_pu[:, 0] = voltage_pu
        update_voltage_duals(self._packed_duals.address, self._steps)
        ofo_step(self._packed.address, self._steps)
        if now.duals.outside[0] and now.at_best.all():
            self.exhausted_at_s.append(time_s)
        self._steps += 1

    @property
    def looks_ahead(self) -> int:
        # One whose `step` is another, of a subclass or put in its place, gets it called.
        if self._now is None or getattr(self.step, "__func__", None) is not OFOBatchSizeController.step:
            return 0
        interval = self.config.sensitivity_update_interval
        return -self._steps % interval if interval > 0 else _ALL

    def begin_block(self, times_s: Sequence[float]) -> None:
        replicas, itl_s, servers = self.datacenter.observe_block(self.labels, len(times_s))
        on = servers.sum(axis=2, keepdims=True)
        shares = np.where(on > 0, servers / np.maximum(on, 1), _EVEN_SHARE)
        held = self.datacenter.commanded_batch_size_by_model
        self._block = _Block(times_s, replicas, itl_s, shares, tuple(held[label] for label in self.labels))

    def look(self, place: int) -> bool:
        now, block = self._now, self._block
        assert now is not None  # see `looks_ahead`
        now.replicas[:], now.itl_s[:], now.servers[:] = block.replicas[place], block.itl_s[place], block.shares[place]
        self._update(now, self.grid.voltages_vector(), block.times_s[place])
        return tuple(now.batch.tolist()) != block.held

    def end_block(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        assert self._now is not None
        commands = changed_command(self.datacenter, self.labels, self._now.batch)
        if commands:
            events.emit("controller.ofo.step", {"batch_size_by_model": commands[0].batch_size_by_model})
        return list(commands)

    def _phase_share(self) -> Floats:
        by_model = self.datacenter.phase_share_by_model
        if by_model is not self._shares[0]:
            self._shares = (by_model, np.array([by_model.get(label, _EVEN_SHARE) for label in self.labels]))
        return self._shares[1]
