"""Online feedback optimisation of batch sizes, one controller per site (formulations 4.1 to 4.3)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.controller.batch_sizes import FeasibleTable, changed_command, specs_of, start_log2
from g2g_opt.controller.ofo_duals import update_voltage_duals, voltage_pull
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.config import InferenceModelSpec, ModelDeployment
from g2g_opt.datacenter.workloads.curves import LogisticModel, LogisticModelStore
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid

__all__ = ["LogisticModelStore", "OFOBatchSizeController", "OFOConfig"]

Floats = NDArray[np.float64]
EVEN_SHARE = np.full(3, 1.0 / 3.0)
_ONLY = np.zeros(1, dtype=np.int64)


@dataclass(frozen=True)
class OFOConfig:
    """Tuning (formulations 4): step sizes rho_x, rho_v, rho_l, weights w_T, w_S, scale k_v, band (pu).

    Slopes are measured with `sensitivity_perturbation_kw` at the first step and every
    `sensitivity_update_interval` control steps after it (0: only once).
    """

    primal_step_size: float = 0.05
    w_throughput: float = 0.1
    w_switch: float = 0.0
    voltage_gradient_scale: float = 1e6
    v_min: float = 0.95
    v_max: float = 1.05
    voltage_dual_step_size: float = 0.5
    latency_dual_step_size: float = 1.0
    sensitivity_update_interval: int = 0
    sensitivity_perturbation_kw: float = 100.0

    def __post_init__(self) -> None:
        if not self.v_min < self.v_max:
            raise InputError(f"OFO needs v_min < v_max, got {self.v_min} and {self.v_max}")
        if min(self.primal_step_size, self.sensitivity_perturbation_kw) <= 0 or self.sensitivity_update_interval < 0:
            raise InputError(f"OFO needs positive step size and perturbation and an interval >= 0, got {self}")


@dataclass(frozen=True, eq=False)
class OFOModels:
    """What the update needs to know of a site's models, as arrays [model].

    Curve parameters (L, x0, k) of power (W per replica), latency (s) and throughput (tokens/s per replica) have
    shape (3, 1, model); `throughput_max` is T_i(x_max). x is clipped to [`log2_low`, `log2_high`].
    """

    amplitude: Floats
    midpoint: Floats
    steepness: Floats
    throughput_max: Floats
    deadline_s: Floats
    log2_low: float
    log2_high: float
    feasible: FeasibleTable

    @staticmethod
    def of(specs: tuple[InferenceModelSpec, ...], curves: LogisticModelStore) -> OFOModels:
        """From specs and fitted curves; x ranges over the union of the feasible batch sizes (formulations 4)."""
        union = sorted({int(b) for spec in specs for b in spec.feasible_batch_sizes})
        labels = [spec.model_label for spec in specs]
        rows: list[list[LogisticModel]] = [
            [curves.power(label) for label in labels],
            [curves.latency(label) for label in labels],
            [curves.throughput(label) for label in labels],
        ]
        peak = np.array([float(curve.eval(union[-1])) for curve in rows[2]])
        return OFOModels(
            amplitude=np.array([[[curve.L for curve in row]] for row in rows]),
            midpoint=np.array([[[curve.x0 for curve in row]] for row in rows]),
            steepness=np.array([[[curve.k for curve in row]] for row in rows]),
            throughput_max=np.where(peak > 0.0, peak, 1.0),
            deadline_s=np.array([spec.itl_deadline_s for spec in specs]),
            log2_low=float(np.log2(union[0])),
            log2_high=float(np.log2(union[-1])),
            # Whatever x is, a model is only ever sent one of its own feasible batch sizes.
            feasible=FeasibleTable.of([spec.feasible_batch_sizes for spec in specs]),
        )

    def slopes(self, x: Floats) -> Floats:
        """P', L' and T' with respect to x, shape (3, scenario, model) (2.1)."""
        # s (1 - s) of the logistic s is (1 - tanh^2) / 4, which cannot overflow.
        half = np.tanh(self._half_steepness * (x - self.midpoint))
        slopes: Floats = self._slope_max * (1.0 - half * half)
        return slopes

    @cached_property
    def _half_steepness(self) -> Floats:
        return 0.5 * self.steepness

    @cached_property
    def _slope_max(self) -> Floats:
        return 0.25 * self.amplitude * self.steepness


