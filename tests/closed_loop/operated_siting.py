"""A small joint siting study under own controls, whose results several tests look at."""

from __future__ import annotations

from functools import cache

from study_run import results_of

from studies.pv_datacenter_siting.rows import PlanRow
from studies.pv_datacenter_siting.study import SitingStudy
from studies.pv_datacenter_siting.verdicts import judged_plans
from studies.shared.site_choices import ServedModel, SiteChoice

SITE = SiteChoice("east", (ServedModel("Llama-3.1-70B-Instruct", n_gpus=1600),), candidates=("671", "680"))
STUDY = SitingStudy(
    feeder="ieee13",
    mode="joint",
    pv_buses=("632", "675"),
    pv_count=1,
    pv_size_max_kw=800.0,
    switch_cost=0.05,  # so that wide bands are not all that counts
    sites=(SITE,),
    n_windows=1,
    n_ties=3,
)


run = cache(results_of)


def best() -> PlanRow:
    (plan,) = [one for one in judged_plans(STUDY, run(STUDY)) if one.held]
    return plan.row
