"""Batch sizes that a site offers a controller, so that what it was granted bounds what it draws."""

from __future__ import annotations

from dataclasses import replace

from g2g_opt.datacenter.workloads.measurements import spec_measurements
from g2g_opt.site import Deployment, Site


def held_at_nominal(site: Site) -> Site:
    """The site with no batch size but those it begins at: it keeps them under any controller."""
    kept = tuple(replace(d, spec=replace(d.spec, feasible_batch_sizes=(d.batch_size,))) for d in site.deployments)
    return replace(site, deployments=kept)


def capped_at_nominal(site: Site) -> Site:
    """The site with batch sizes up to those it begins at, of no more measured power: a controller lowers its draw."""
    return replace(site, deployments=tuple(map(_capped, site.deployments)))


def _capped(deployment: Deployment) -> Deployment:
    spec, nominal = deployment.spec, deployment.batch_size
    rows = spec_measurements(spec)
    # Power is not monotone in the batch size.
    most_w = rows[nominal].avg_power_w
    sizes = tuple(b for b in spec.feasible_batch_sizes if b <= nominal and rows[b].avg_power_w <= most_w)
    return replace(deployment, spec=replace(spec, feasible_batch_sizes=sizes))
