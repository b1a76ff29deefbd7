"""A single-GPU training power trace: modelled by default, or the user's own from a CSV file."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from g2g_opt.csv_files import read_csv, write_csv
from g2g_opt.errors import InputError
from g2g_opt.quantities import GpuPowerW, ScheduleTimeS, bounds_of, check_array
from g2g_opt.randomness import keyed_generator

Floats = NDArray[np.float64]

# Figures of the modelled trace, W per GPU and s. They are our assumptions for a synchronous data-parallel job on
# GPUs of about 700 W; only the shape matters, because `TrainingRun` scales the peak.
COMPUTE_POWER_W = 620.0  # plateau of forward and backward passes
COMMUNICATION_POWER_W = 380.0  # gradients are exchanged, the arithmetic units wait
CHECKPOINT_POWER_W = 160.0  # weights are written, all GPUs wait
STEP_PERIOD_S = 6.0  # one optimiser step
COMMUNICATION_SHARE = 0.2  # of a step
CHECKPOINT_PERIOD_S = 180.0
CHECKPOINT_DURATION_S = 8.0
_PLATEAU_STD_W = 12.0  # between steps: batches differ
_SAMPLE_STD_W = 4.0

# Modelled traces by name; what they have in common is that `TrainingRun` scales their peak. "steps" is the one of the
# figures above, its mean is 84 % of its peak. "plateaus" has the figures of the trace that the OpenG2G paper's
# experiments overlay (`TrainingTraceParams` of OpenG2G 0.2.0): two levels with a strong noise, whose highest sample is
# the peak, so that the mean is about 61 % of it.
TrainingShape = Literal["steps", "plateaus"]
_HIGH_W, _LOW_W = 225.0, 175.0
_HIGH_S, _LOW_S = (35.0, 40.0), (10.0, 15.0)
_NOISE_STD_W, _NOISE_WINDOW_S = 50.0, 0.3
_DIPS_PER_S, _DIP_W, _DIP_S = 0.01, (120.0, 125.0), (0.06, 0.14)
_WARM_UP_S, _WARM_UP_FROM_W = 18.0, 50.0


@dataclass(frozen=True, eq=False)
class TrainingTrace:
    """Power of one GPU in training: times `t_s` (s, rising) and `power_w` (W), arrays of one length, read-only.

    The trace repeats: its period is the time from the first to the last sample plus one mean spacing.
    """

    t_s: Floats
    power_w: Floats
    _knots: tuple[Floats, Floats] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        t_s, power_w = (np.array(x, dtype=np.float64) for x in (self.t_s, self.power_w))
        if t_s.ndim != 1 or t_s.shape != power_w.shape or len(t_s) < 2:
            raise InputError(
                f"TrainingTrace: t_s and power_w must be arrays of one length, 2 samples or more; got shapes "
                f"{t_s.shape} and {power_w.shape}"
            )
        if not (np.isfinite(t_s).all() and (np.diff(t_s) > 0).all()):
            raise InputError("TrainingTrace: t_s must be finite and rise from sample to sample")
        if not (np.isfinite(power_w).all() and (power_w >= 0).all() and power_w.max() > 0):
            raise InputError("TrainingTrace: power_w must be finite, 0 W or more, and above 0 W somewhere")
        check_array(t_s, ScheduleTimeS, "TrainingTrace: t_s")
        check_array(power_w, GpuPowerW, "TrainingTrace: power_w")
        t_s.setflags(write=False)
        power_w.setflags(write=False)
        object.__setattr__(self, "t_s", t_s)
        object.__setattr__(self, "power_w", power_w)
        span_s = float(t_s[-1] - t_s[0])
        period_s = span_s + span_s / (len(t_s) - 1)
        # The first sample again at the end, so that interpolation closes the circle.
        knots = (np.append(t_s - t_s[0], period_s), np.append(power_w, power_w[0]))
        object.__setattr__(self, "_knots", knots)

    @property
    def peak_w(self) -> float:
        """Largest power, W."""
        return float(self.power_w.max())

    @property
    def period_s(self) -> float:
        """Time after which the trace repeats, s."""
        return float(self._knots[0][-1])

    def power_at(self, elapsed_s: Floats) -> Floats:
        """Power (W) at times since the trace began (s, any shape): linear between samples, periodic."""
        times, powers = self._knots
        return np.interp(np.mod(elapsed_s, self.period_s), times, powers)

    @classmethod
    def generate(
        cls,
        duration_s: float = 1800.0,
        dt_s: float | Fraction = Fraction(1, 10),
        seed: int = 0,
        shape: TrainingShape = "steps",
    ) -> TrainingTrace:
        """A modelled trace: plateaus of computing, short dips of communication, long dips of checkpoints ("steps").

        With the shape "plateaus" it is one of two noisy levels instead. Otherwise each optimiser step computes at a
        level of its own around `COMPUTE_POWER_W`, then drops to `COMMUNICATION_POWER_W` for its last
        `COMMUNICATION_SHARE`; every `CHECKPOINT_PERIOD_S` all wait at `CHECKPOINT_POWER_W`. Not modelled: warm-up,
        stragglers, failures and restarts, pipeline bubbles, overlap of computing and communication. The same `seed`
        gives the same trace.
        """
        step_s = float(dt_s)
        if not (np.isfinite(step_s) and step_s > 0 and np.isfinite(duration_s) and duration_s >= 2 * step_s):
            raise InputError(f"TrainingTrace: need dt_s > 0 and duration_s >= 2 dt_s, got {dt_s!r} and {duration_s!r}")
        t_s = np.arange(round(duration_s / step_s), dtype=np.float64) * step_s
        generator = keyed_generator(seed, "training trace")
        if shape == "plateaus":
            return cls(t_s, _plateaus_w(t_s, step_s, generator))
        step_number, in_step = np.divmod(t_s, STEP_PERIOD_S)
        level_w = COMPUTE_POWER_W + _PLATEAU_STD_W * generator.standard_normal(int(step_number[-1]) + 1)
        computing = in_step < (1.0 - COMMUNICATION_SHARE) * STEP_PERIOD_S
        power_w = np.where(computing, level_w[step_number.astype(np.int64)], COMMUNICATION_POWER_W)
        # Checkpoints end their period, so that a trace starts with work.
        waiting = np.mod(t_s, CHECKPOINT_PERIOD_S) >= CHECKPOINT_PERIOD_S - CHECKPOINT_DURATION_S
        power_w = np.where(waiting, CHECKPOINT_POWER_W, power_w)
        power_w = power_w + _SAMPLE_STD_W * generator.standard_normal(len(t_s))
        return cls(t_s, np.asarray(np.maximum(power_w, 0.0), dtype=np.float64))

    @property
    def mean_share(self) -> float:
        """Mean power over the peak."""
        return float(self.power_w.mean()) / self.peak_w

    @classmethod
    def load(cls, csv_path: Path) -> TrainingTrace:
        """Read a file with the columns t_s, power_W; raises `InputError` that names what is wrong with it."""
        rows = read_csv(Path(csv_path), "training trace", ("t_s", "power_W")).rows
        times_s = [row.number("t_s") for row in rows]
        for before_s, time_s, row in zip(times_s, times_s[1:], rows[1:], strict=False):
            if time_s <= before_s:
                raise InputError(f"{row.where}: t_s must rise from row to row, and {time_s:g} follows {before_s:g}")
        _, bounds = bounds_of(GpuPowerW)
        power_w = [row.number("power_W", bounds.low, bounds.high) for row in rows]
        try:
            return cls(np.array(times_s), np.array(power_w))
        except InputError as error:
            raise InputError(f"training trace {csv_path} cannot be used: {error}") from error

    def save(self, csv_path: Path) -> None:
        """Write the columns t_s, power_W; `load` gives the same numbers back."""
        path = Path(csv_path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", newline="", encoding="utf-8") as file:
            write_csv(file, ("t_s", "power_W"), zip(self.t_s.tolist(), self.power_w.tolist(), strict=True))

    @classmethod
    def ensure(cls, csv_path: Path) -> TrainingTrace:
        """Load `csv_path` if it is there; else generate the modelled trace and save it there."""
        path = Path(csv_path)
        if not path.exists():
            trace = cls.generate()
            trace.save(path)
            return trace
        return cls.load(path)


def _plateaus_w(t_s: Floats, dt_s: float, generator: np.random.Generator) -> Floats:
    """Power (W) at times of two levels in turn, with noise that a moving mean smooths, short dips, and a warm-up."""
    ends: list[float] = [0.0]
    level_w: list[float] = []
    while ends[-1] <= t_s[-1]:
        high = len(level_w) % 2 == 0
        ends.append(ends[-1] + float(generator.uniform(*(_HIGH_S if high else _LOW_S))))
        level_w.append(_HIGH_W if high else _LOW_W)
    power_w = np.array(level_w)[np.searchsorted(ends, t_s, side="right") - 1]
    power_w = power_w + _NOISE_STD_W * generator.standard_normal(len(t_s))
    width = max(1, round(_NOISE_WINDOW_S / dt_s))
    power_w = np.convolve(power_w, np.full(width, 1.0 / width), mode="same")
    # The window reaches beyond the ends, where there is nothing.
    power_w[-width:] = power_w[-2 * width : -width]
    for begin_s in generator.uniform(0.0, t_s[-1], size=generator.poisson(_DIPS_PER_S * t_s[-1])):
        dip = (t_s >= begin_s) & (t_s < begin_s + max(dt_s, float(generator.uniform(*_DIP_S))))
        power_w[dip] -= generator.uniform(*_DIP_W)
    warm_up_w = np.where(t_s < _WARM_UP_S, _WARM_UP_FROM_W + (_HIGH_W - _WARM_UP_FROM_W) * t_s / _WARM_UP_S, np.inf)
    found: Floats = np.clip(power_w, 0.0, warm_up_w)
    return found
