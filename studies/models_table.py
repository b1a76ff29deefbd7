"""The measured inference workloads as a table: what may be used of each, and what controllers know of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from rich.table import Table

from g2g_opt.datacenter.workloads.curves import CurveFit, curve_fits
from g2g_opt.datacenter.workloads.feasible_power import feasible_power_span_kw
from g2g_opt.datacenter.workloads.measurements import configurations, measured_spec, query_measurements
from g2g_opt.errors import InputError

_COLUMNS = (
    "model",
    "GPUs",
    "task",
    "precision",
    "parallel",
    "batch sizes (in brackets: not feasible)",
    "feasible power of a replica (W)",
    "power curve",
)


def models_table(**filters: Any) -> Table:
    """Configurations that agree with the `filters` of `query_measurements`, a row each.

    Feasible are powers of two whose mean latency meets the usual target of the model. The power curve is the one that
    controllers take slopes from: its form, and how far it is off at a batch size that it is made without (root mean
    square, as a share of the span).
    """
    table = Table(*_COLUMNS, title="Measured inference workloads")
    sizes: dict[Any, list[int]] = {}
    for row in query_measurements(**filters):
        sizes.setdefault(row.configuration, []).append(row.batch_size)
    for c in configurations():
        if c not in sizes:
            continue
        what = (c.model_id, f"{c.num_gpus} x {c.gpu_model}", c.task, c.precision)
        split = f"t{c.tensor_parallel} e{c.expert_parallel} d{c.data_parallel}"
        try:
            spec = measured_spec(c.model_id, c.gpu_model, c.task, c.precision, c.num_gpus)
        except InputError:  # the latency target is missed at every batch size: there is nothing to use
            table.add_row(*what, split, " ".join(f"({size})" for size in sizes[c]), "none feasible", "")
            continue
        low_kw, high_kw = feasible_power_span_kw(spec, 1)
        words = (str(size) if size in spec.feasible_batch_sizes else f"({size})" for size in sizes[c])
        span = f"{1e3 * low_kw:,.0f} to {1e3 * high_kw:,.0f}"
        table.add_row(*what, split, " ".join(words), span, _in_words(curve_fits(spec).power))
    return table


def _in_words(fit: CurveFit) -> str:
    form = "logistic" if fit.form == "logistic" else "through the points"
    return form if np.isnan(fit.leave_one_out_error) else f"{form}, off by {100 * fit.leave_one_out_error:.0f} %"
