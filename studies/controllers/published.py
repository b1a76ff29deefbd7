"""What was published of a study case, beside what was simulated."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from g2g_opt.study_case import StudyCase
from studies.shared.conclusion import Column
from studies.shared.task import Row

PUBLISHED_COLUMNS = (
    Column("controller", "controller"),
    Column("source", "source"),
    Column("violation_pu_s", "integral violation (pu s)", 2),
    Column("throughput_million_tps", "10^6 tokens/s", 2),
    Column("switches", "batch switches", 1),
    Column("misses_pct", "latency misses (%)", 2),
    Column("recovery_pct", "recovered (%)", 1),
)


def published_rows(case: StudyCase, means: Sequence[Row], kinds: Mapping[str, str]) -> list[Row]:
    """A row of this study for every controller in `means` of which `kinds` names the kind, and the published one."""
    rows: list[Row] = []
    none = case.published_controllers["none"][0]
    for row in means:
        kind = kinds.get(row["controller"])
        if kind is None:
            continue
        rows.append(
            {
                "controller": row["controller"],
                "source": "this study",
                "violation_pu_s": row["integral_violation_pu_s"],
                "throughput_million_tps": row["mean_throughput_tps"] / 1e6,
                "switches": row["batch_switches"],
                "misses_pct": 100.0 * row["itl_deadline_fraction"],
                "recovery_pct": 100.0 * row["recovery"] if row["recovery"] is not None else None,
            }
        )
        if row["controller"] in case.published_controllers:
            violation, throughput, switches, misses = case.published_controllers[row["controller"]]
            rows.append(
                {
                    "controller": row["controller"],
                    "source": "published",
                    "violation_pu_s": violation,
                    "throughput_million_tps": throughput,
                    "switches": switches,
                    "misses_pct": misses,
                    "recovery_pct": 100.0 * (1.0 - violation / none),
                }
            )
    return rows


def published_per_site(case: StudyCase) -> tuple[str, ...]:
    """Words on the published tokens of a case of several sites, which are no sum over these."""
    n_sites = len(case.plan.sites)
    if n_sites == 1:
        return ()
    return (
        f"published tokens/s as printed: the paper's evaluation averages over the states of all {n_sites} sites, so "
        f"that they are 1/{n_sites} of what the sites serve together, which is what stands beside them",
    )
