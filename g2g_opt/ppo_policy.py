"""`PPOPolicy`: a neural policy of batch sizes, trained by proximal policy optimisation, as plain data.

    z = clip((observation - mean) / scale, -clip, clip),  h <- tanh(W h + b) for all layers but the last,
    logits = W h + b, three for every output: one batch size down, hold, one up

What it sees and does is in `controller.ppo`; at run time it takes the likeliest action of each output.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from pydantic import ConfigDict, TypeAdapter, ValidationError

from g2g_opt.clock import as_period
from g2g_opt.errors import InputError
from g2g_opt.quantities import BatchSize, Figure, FigureScale, PeriodS, check_quantities
from g2g_opt.reading import parse_json, read_json

# Voltages of all monitored bus-phases; or lowest, highest and sum of exceedances, of every zone or of the feeder.
ObservationMode = Literal["full-voltage", "zone-summary", "system-summary"]
N_ACTIONS = 3


@dataclass(frozen=True)
class PPOOutput:
    """What three logits of the policy move: the batch size of `model` at `site` along its feasible `batch_sizes`."""

    site: str
    model: str
    batch_sizes: tuple[BatchSize, ...]

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.batch_sizes or any(a >= b for a, b in pairwise(self.batch_sizes)):
            raise InputError(f"output {self.model!r} at {self.site!r} needs batch_sizes that rise")


@dataclass(frozen=True)
class DenseLayer:
    """W (output, input) and b (output,) of a layer."""

    weight: tuple[tuple[Figure, ...], ...]
    bias: tuple[Figure, ...]

    def __post_init__(self) -> None:
        check_quantities(self)
        if not self.weight or len(self.bias) != len(self.weight) or len({len(row) for row in self.weight}) != 1:
            raise InputError(f"a layer's weight needs rows of one length, and a bias for each of {len(self.weight)}")


@dataclass(frozen=True)
class PPOPolicy:
    """A policy as plain data: `mean`, `scale` and `clip` whiten what it observes; `layers` follow each other.

    It runs on `feeder` alone, at the sites, models and sizes of `outputs`, and acts every `step_s` as it was trained
    to. `nodes` are the bus-phases ("671.1") whose voltages it reads ("full-voltage"), `zones` the names of those it
    reads summaries of ("zone-summary"). Raises `InputError` for shapes that do not fit and figures that are not
    finite.
    """

    feeder: str
    observation: ObservationMode
    outputs: tuple[PPOOutput, ...]
    mean: tuple[Figure, ...]
    scale: tuple[FigureScale, ...]
    clip: FigureScale
    layers: tuple[DenseLayer, ...]
    nodes: tuple[str, ...] = ()
    zones: tuple[str, ...] = ()
    step_s: PeriodS = Fraction(1)
    about: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "step_s", as_period(self.step_s, "a PPO policy", "step_s"))
        check_quantities(self)
        if self.observation not in get_args(ObservationMode):
            raise InputError(f"observation {self.observation!r} is unknown; known: {list(get_args(ObservationMode))}")
        if not self.outputs or len(set(self.outputs)) < len(self.outputs):
            raise InputError("a PPO policy needs outputs, each once")
        if bool(self.nodes) != (self.observation == "full-voltage"):
            raise InputError("nodes belong to the observation 'full-voltage', which needs them")
        if bool(self.zones) != (self.observation == "zone-summary"):
            raise InputError("zones belong to the observation 'zone-summary', which needs them")
        n, n_actions = len(self.mean), N_ACTIONS * len(self.outputs)
        wanted = observation_width(len(self.nodes), len(self.zones), len(self.outputs))
        if not len(self.scale) == n == wanted:
            raise InputError(f"a PPO policy that observes {wanted} figures has {n} as mean and {len(self.scale)} scale")
        if not self.layers:
            raise InputError("a PPO policy needs layers")
        for layer in self.layers:
            if len(layer.weight[0]) != n:
                raise InputError(f"a layer of a PPO policy takes {len(layer.weight[0])} figures where {n} come in")
            n = len(layer.bias)
        if n != n_actions:
            raise InputError(f"the layers of a PPO policy end in {n} figures; {n_actions} belong to its outputs")

    def to_json(self) -> str:
        """All of it as text."""
        return json.dumps(asdict(self) | {"step_s": str(self.step_s)})

    @staticmethod
    def load(path: str | Path) -> PPOPolicy:
        """The policy in a file of what `to_json` made; `InputError` names what does not fit."""
        return _of_plain(read_json(Path(path), "PPO policy"), f"PPO policy {path}")

    @staticmethod
    def from_json(text: str) -> PPOPolicy:
        """The policy of a text that `to_json` made; `InputError` as of `load`."""
        return _of_plain(parse_json(text, "a PPO policy"), "a PPO policy")


def observation_width(n_nodes: int, n_zones: int, n_outputs: int) -> int:
    """How many figures a policy observes: voltages, three of every zone or of the feeder, five of every output."""
    return n_nodes + 3 * max(1, n_zones) + FIGURES_PER_OUTPUT * n_outputs


FIGURES_PER_OUTPUT = 5


def _of_plain(found: object, where: str) -> PPOPolicy:
    if not isinstance(found, dict):
        raise InputError(f"{where} is no JSON object")
    known = PPOPolicy.__dataclass_fields__
    if strangers := sorted(set(found) - set(known)):
        raise InputError(f"{where} has the entry {strangers[0]!r}, which no PPO policy has")
    try:
        # In a tuple, because a type that has a configuration of its own takes none from an adapter.
        return TypeAdapter(tuple[PPOPolicy], config=ConfigDict(strict=False)).validate_python((found,))[0]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"][1:])
        cause = first.get("ctx", {}).get("error")
        words = str(cause) if isinstance(cause, InputError) else first["msg"]
        raise InputError(f"{where}{f', {place}' if place else ''}: {words}") from error
