"""Power templates and latency mixtures of the models a site serves.

Nothing has to be downloaded: mean power and latency are measured (`measurements`), the ripple around the mean power
is modelled (`ripple`) unless the user has traces of their own (`InferenceData.ensure`).
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from g2g_opt.csv_files import read_csv
from g2g_opt.datacenter.model_spec import InferenceModelSpec, ModelDeployment
from g2g_opt.datacenter.workloads.latency import ITLFitStore, LatencyMixture
from g2g_opt.datacenter.workloads.latency_fit import mixture_of
from g2g_opt.datacenter.workloads.measurements import Interpolation, Measurement, spec_measurements
from g2g_opt.datacenter.workloads.ripple import RippleModel, power_range_w, ripple_template_w
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.quantities import GpuPowerW, check_array

logger = logging.getLogger(__name__)

Floats = NDArray[np.float64]

# Bounds of a user's trace: its span, the steps of a template (80 MB), the power of one replica, a batch.
YEAR_S = 366 * 86400.0
TRACE_STEPS_MAX = 1e7
REPLICA_POWER_MAX_W = 1e9
BATCH_SIZE_MAX = 1e6
# A trace's mean over what was measured, or the other way round, from which on it is of another unit. Per GPU or per
# replica, idle or full, is less than that.
_UNIT_FACTOR = 30.0

_TRACE_COLUMNS = ("batch_size", "relative_time_s", "power_total_W")


@dataclass(frozen=True, eq=False)
class InferenceTemplateStore:
    """Periodic power of one GPU (W, one value per step) by model label and batch size; arrays are read-only."""

    templates: Mapping[str, Mapping[int, Floats]]

    def __post_init__(self) -> None:
        kept: dict[str, Mapping[int, Floats]] = {}
        for label, table in self.templates.items():
            arrays = {int(b): np.array(table[b], dtype=np.float64) for b in sorted(table)}
            for batch_size, power_w in arrays.items():
                if power_w.ndim != 1 or not len(power_w) or not (np.isfinite(power_w).all() and (power_w >= 0).all()):
                    raise InputError(
                        f"model {label!r}: the template at batch size {batch_size} must be a row of finite powers of "
                        f"0 W or more; got shape {power_w.shape}"
                    )
                check_array(power_w, GpuPowerW, f"model {label!r}: the template at batch size {batch_size}, sample ")
                power_w.setflags(write=False)
            kept[label] = MappingProxyType(arrays)
        object.__setattr__(self, "templates", MappingProxyType(kept))

    def batch_sizes(self, label: str) -> tuple[int, ...]:
        """Batch sizes with a template, rising."""
        return tuple(self._table(label))

    def template(self, label: str, batch_size: int) -> Floats:
        """Power of one GPU over one period (W); raises `InputError` if there is none."""
        table = self._table(label)
        if batch_size not in table:
            raise InputError(
                f"model {label!r} has no power template at batch size {batch_size}; choose one of {list(table)}"
            )
        return table[batch_size]

    def _table(self, label: str) -> Mapping[int, Floats]:
        if label not in self.templates:
            raise unknown_name("model", label, self.templates, "among the power templates")
        return self.templates[label]


class InferenceData:
    """The models of a site with their power templates and, if latency is wanted, their latency mixtures.

    `models` may be specs or deployments. Raises `InputError` if a label is used twice or a feasible batch size has
    no template (or no mixture, where `itl_fits` is given).
    """

    def __init__(
        self,
        models: Iterable[InferenceModelSpec | ModelDeployment],
        *,
        power_templates: InferenceTemplateStore,
        itl_fits: ITLFitStore | None = None,
    ) -> None:
        self._models = _specs(models)
        self.power_templates = power_templates
        self.itl_fits = itl_fits
        for spec in self._models:
            held = [("power template", power_templates.batch_sizes(spec.model_label))]
            if itl_fits is not None:
                held.append(("latency mixture", itl_fits.batch_sizes(spec.model_label)))
            for kind, batch_sizes in held:
                missing = sorted(set(spec.feasible_batch_sizes) - set(batch_sizes))
                if missing:
                    raise InputError(
                        f"model {spec.model_label!r} has no {kind} at its feasible batch sizes {missing}; there are "
                        f"some at {list(batch_sizes)}"
                    )

    @property
    def models(self) -> tuple[InferenceModelSpec, ...]:
        """The specs, in the order given."""
        return self._models

    def filter_models(self, labels: Iterable[str]) -> InferenceData:
        """The same data with only the models of these labels, in the order of this object."""
        wanted = {getattr(label, "model_label", label) for label in labels}
        known = [spec.model_label for spec in self._models]
        for label in sorted(wanted - set(known)):
            raise unknown_name("model", label, known, "in this inference data")
        kept = [spec for spec in self._models if spec.model_label in wanted]
        return InferenceData(kept, power_templates=self.power_templates, itl_fits=self.itl_fits)

    @classmethod
    def ensure(
        cls,
        data_dir: Path | str | None,
        models: Iterable[InferenceModelSpec | ModelDeployment],
        *,
        dt_s: float | Fraction = 0.1,
        interpolation: Interpolation = None,
        ripple: RippleModel | None = None,
    ) -> InferenceData:
        """Data of `models` for a datacenter with period `dt_s` (s); needs no download and writes nothing.

        Power is the measured mean with a modelled `ripple`, unless `<data_dir>/<model_label>/trace.csv` or
        `<data_dir>/<cache_hash>/trace.csv` exists: columns batch_size, relative_time_s, power_total_W (power of all
        GPUs of one replica), rows of every feasible batch size. Traces are repeated and read at `dt_s` by linear
        interpolation. Latency is measured. `interpolation="log2"` also gives batch sizes between measured ones.
        """
        specs = _specs(models)
        templates: dict[str, Mapping[int, Floats]] = {}
        mixtures: dict[str, Mapping[int, LatencyMixture]] = {}
        for spec in specs:
            rows = spec_measurements(spec, interpolation)
            mixtures[spec.model_label] = {b: mixture_of(row) for b, row in rows.items()}
            path = _trace_path(data_dir, spec)
            if path is not None:
                logger.info("model %s: power from the trace %s", spec.model_label, path)
                templates[spec.model_label] = read_trace(path, spec, dt_s)
                _check_unit(f"trace {path}", templates[spec.model_label], rows)
            else:
                logger.info("model %s: measured mean power with a modelled ripple", spec.model_label)
                model = ripple or RippleModel()
                templates[spec.model_label] = {b: _modelled_template_w(row, dt_s, model) for b, row in rows.items()}
        return cls(specs, power_templates=InferenceTemplateStore(templates), itl_fits=ITLFitStore(mixtures))

    @classmethod
    def constant(
        cls,
        models: Iterable[InferenceModelSpec | ModelDeployment],
        power_w_per_gpu: Mapping[str, Mapping[int, float]],
        itl_s: Mapping[str, Mapping[int, float]] | None = None,
    ) -> InferenceData:
        """Flat power (W per GPU) and fixed latency (s) by label and batch size; measurements are not looked at."""
        templates = {
            label: {b: np.array([power_w]) for b, power_w in table.items()} for label, table in power_w_per_gpu.items()
        }
        fits = None
        if itl_s is not None:
            fixed = {label: {b: LatencyMixture.fixed(s) for b, s in table.items()} for label, table in itl_s.items()}
            fits = ITLFitStore(fixed)
        return cls(models, power_templates=InferenceTemplateStore(templates), itl_fits=fits)


def _specs(models: Iterable[InferenceModelSpec | ModelDeployment]) -> tuple[InferenceModelSpec, ...]:
    specs = tuple(model.spec for model in models)
    labels = [spec.model_label for spec in specs]
    twice = sorted({label for label in labels if labels.count(label) > 1})
    if twice:
        raise InputError(f"model labels must differ; used more than once: {twice}")
    return specs


def _modelled_template_w(row: Measurement, dt_s: float | Fraction, ripple: RippleModel) -> Floats:
    # Keyed by what was measured, so that another label or another site's list of models changes nothing.
    key = (*row.configuration, row.batch_size)
    return ripple_template_w(row.power_w_per_gpu, power_range_w(row.configuration.gpu_model), dt_s, ripple, *key)


# --- a user's own traces


def _trace_path(data_dir: Path | str | None, spec: InferenceModelSpec) -> Path | None:
    if data_dir is None:
        return None
    for name in (spec.model_label, spec.cache_hash()):
        path = Path(data_dir) / name / "trace.csv"
        # Whatever stands there under this name is meant to be one: a folder or a broken link is an error, not nothing.
        if os.path.lexists(path):
            return path
    return None


def read_trace(path: Path, spec: InferenceModelSpec, dt_s: float | Fraction) -> dict[int, Floats]:
    """Templates (W per GPU, at `dt_s`) of the batch sizes of `spec` that a trace file holds.

    A trace repeats after its last time plus one mean spacing; the template has the nearest whole number of steps.
    Raises `InputError` naming the file and line of what is wrong, or the feasible batch sizes that are missing. A trace
    may span a year, and `TRACE_STEPS_MAX` steps.
    """
    if not (np.isfinite(float(dt_s)) and dt_s > 0):
        raise InputError(f"dt_s must be positive, got {dt_s!r}")
    samples: dict[int, list[tuple[float, float]]] = {}
    for row in read_csv(path, "trace", _TRACE_COLUMNS).rows:
        batch_size = row.number("batch_size", 1.0, BATCH_SIZE_MAX)
        if not batch_size.is_integer():
            raise InputError(f"{row.where}: needs a whole batch_size, got {batch_size:g}")
        sample = row.number("relative_time_s"), row.number("power_total_W", 0.0, REPLICA_POWER_MAX_W)
        earlier = samples.setdefault(int(batch_size), [])
        if earlier and sample[0] <= earlier[-1][0]:
            raise InputError(
                f"{row.where}: relative_time_s must rise from row to row of a batch size, and {sample[0]:g} follows "
                f"{earlier[-1][0]:g}"
            )
        earlier.append(sample)
    missing = sorted(set(spec.feasible_batch_sizes) - set(samples))
    if missing:
        raise InputError(
            f"trace {path} has no rows at the feasible batch sizes {missing} of model {spec.model_label!r}; it holds "
            f"{sorted(samples)}"
        )
    left_out = sorted(set(samples) - set(spec.batch_sizes))
    if left_out:
        logger.info("trace %s: batch sizes %s are not among those of the model and left out", path, left_out)
    templates = {
        b: _resample(np.array(samples[b]), float(dt_s), f"trace {path}, batch size {b}") / spec.gpus_per_replica
        for b in sorted(set(samples) & set(spec.batch_sizes))
    }
    for b, template_w in templates.items():
        check_array(template_w, GpuPowerW, f"trace {path}, batch size {b}, step ")
    return templates


def _check_unit(where: str, templates: Mapping[int, Floats], measured: Mapping[int, Measurement]) -> None:
    """Raise `InputError` for templates (W per GPU) that are far from the measured means of the same batch sizes."""
    mean_w = float(np.mean([template_w.mean() for template_w in templates.values()]))
    measured_w = float(np.mean([measured[b].power_w_per_gpu for b in templates]))
    if measured_w / _UNIT_FACTOR <= mean_w <= measured_w * _UNIT_FACTOR:
        return
    unit = "kW" if mean_w < measured_w else "another unit"
    raise InputError(
        f"{where} has {mean_w:.3g} W per GPU on average, where {measured_w:.0f} W were measured of this model: "
        f"{_TRACE_COLUMNS[2]} is the power of all GPUs of a replica in W, and these look like {unit}"
    )


def trace_peak_w(path: Path) -> float:
    """Largest power (W, of all GPUs of a replica) in a trace file; `InputError` for one that cannot be read."""
    return max(
        row.number(_TRACE_COLUMNS[2], 0.0, REPLICA_POWER_MAX_W) for row in read_csv(path, "trace", _TRACE_COLUMNS).rows
    )


def _resample(samples: Floats, dt_s: float, where: str) -> Floats:
    """Power at 0, dt_s, ... over one period, from `samples` [n, (time, power)]."""
    times, power_w = samples[:, 0] - samples[0, 0], samples[:, 1]
    if len(times) < 2:
        raise InputError(f"{where}: a trace needs 2 rows or more")
    period_s = float(times[-1]) * len(times) / (len(times) - 1)
    if period_s > YEAR_S or period_s / dt_s > TRACE_STEPS_MAX:
        raise InputError(
            f"{where}: relative_time_s spans {period_s:g} s, {period_s / dt_s:.3g} steps of {dt_s:g} s; a trace may "
            f"have {YEAR_S:g} s (366 days) and {TRACE_STEPS_MAX:g} steps"
        )
    instants = np.arange(max(1, round(period_s / dt_s))) * dt_s
    return np.asarray(np.interp(instants, np.append(times, period_s), np.append(power_w, power_w[0])))
