"""The question of what AI choices mean for a feeder, complete enough to rerun."""

from __future__ import annotations

from dataclasses import field, replace
from typing import Annotated, Literal

from g2g_opt.errors import unknown_name
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.limits import Limits
from g2g_opt.plan import Policy
from g2g_opt.quantities import PowerKw, PowerMw
from g2g_opt.scenario import TRAINING_FLAG, Scenario, TrainingOverlay
from studies.ai_choices.choices import CHOICE_SYNTAX, PUBLISHED_CHOICES, AIChoice
from studies.shared.question_fields import CircuitEdits, ExcludedBuses, FeederName, TraceFolder
from studies.shared.question_model import NounFlags, check_unused, question_model

DESCRIPTION = (
    "What the choice of a model, its precision, parallelism and GPU means for a feeder: fleets of equal peak power are "
    "simulated without coordination and under online feedback optimisation (power range, violation, tokens, misses), "
    "and for each choice the largest fleet that a bus can host is found, in tokens per second and MW."
)
EPILOG = (
    "Examples: g2g ai-choices --comparison model-size-on-B200 --bus 671; g2g ai-choices --choice "
    "mine=qwen3-8b@B200:lm-arena-chat:bfloat16:1:50 --limit-mw 5"
)
Sizing = Literal["measured", "curve", "logistic"]
# A fixed hour (OpenG2G paper, appendix E.1): 2,400 GPUs train at up to 400 W from 1,000 to 2,000 s, and replicas go
# down to a half from 2,500 to 3,000 s.
_TRAINING = TrainingOverlay(1000.0, 2000.0, n_gpus=2400, peak_w_per_gpu=400.0, shape="plateaus")
PUBLISHED_HOUR = Scenario(
    "published hour",
    replica_share_start=1.0,
    replica_ramps=((2500.0, 3000.0, 0.5),),
    standing_power=False,
    training=(_TRAINING,),
)
_TRAINING_FLAG = replace(TRAINING_FLAG, unset="2,400 GPUs at up to 400 W from 1,000 to 2,000 s")
_OFF = {"standing_power": "PV and loads of the feeder's own are off, as in the published hour"}
# Comparisons are written as one word.
_WORDS = {name.replace(", ", "-").replace(" ", "-"): name for name in (c.comparison for c in PUBLISHED_CHOICES)}


def _read_comparison(word: str) -> str:
    return _WORDS.get(word, word)


@question_model
class AIChoicesQuestion:
    """What do `choices` mean at `bus` of `feeder`?

    Without choices of one's own they are the published `comparisons` (all if none is named). Fleets are sized so that
    their GPUs' peak over the batch sizes that meet the target is `peak_mw`, by `sizing` from what was measured or from
    a curve, and run through `scenario` beside `base_kw` of facility load, beginning at the largest of these
    sizes. Then, for each choice, the largest fleet is searched that keeps `limits` and draws at most `limit_mw` at its
    peak, facility load in proportion, without coordination and under `policy`.
    """

    feeder: FeederName = "ieee13"
    exclude_buses: ExcludedBuses = ()
    edits: CircuitEdits = None
    bus: Annotated[str, Flag("--bus", "where the fleet stands")] = "671"
    choices: Annotated[
        tuple[AIChoice, ...],
        Flag(
            "--choice",
            "one of your own: what it is compared with, model, GPU, task, precision, GPUs per replica, target (ms)",
            metavar=CHOICE_SYNTAX,
            unset="the published comparisons",
            read=AIChoice.parse,
        ),
    ] = ()
    comparisons: Annotated[
        tuple[str, ...],
        Flag(
            "--comparison",
            f"only this published one: {', '.join(_WORDS)}",
            metavar="NAME",
            unset="all",
            read=_read_comparison,
        ),
    ] = ()
    peak_mw: Annotated[PowerMw, Flag("--peak-mw", "peak of every fleet's GPUs")] = 3.12
    base_kw: Annotated[PowerKw, Flag("--base-kw", "facility load beside such a fleet")] = 1500.0
    sizing: Annotated[
        Sizing, Flag("--sizing", "power that fleets are sized by: as measured, controllers' curve, or as published")
    ] = "measured"
    capacity: Annotated[bool, Flag("--no-capacity", "search no largest fleets")] = True
    limit_mw: Annotated[
        PowerMw | None, Flag("--limit-mw", "most that a hosted fleet may draw at its peak", unset="none")
    ] = None
    policy: Annotated[Policy, NounFlags("coordination")] = field(default_factory=lambda: Policy("ofo"))
    scenario: Annotated[Scenario, NounFlags("the run", without=_OFF, instead={"training": _TRAINING_FLAG})] = (
        PUBLISHED_HOUR
    )
    limits: Annotated[Limits, NounFlags("limits of hosted fleets")] = field(default_factory=Limits)
    trace_dir: TraceFolder = "data/specs"

    @property
    def seed(self) -> int:
        """The study seed, which keys all draws."""
        return self.scenario.seed

    def load_feeder(self) -> Feeder:
        """The feeder named by the question."""
        return Feeder.find(self.feeder, self.edits).excluding(self.exclude_buses)

    def compared(self) -> tuple[AIChoice, ...]:
        """The choices asked for; `InputError` for a comparison that there is not."""
        check_unused(self)
        known = {choice.comparison for choice in PUBLISHED_CHOICES}
        for name in self.comparisons:
            if name not in known:
                raise unknown_name("comparison", name, _WORDS)
        if self.choices:
            return self.choices
        return tuple(c for c in PUBLISHED_CHOICES if not self.comparisons or c.comparison in self.comparisons)

    def hosting_scenario(self) -> Scenario:
        """The run of hosted fleets: training takes the same share of their GPUs as of the published site's."""
        jobs = tuple(
            job if job.n_gpus is None else replace(job, n_gpus=None, gpu_share=min(1.0, job.n_gpus / 7200.0))
            for job in self.scenario.training
        )
        return replace(self.scenario, training=jobs)
