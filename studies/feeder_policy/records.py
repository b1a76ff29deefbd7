"""What a policy on a feeder is trained on: records of closed-loop runs, and the figures of its batch sizes."""

from __future__ import annotations

from dataclasses import dataclass, fields
from fractions import Fraction
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from g2g_opt.clock import SimulationClock
from g2g_opt.controller.base import Controller
from g2g_opt.controller.contextual_batch_size import PolicySite, PublicContext
from g2g_opt.datacenter.base import LLMBatchSizeControlledDatacenter, LLMDatacenterState
from g2g_opt.datacenter.command import DatacenterCommand
from g2g_opt.datacenter.workloads.curves import LogisticModelStore
from g2g_opt.errors import InputError
from g2g_opt.events import EventEmitter
from g2g_opt.feeder_policy import PolicyOutput
from g2g_opt.grid.command import GridCommand
from g2g_opt.grid.opendss import OpenDSSGrid

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
_EVEN_SHARE = np.full(3, 1.0 / 3.0)


@dataclass(frozen=True, eq=False)
class OutputFigures:
    """Per output and batch size (rising): power (W per replica), throughput (tokens/s per replica), level.

    `loss` is the logarithm of the throughput at the largest size over that at each. All by the models' own curves.
    """

    outputs: tuple[PolicyOutput, ...]
    power_w: tuple[Floats, ...]
    loss: tuple[Floats, ...]
    throughput_top: Floats

    @staticmethod
    def of(sites: tuple[PolicySite, ...], curves: LogisticModelStore) -> OutputFigures:
        """Of every model at every site; `InputError` for a model whose power does not rise with its batch size."""
        outputs, powers, losses, tops = [], [], [], []
        for site in sites:
            for spec in site.specs:
                sizes = np.array(spec.feasible_batch_sizes)
                power_w = np.asarray(curves.power(spec.model_label).eval(sizes))
                throughput = np.asarray(curves.throughput(spec.model_label).eval(sizes))
                if len(sizes) < 2 or np.any(np.diff(power_w) <= 0.0):
                    raise InputError(
                        f"the power of {spec.model_label!r} must rise with its feasible batch sizes "
                        f"{list(sizes)} for a policy to choose among them; it is {power_w.round(1).tolist()} W"
                    )
                levels = (power_w - power_w[0]) / (power_w[-1] - power_w[0])
                sized = tuple(int(size) for size in sizes)
                outputs.append(
                    PolicyOutput(site.datacenter.name, spec.model_label, sized, tuple(float(x) for x in levels))
                )
                powers.append(power_w)
                losses.append(np.log(throughput[-1] / throughput))
                tops.append(float(throughput[-1]))
        return OutputFigures(tuple(outputs), tuple(powers), tuple(losses), np.array(tops))

    @property
    def power_range_kw(self) -> Floats:
        """Power of a replica (kW) between the smallest and the largest size, shape (output,)."""
        return np.array([power_w[-1] - power_w[0] for power_w in self.power_w]) / 1e3

    def loss_pieces(self) -> tuple[Floats, Floats]:
        """Offsets and slopes, shape (piece, output), of the loss as a convex function of the level."""
        pieces = [lower_hull(np.array(o.levels), loss) for o, loss in zip(self.outputs, self.loss, strict=True)]
        count = max(len(piece) for piece in pieces)
        # An output with fewer pieces repeats its last one.
        padded = np.array([[piece[min(k, len(piece) - 1)] for piece in pieces] for k in range(count)])
        return padded[:, :, 0].copy(), padded[:, :, 1].copy()


def lower_hull(x: Floats, y: Floats) -> list[tuple[float, float]]:
    """(offset, slope) of the pieces of the largest convex function below the points (x rising)."""
    kept: list[tuple[float, float]] = []
    for point in zip(x.tolist(), y.tolist(), strict=True):
        while len(kept) > 1 and _slope(kept[-2], kept[-1]) >= _slope(kept[-1], point):
            kept.pop()
        kept.append(point)
    return [(a[1] - _slope(a, b) * a[0], _slope(a, b)) for a, b in pairwise(kept)]


