"""A siting plan as plain values, complete enough to simulate it again."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from g2g_opt.batch.chains import SetPoint
from g2g_opt.batch.own_controls import Standing
from g2g_opt.feeder import Feeder
from g2g_opt.reading import parse_json
from solvers.siting.problem import SitingPlan
from studies.pv_datacenter_siting.case import SitingCase, make_case
from studies.pv_datacenter_siting.days import Day, day_of
from studies.pv_datacenter_siting.network import OwnOperation
from studies.pv_datacenter_siting.question import SitingQuestion
from studies.pv_datacenter_siting.storage_rule import StorageRule


def dump_plan(case: SitingCase, plan: SitingPlan) -> str:
    """JSON of the plan and its days; exact, as JSON keeps every digit."""

    def entries(values: np.ndarray[Any, Any]) -> list[list[float]]:
        return [[int(j), int(p), float(values[j, p])] for j, p in zip(*np.nonzero(values), strict=True)]

    operated = case.network.operated
    return json.dumps(
        {
            "days": [[day.name, day.index, day.n_days, day.utilisation] for day in case.days],
            "operated": None if operated is None else _as_values(operated),
            "pv_kw": plan.pv_kw.tolist(),
            "site_bus": plan.site_bus.tolist(),
            "site_kw": plan.site_kw.tolist(),
            "tap_steps": plan.tap_steps.tolist(),
            "curtailed_kw": entries(plan.curtailed_kw),
            "storage_kw": plan.storage_kw.tolist(),
            "storage_kwh": plan.storage_kwh.tolist(),
            "discharge_kw": entries(plan.discharge_kw),
            "storage_rule": None if case.stored is None else asdict(case.stored.rule),
        }
    )


def day_names(text: str) -> list[str]:
    """Names of the days of a stored plan."""
    return [str(name) for name, *_ in parse_json(text, "the stored plan")["days"]]


def is_operated(text: str) -> bool:
    """Do regulators of a stored plan act by their own controls?"""
    return parse_json(text, "the stored plan")["operated"] is not None


def read_plan(question: SitingQuestion, feeder: Feeder, text: str) -> tuple[SitingCase, SitingPlan]:
    """The case and plan of `dump_plan`."""
    content = parse_json(text, "the stored plan")
    profile = question.hourly()
    days: list[Day] = [
        replace(day_of(profile, k, name, n_days), utilisation=utilisation)
        for name, k, n_days, utilisation in content["days"]
    ]
    rule = content["storage_rule"]
    case = make_case(
        question, feeder, days, _operated(content["operated"]), None if rule is None else StorageRule(**rule)
    )
    shape = (case.pv.n, len(case.network.sun))

    def filled(entries: Sequence[Sequence[float]]) -> np.ndarray[Any, np.dtype[np.float64]]:
        values = np.zeros(shape)
        for j, p, value in entries:
            values[int(j), int(p)] = value
        return values

    return case, SitingPlan(
        np.array(content["pv_kw"], dtype=np.float64),
        np.array(content["site_bus"], dtype=np.int64),
        np.array(content["site_kw"], dtype=np.float64),
        np.array(content["tap_steps"], dtype=np.int64).reshape(case.taps.n, len(case.calendar.slot_day)),
        filled(content["curtailed_kw"]),
        np.array(content["storage_kw"], dtype=np.float64),
        np.array(content["storage_kwh"], dtype=np.float64),
        filled(content["discharge_kw"]),
    )


def _as_values(operated: OwnOperation) -> dict[str, Any]:
    """As JSON has it, which knows no infinite times of banks."""
    values = asdict(operated)
    for one in values["begins"]:
        one["banks"] = [figure if math.isfinite(figure) else None for figure in one["banks"]]
    return values


def _operated(content: Mapping[str, Any] | None) -> OwnOperation | None:
    if content is None:
        return None
    set_points = {name: SetPoint(**figures) for name, figures in content["set_points"].items()}
    begins = [
        Standing(
            tuple(one["taps"]),
            tuple(one["modes"]),
            tuple(math.inf if figure is None else figure for figure in one["banks"]),
        )
        for one in content["begins"]
    ]
    return OwnOperation(set_points, tuple(begins))
