"""A joint siting study that tests share, run once."""

from __future__ import annotations

from studies.pv_datacenter_siting.study import SitingStudy
from studies.shared.site_choices import ServedModel, SiteChoice

SITES = tuple(
    SiteChoice(name, (ServedModel("Llama-3.1-70B-Instruct", n_gpus),), candidates=buses)
    for name, n_gpus, buses in (("west", 800, ("632", "633")), ("east", 640, ("671", "680", "692")))
)
JOINT = SitingStudy(
    taps="optimised",
    feeder="ieee13",
    mode="joint",
    pv_buses=("632", "671", "675", "680"),
    pv_count=2,
    pv_size_max_kw=600.0,
    pv_total_max_kw=1000.0,
    sites=SITES,
    n_plans=2,
    n_windows=1,
    days_added_max=1,
    refusals_max=1,
    n_ties=20,
    sweeps=(("pv-cost", (100.0, 300.0)),),
)
