"""Planning and optimisation studies of AI datacenters on the grid, judged by closed-loop simulation.

The names below are the public surface: they stay, or warn for one version before they go. Each is imported when it is
first asked for, so that `import g2g_opt` itself takes no time. Besides them the module paths of the OpenG2G guide
(`g2g_opt.coordinator`, `g2g_opt.controller.base`, ...) and `studies.shared.task.Question` are kept; whatever else a
module holds may change in any version.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from g2g_opt.base_case import solve_base_case
    from g2g_opt.consent import Consent, give_consent
    from g2g_opt.controller.base import Controller
    from g2g_opt.coordinator import Coordinator
    from g2g_opt.datacenter.config import InferenceModelSpec
    from g2g_opt.datacenter.workloads.measurements import measured_spec, query_measurements
    from g2g_opt.errors import G2GError, InputError, PowerFlowError
    from g2g_opt.evaluation import evaluate
    from g2g_opt.failure import Failure, FailureKind
    from g2g_opt.feeder import Feeder
    from g2g_opt.hourly_profile import HourlyProfile, load_profile
    from g2g_opt.limits import Limits
    from g2g_opt.outcome import Evaluation, Outcome
    from g2g_opt.plan import AdaptiveTaps, Plan, Policy, PVUnit, StorageUnit
    from g2g_opt.scenario import ReplicaShares, Scenario, TrainingOverlay
    from g2g_opt.simulation import simulate
    from g2g_opt.simulation_log import SimulationLog
    from g2g_opt.site import BASE_KW_PER_GPU, Deployment, Site, sized_site
    from g2g_opt.summary import Summary
    from g2g_opt.verdict import Criterion, LimitCheck, Verdict

__version__ = "0.2.0"

# Where each public name is; `tests/contract/test_public_surface.py` holds it, the imports above and `__all__` together.
_PLACES = {
    "g2g_opt.base_case": ("solve_base_case",),
    "g2g_opt.consent": ("Consent", "give_consent"),
    "g2g_opt.controller.base": ("Controller",),
    "g2g_opt.coordinator": ("Coordinator",),
    "g2g_opt.datacenter.config": ("InferenceModelSpec",),
    "g2g_opt.datacenter.workloads.measurements": ("measured_spec", "query_measurements"),
    "g2g_opt.errors": ("G2GError", "InputError", "PowerFlowError"),
    "g2g_opt.evaluation": ("evaluate",),
    "g2g_opt.failure": ("Failure", "FailureKind"),
    "g2g_opt.feeder": ("Feeder",),
    "g2g_opt.hourly_profile": ("HourlyProfile", "load_profile"),
    "g2g_opt.limits": ("Limits",),
    "g2g_opt.outcome": ("Evaluation", "Outcome"),
    "g2g_opt.plan": ("AdaptiveTaps", "PVUnit", "Plan", "Policy", "StorageUnit"),
    "g2g_opt.scenario": ("ReplicaShares", "Scenario", "TrainingOverlay"),
    "g2g_opt.simulation": ("simulate",),
    "g2g_opt.simulation_log": ("SimulationLog",),
    "g2g_opt.site": ("BASE_KW_PER_GPU", "Deployment", "Site", "sized_site"),
    "g2g_opt.summary": ("Summary",),
    "g2g_opt.verdict": ("Criterion", "LimitCheck", "Verdict"),
}
_PLACE_OF = {name: place for place, names in _PLACES.items() for name in names}

__all__ = [
    "BASE_KW_PER_GPU",
    "AdaptiveTaps",
    "Consent",
    "Controller",
    "Coordinator",
    "Criterion",
    "Deployment",
    "Evaluation",
    "Failure",
    "FailureKind",
    "Feeder",
    "G2GError",
    "HourlyProfile",
    "InferenceModelSpec",
    "InputError",
    "LimitCheck",
    "Limits",
    "Outcome",
    "PVUnit",
    "Plan",
    "Policy",
    "PowerFlowError",
    "ReplicaShares",
    "Scenario",
    "SimulationLog",
    "Site",
    "StorageUnit",
    "Summary",
    "TrainingOverlay",
    "Verdict",
    "__version__",
    "evaluate",
    "give_consent",
    "load_profile",
    "measured_spec",
    "query_measurements",
    "simulate",
    "sized_site",
    "solve_base_case",
]


def __getattr__(name: str) -> Any:
    place = _PLACE_OF.get(name)
    if place is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    found = getattr(import_module(place), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
