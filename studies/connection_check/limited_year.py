"""The limited profile under which a request fits: a site that draws just what every hour allows, through the year."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from g2g_opt.hourly_profile import load_profile
from studies.connection_check.question import ConnectionCheckQuestion
from studies.connection_check.remedy_costs import UnitCosts
from studies.connection_check.rows import LimitedYearRow
from studies.load_profile.fleet import YearFleets
from studies.shared.task import Tables
from studies.shared.typed_rows import to_rows

# A draw this much below the full one (share) is limited; less is that of whole replicas, and of an hour's mean to the
# peak that was asked for.
_LIMITED = 0.01


def limited_year(
    study: ConnectionCheckQuestion, known: Sequence[Sequence[float]], report: Callable[[str], None]
) -> Tables:
    """Tables "limited_years" (a row) and "profile" (MW by month and hour that held on OpenDSS), from cells' answers.

    `known` are (servers, MW) of every cell, in the order of the profile question's cells.
    """
    question = study.profile_question()
    feeder, models = question.load_feeder(), study.load_models()
    bus, n_servers = study.resolve_bus(feeder), study.servers_for(study.mw, models)
    fleets = YearFleets(
        question, feeder, bus, question.cells(), [int(row[0]) for row in known], [row[1] for row in known], report
    )
    held = fleets.follow_profile(n_servers)
    profile = load_profile(question.profile)
    n_hours = len(profile.hours)
    if held.year is None or held.year.steps is None:
        row = LimitedYearRow(bus, n_hours, None, None, None, None, None, "", "", held.note)
        return {"limited_years": to_rows([row]), "profile": []}
    power_mw, full_mw = held.year.steps.power_mw, study.full_draw_mw(n_servers, models)
    lost = np.maximum(full_mw - power_mw, 0.0)
    limited = lost > _LIMITED * full_mw
    lost_mwh = float(lost[limited].sum())
    cost = UnitCosts.load(study.costs).of((("curtailed energy", lost_mwh),), study.discount_rate)
    check = held.year.run.verdict.binding
    row = LimitedYearRow(
        bus=bus,
        hours=n_hours,
        hours_limited=int(limited.sum()),
        least_mw=float(power_mw.min()),
        energy_mwh=float(power_mw.sum()),
        energy_lost_mwh=lost_mwh,
        annual_usd=cost.annual_usd,
        limit=check.name if check is not None else "",
        limit_where=check.place(profile.moment_at) if check is not None else "",
        note="",
        cost_parts="; ".join(cost.parts),
    )
    return {"limited_years": to_rows([row]), "profile": fleets.tables(held, (held,))["profile"]}