@dataclass
class OFOState:
    """Latency multipliers and iterates of sites with the same models, shape (site, model); see `ofo_duals` for those
    of the voltages.
    """

    dual_latency: Floats
    x: Floats
    x_previous: Floats

    @staticmethod
    def start(log2_batch: Floats) -> OFOState:
        """The state before the first step, from start batch sizes of shape (site, model)."""
        return OFOState(np.zeros(log2_batch.shape), log2_batch.copy(), log2_batch.copy())


def update_latency_duals(state: OFOState, itl_s: Floats, models: OFOModels, config: OFOConfig) -> None:
    """mu <- [mu + rho_l (ITL - target)]+ (4.1), in place; a latency that is NaN (no replicas) leaves its multiplier.

    `itl_s` has shape (site, model).
    """
    excess_s = itl_s - models.deadline_s
    excess_s[np.isnan(excess_s)] = 0.0
    np.maximum(state.dual_latency + config.latency_dual_step_size * excess_s, 0.0, out=state.dual_latency)


def update_batches(
    state: OFOState, pull: Floats, phase_share: Floats, replicas: Floats, models: OFOModels, config: OFOConfig
) -> None:
    """The gradient (4.2) and primal step (4.3), in place.

    `pull` is (lambda_hi - lambda_lo)' H per kW and phase, shape (site, 3); `phase_share` has shape (site, model, 3),
    `replicas` (site, model).
    """
    power, latency, throughput = models.slopes(state.x)
    per_kw = (phase_share * pull[:, None, :]).sum(axis=2)
    gradient = replicas * (
        (config.voltage_gradient_scale / 1000.0) * per_kw * power
        - config.w_throughput / models.throughput_max * throughput
    )
    gradient += state.dual_latency * latency
    gradient += config.w_switch * (state.x - state.x_previous)
    state.x_previous = state.x
    moved = state.x - config.primal_step_size * gradient
    np.maximum(moved, models.log2_low, out=moved)
    state.x = np.minimum(moved, models.log2_high, out=moved)


class OFOBatchSizeController(Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid]):
    """OFO at one site: reads voltages, latencies and replicas, measures slopes on the grid, sets batch sizes.

    `models` are the fitted curves; `initial_batch_sizes` seeds x per model label (smallest feasible size if left
    out). A command is sent when a batch size changes. Raises `InputError` if a curve is missing.
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
        self.specs, self.curves = specs, models
        self.models = OFOModels.of(specs, models)
        self.datacenter, self.grid = datacenter, grid
        self.config = config or OFOConfig()
        self._dt_s = dt_s
        self.start_log2 = np.clip(start_log2(specs, initial_batch_sizes), self.models.log2_low, self.models.log2_high)
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self._state: OFOState | None = None
        self._duals = (np.empty((0, 1)), np.empty((0, 1)))
        self._slopes = np.empty((0, 3, 1))
        self._pull = np.empty((3, 1))
        self._steps = 0
        self._shares: tuple[Mapping[str, Floats] | None, Floats] = (None, np.empty((1, 0, 3)))

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        grid, config = self.grid, self.config
        voltage_pu = grid.voltages_vector()[:, None]
        interval = config.sensitivity_update_interval
        if self._state is None or (interval > 0 and self._steps % interval == 0):
            slopes, _ = grid.estimate_sensitivity(config.sensitivity_perturbation_kw, dc=self.datacenter)
            self._slopes = slopes[:, :, None].copy()
        if self._state is None:
            self._state = OFOState.start(self.start_log2)
            self._rows = np.arange(len(voltage_pu))
            self._duals = (np.zeros(voltage_pu.shape), np.zeros(voltage_pu.shape))
        replicas, itl_s = self.datacenter.observe(self.labels)
        update_voltage_duals(
            *self._duals, voltage_pu, self._rows, config.voltage_dual_step_size, config.v_min, config.v_max
        )
        voltage_pull(*self._duals, self._slopes, _ONLY, self._pull)
        update_latency_duals(self._state, itl_s[None, :], self.models, config)
        update_batches(
            self._state, self._pull.T, self._phase_share(), replicas[None, :].astype(float), self.models, config
        )
        self._steps += 1
        batch = self.models.feasible.nearest(self._state.x)[0]
        commands = changed_command(self.datacenter, self.labels, batch)
        if commands:
            events.emit("controller.ofo.step", {"batch_size_by_model": commands[0].batch_size_by_model})
        return list(commands)

    def _phase_share(self) -> Floats:
        by_model = self.datacenter.phase_share_by_model
        if by_model is not self._shares[0]:
            self._shares = (by_model, np.array([[by_model.get(label, EVEN_SHARE) for label in self.labels]]))
        return self._shares[1]