def _slope(a: tuple[float, float], b: tuple[float, float]) -> float:
    return (b[1] - a[1]) / (b[0] - a[0])


@dataclass(frozen=True, eq=False)
class Records:
    """Moments of runs: `context` that the policy saw when it chose what was in force, shape (record, feature);
    `voltage_pu` (record, bus-phase); `slope_pu` (record, bus-phase, output), pu per level, and `slope_pu_per_kw`
    (record, bus-phase, output, phase of its site); `level` in force and active `replicas` (record, output); `time_s`
    (record,).
    """

    context: Floats
    voltage_pu: Floats
    slope_pu: Floats
    slope_pu_per_kw: Floats
    level: Floats
    replicas: Floats
    time_s: Floats

    @staticmethod
    def joined(parts: list[Records]) -> Records:
        """Those of several runs, one after the other."""
        names = [field.name for field in fields(Records)]
        return Records(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


class RecordingController(Controller[LLMBatchSizeControlledDatacenter[LLMDatacenterState], OpenDSSGrid]):
    """Sends no command; every `record_dt_s` it measures voltages and their slopes for training. Never in a run that is
    reported: measuring slopes perturbs the circuit.
    """

    def __init__(
        self,
        context: PublicContext,
        sites: tuple[PolicySite, ...],
        figures: OutputFigures,
        grid: OpenDSSGrid,
        *,
        dt_s: Fraction,
        record_dt_s: float,
        perturbation_kw: float,
    ) -> None:
        self.context, self.grid, self.figures = context, grid, figures
        self._sites = {site.datacenter.name: site for site in sites}
        self._dt_s, self._record_dt_s, self._perturbation_kw = dt_s, record_dt_s, perturbation_kw
        self.reset()

    @property
    def dt_s(self) -> Fraction:
        return self._dt_s

    def reset(self) -> None:
        self.context.reset()
        self._next_s = 0.0
        self._rows: list[tuple[Floats, ...]] = []

    def step(self, clock: SimulationClock, events: EventEmitter) -> list[DatacenterCommand | GridCommand]:
        time_s = clock.time_s
        # What is in force now was chosen a control step ago, from what had been published by then.
        seen = self.context.seen(time_s - float(self._dt_s))
        self.context.publish(time_s)
        if time_s + 1e-9 >= self._next_s and seen is not None:
            self._rows.append((seen, *self._measured(), np.array(time_s)))
            self._next_s = time_s + self._record_dt_s
        return []

    def records(self) -> Records:
        """Of the run; `InputError` if it was too short for any."""
        if not self._rows:
            raise InputError("no record was made: a run must last longer than the lag of every feature")
        return Records(*(np.array([row[k] for row in self._rows]) for k in range(len(self._rows[0]))))

    def _measured(self) -> tuple[Floats, Floats, Floats, Floats, Floats]:
        """Voltages, slopes per level and per kW, levels in force, replicas."""
        figures, voltage_pu = self.figures, self.grid.voltages_vector().copy()
        n_outputs = len(figures.outputs)
        slope_pu, level, active = np.zeros((len(voltage_pu), n_outputs)), np.zeros(n_outputs), np.zeros(n_outputs)
        slope_kw = {
            name: self.grid.estimate_sensitivity(self._perturbation_kw, dc=site.datacenter)[0]
            for name, site in self._sites.items()
        }
        for k, output in enumerate(figures.outputs):
            datacenter = self._sites[output.site].datacenter
            replicas, _ = datacenter.observe([output.model])
            share = datacenter.phase_share_by_model.get(output.model, _EVEN_SHARE)
            active[k] = replicas[0]
            slope_pu[:, k] = slope_kw[output.site] @ share * replicas[0] * figures.power_range_kw[k]
            state = datacenter.state
            assert state is not None  # it has stepped: the grid has been solved
            batch = state.batch_size_by_model[output.model]
            level[k] = np.interp(batch, output.batch_sizes, output.levels)
        per_kw = np.stack([slope_kw[output.site] for output in figures.outputs], axis=1)
        return voltage_pu, slope_pu, per_kw, level, active
