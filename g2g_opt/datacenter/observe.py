"""Observed latency of a model at a site, compiled for many at once."""

from __future__ import annotations

from g2g_opt.compiled.kernel import inner
from g2g_opt.datacenter.workloads.latency import mean_itl_s

clt_itl_s = inner(mean_itl_s)
