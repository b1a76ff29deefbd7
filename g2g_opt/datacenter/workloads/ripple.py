"""Modelled power ripple around a measured mean: what a GPU at a steady batch size draws over time.

The benchmark's power traces are gated, only mean powers are public, so the shape in time is a model. A server at a
steady batch size alternates between decoding (even) and prefill of admitted requests (a burst), with requests that
arrive and end at random: power fluctuates about its mean and forgets itself within seconds. The model is the
simplest signal with these properties: stationary, with the spectrum of an Ornstein-Uhlenbeck process,

    S(f) ~ 1 / (1 + (2 pi f tau)^2)   for 0 < f < 0.5 Hz,                                       tau = correlation_time_s

as a sum of Fourier modes of one period (600 s) with amplitudes sqrt(S) and random phases. Fixed amplitudes make
mean and standard deviation exact; a finite set of modes makes the signal a function of continuous time, which every
dt_s samples at its own instants.

Not modelled: steps faster than 0.5 Hz (they average out over a site's GPUs; noise of the power augmentation stands
in for them), spikes and skewness, drift of the mean, ripple common to several servers, dependence of the relative
size on model and batch size. The default size, 3 % of the mean, is an assumption, not a measurement: pass your own,
or give real traces (`inference.InferenceData.ensure`).
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError
from g2g_opt.quantities import DurationS, RelativeStd, RipplePeriodS, Seed, check_quantities
from g2g_opt.randomness import Key, keyed_generator

Floats = NDArray[np.float64]

MODE_FREQUENCY_LIMIT_HZ = 0.5

# Idle and rated power of one GPU (W), from the makers' data sheets (rated) and typical idle readings (about).
GPU_POWER_RANGE_W = {"H100": (70.0, 700.0), "B200": (140.0, 1000.0)}


@dataclass(frozen=True)
class RippleModel:
    """Ripple of `relative_std` (standard deviation over mean), memory `correlation_time_s`, period `period_s` (s).

    `seed` keys the phases. `relative_std=0.0` gives flat power.
    """

    relative_std: RelativeStd = 0.03
    correlation_time_s: DurationS = 3.0
    period_s: RipplePeriodS = 600.0
    seed: Seed = 0

    def __post_init__(self) -> None:
        check_quantities(self)


def ripple_modes(model: RippleModel, *key: Key) -> NDArray[np.complex128]:
    """Complex amplitudes c_k of modes k = 0, 1, ...: ripple(t) = Re sum_k c_k exp(2 pi i k t / period) (equation 2.11).

    Mean 0, standard deviation 1 over the period. The phases depend on the model's seed and on `key`.
    """
    n_modes = int(np.ceil(MODE_FREQUENCY_LIMIT_HZ * model.period_s)) - 1
    frequency_hz = np.arange(1, n_modes + 1) / model.period_s
    spectrum = 1.0 / (1.0 + (2 * np.pi * frequency_hz * model.correlation_time_s) ** 2)
    amplitude = np.sqrt(2 * spectrum / spectrum.sum())
    phase = keyed_generator(model.seed, "power ripple", *key).uniform(0.0, 2 * np.pi, n_modes)
    return np.concatenate([[0.0], amplitude * np.exp(1j * phase)])


def sample_modes(modes: NDArray[np.complex128], n_samples: int) -> Floats:
    """The signal of `modes` at `n_samples` even instants of its period, the first at 0.

    Modes above half the sampling rate are folded onto those they cannot be told from, as sampling does.
    """
    folded = np.zeros(n_samples, dtype=np.complex128)
    np.add.at(folded, np.arange(len(modes)) % n_samples, modes)
    return np.asarray(np.fft.ifft(folded).real * n_samples)


def template_length(period_s: float, dt_s: float | Fraction) -> int:
    """Samples in a period; one, its mean, where a step is a whole number of periods. `InputError` if neither fits."""
    step_s = float(dt_s)
    if not (np.isfinite(step_s) and step_s > 0):
        raise InputError(f"dt_s must be positive, got {dt_s!r}")
    n_periods = round(step_s / period_s)
    if n_periods >= 1 and abs(n_periods * period_s - step_s) <= 1e-6 * period_s:
        return 1
    n_samples = round(period_s / step_s)
    if n_samples < 1 or abs(n_samples * step_s - period_s) > 1e-6 * step_s:
        raise InputError(
            f"dt_s={step_s:g} does not divide the ripple's period of {period_s:g} s and is no multiple of it; choose "
            "another dt_s or RippleModel(period_s=...)"
        )
    return n_samples


def ripple_template_w(
    mean_w: float,
    power_range_w: tuple[float, float],
    dt_s: float | Fraction,
    model: RippleModel,
    *key: Key,
) -> Floats:
    """Power of one GPU (W) over one period at `dt_s`, read-only (equation 2.11); its mean is `mean_w` to rounding.

    The ripple keeps inside `power_range_w` (idle, rated): where it would leave, it is made smaller as a whole, not
    clipped, for a clipped signal has another mean; a GPU held at its power limit shows little ripple. With
    dt_s <= 1 s all steps sample the same signal; coarser ones sample it too, then shift it to the exact mean.
    """
    low_w, high_w = power_range_w
    if not (np.isfinite(mean_w) and mean_w > 0):
        raise InputError(f"mean power must be positive (W), got {mean_w!r}")
    n_samples = template_length(model.period_s, dt_s)
    modes = ripple_modes(model, *key)
    # The extremes are those of a fine grid, so that the size does not depend on dt_s.
    fine = sample_modes(modes, 20 * len(modes))
    # A mean outside the range (a wrong table, or other hardware) leaves no room: the power is then flat.
    room_w = max(0.0, min((mean_w - low_w) / -float(fine.min()), (high_w - mean_w) / float(fine.max())))
    ripple = sample_modes(modes, n_samples)
    # Shrunk by a hair so that instants between the fine grid's do not stick out.
    template = np.asarray(mean_w + min(model.relative_std * mean_w, 0.99 * room_w) * (ripple - ripple.mean()))
    template.setflags(write=False)
    return template


def power_range_w(gpu_model: str) -> tuple[float, float]:
    """Idle and rated power of one GPU, W; of an unknown GPU no limits but 0."""
    return GPU_POWER_RANGE_W.get(gpu_model, (0.0, float("inf")))
