"""Inter-token latency (ITL) as a two-component log-normal mixture per (model, batch size) (equations, section 2).

What a site observes of a model is the mean ITL over its n replicas. Up to `EXACT_SAMPLING_MAX_REPLICAS` it is
drawn replica by replica, above that from the central limit theorem. The mixtures of all measured configurations
are kept in `data/workloads/itl_mixtures.csv`; `python -m g2g_opt.datacenter.workloads.latency_fit` writes it anew.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import ArrayLike, NDArray

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.quantities import LogLatency, LogLatencyStd, Share, check_quantities

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

EXACT_SAMPLING_MAX_REPLICAS = 30

# A normal draw can fall to zero or below when the latency of a replica varies by more than its mean, and throughput
# divides by the result. No server gives tokens twenty times faster than its mean for all its replicas at once.
MEAN_ITL_FLOOR = 0.05


@dataclass(frozen=True)
class LatencyMixture:
    """A latency (s) (equation 2.6): with probability `weight` exp(mu_1 + sigma_1 z), else exp(mu_2 + sigma_2 z), z ~
    N(0, 1).

    `mu` are logarithms of s; a `sigma` of 0 makes the component a fixed latency.
    """

    weight: Share
    mu_1: LogLatency
    sigma_1: LogLatencyStd
    mu_2: LogLatency
    sigma_2: LogLatencyStd

    def __post_init__(self) -> None:
        check_quantities(self)
        # Kept, because a simulation asks for them at every step.
        mean_1, mean_2 = (float(np.exp(mu + s**2 / 2)) for mu, s in self._components)
        mean = self.weight * mean_1 + (1.0 - self.weight) * mean_2
        within = self.weight * mean_1**2 * float(np.expm1(self.sigma_1**2))
        within += (1.0 - self.weight) * mean_2**2 * float(np.expm1(self.sigma_2**2))
        between = self.weight * (1.0 - self.weight) * (mean_1 - mean_2) ** 2
        object.__setattr__(self, "_moments", (mean, within + between))

    @classmethod
    def fixed(cls, itl_s: float) -> LatencyMixture:
        """A latency that is always `itl_s` (s)."""
        if not (np.isfinite(itl_s) and itl_s > 0):
            raise InputError(f"a latency must be positive (s), got {itl_s!r}")
        mu = float(np.log(itl_s))
        mixture = cls(weight=1.0, mu_1=mu, sigma_1=0.0, mu_2=mu, sigma_2=0.0)
        object.__setattr__(mixture, "_moments", (float(itl_s), 0.0))  # without the rounding of exp(log(x))
        return mixture

    @property
    def _components(self) -> tuple[tuple[float, float], tuple[float, float]]:
        return (self.mu_1, self.sigma_1), (self.mu_2, self.sigma_2)

    @property
    def mean_s(self) -> float:
        """Mean latency, s."""
        moments: tuple[float, float] = self.__dict__["_moments"]
        return moments[0]

    @property
    def variance_s2(self) -> float:
        """Variance of the latency, s^2; exactly 0 for a fixed latency."""
        moments: tuple[float, float] = self.__dict__["_moments"]
        return moments[1]

    def cdf(self, itl_s: ArrayLike) -> Floats:
        """Probability of a latency of at most `itl_s` (s), of its shape."""
        from scipy.special import ndtr

        x = np.asarray(itl_s, dtype=np.float64)
        log_x = np.log(x, where=x > 0, out=np.full(x.shape, -np.inf))
        total = np.zeros(x.shape)
        for share, (mu, sigma) in zip((self.weight, 1.0 - self.weight), self._components, strict=True):
            below = ndtr((log_x - mu) / sigma) if sigma > 0 else (log_x >= mu).astype(np.float64)
            total = total + share * below
        return total

    def quantile(self, probability: ArrayLike) -> Floats:
        """Latency (s) that is not exceeded with `probability` (in (0, 1), any shape), by bisection."""
        from scipy.special import ndtri

        p = np.asarray(probability, dtype=np.float64)
        if not ((p > 0) & (p < 1)).all():
            raise InputError(f"quantile: probabilities must lie strictly between 0 and 1, got {probability!r}")
        ends = [mu + sigma * ndtri(p) for mu, sigma in self._components]
        # The quantile lies between those of the components.
        low, high = np.minimum(*ends) - 1e-9, np.maximum(*ends) + 1e-9
        for _ in range(80):
            middle = (low + high) / 2
            reached = self.cdf(np.exp(middle)) >= p
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return np.asarray(np.exp(high))

    def sample_s(self, uniforms: Floats, normals: Floats) -> Floats:
        """Latencies (s) from uniforms on [0, 1) (which component) and standard normals, of one shape."""
        first = np.asarray(uniforms) < self.weight
        mu = np.where(first, self.mu_1, self.mu_2)
        return np.asarray(np.exp(mu + np.where(first, self.sigma_1, self.sigma_2) * normals))


def sample_mean_itl_s(mixture: LatencyMixture, n: int, uniforms: Floats, normals: Floats) -> Floats:
    """Mean latency over `n` replicas (s, shape [step]), drawn replica by replica; the draws are [step, n]."""
    if n < 1 or np.shape(uniforms)[-1] != n or np.shape(normals)[-1] != n:
        raise InputError(
            f"sample_mean_itl_s: n={n} replicas need draws of shape [step, {n}], got {np.shape(uniforms)} and "
            f"{np.shape(normals)}"
        )
    return np.asarray(mixture.sample_s(uniforms, normals).mean(axis=-1))


def mean_itl_s(
    mean_s: Floats | float, variance_s2: Floats | float, n_replicas: Floats | Ints | float, normal_draws: Floats
) -> Floats:
    """Mean latency over `n_replicas` (s) by the central limit theorem (equation 2.7); arrays broadcast, numbers do as
    well.

    mean + sqrt(variance / n) * z, not below `MEAN_ITL_FLOOR` times the mean. `n_replicas` must be positive. Written
    so that it can be compiled, too (`datacenter.observe`).
    """
    itl_s: Floats = np.maximum(mean_s + np.sqrt(variance_s2 / n_replicas) * normal_draws, MEAN_ITL_FLOOR * mean_s)
    return itl_s


def observed_itl_s(mixture: LatencyMixture, n: int, uniforms: Floats, normals: Floats) -> Floats:
    """Observed latency of a model (s, shape [step]): the mean over its `n` replicas (equation 2.7).

    Draws are of shape [step, k] with k >= min(n, `EXACT_SAMPLING_MAX_REPLICAS`); above that many replicas the
    first column of normals is the only one used.
    """
    if n <= EXACT_SAMPLING_MAX_REPLICAS:
        return sample_mean_itl_s(mixture, n, uniforms[:, :n], normals[:, :n])
    return mean_itl_s(mixture.mean_s, mixture.variance_s2, n, normals[:, 0])


@dataclass(frozen=True, eq=False)
class ITLFitStore:
    """Latency mixtures by model label and batch size."""

    distributions: Mapping[str, Mapping[int, LatencyMixture]]

    def __post_init__(self) -> None:
        copy = {label: MappingProxyType(dict(sorted(table.items()))) for label, table in self.distributions.items()}
        object.__setattr__(self, "distributions", MappingProxyType(copy))

    def batch_sizes(self, label: str) -> tuple[int, ...]:
        """Batch sizes with a mixture, rising."""
        return tuple(self._table(label))

    def distribution(self, label: str, batch_size: int) -> LatencyMixture:
        """The mixture of a model at a batch size; raises `InputError` if there is none."""
        table = self._table(label)
        if batch_size not in table:
            raise InputError(f"model {label!r} has no latency at batch size {batch_size}; choose one of {list(table)}")
        return table[batch_size]

    def _table(self, label: str) -> Mapping[int, LatencyMixture]:
        if label not in self.distributions:
            raise unknown_name("model", label, self.distributions, "among the latency mixtures")
        return self.distributions[label]
