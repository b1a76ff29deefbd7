"""`ControllerChoice`: a controller to compare, as plain data; `ParameterSweep`: one figure of it over values."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder_policy import FeederPolicy
from g2g_opt.plan import Policy, PolicyKind
from g2g_opt.ppo_policy import PPOPolicy
from g2g_opt.quantities import Figure, GpuCount, MarginPu
from g2g_opt.reading import absolute_path, finite_number
from studies.shared.question_model import question_model

# A schedule knows the hour beforehand: nothing to compare with controllers.
KINDS = tuple(kind for kind in get_args(PolicyKind) if kind != "schedule")
CHOICE_SYNTAX = "KIND[:NAME=X,...]"
SWEEP_SYNTAX = "KIND[:NAME=X,...]:NAME=X1,X2,..."
_MARGIN, _SHIFT, _FILE = "margin", "load-shift", "file"


@question_model
class ControllerChoice:
    """A controller of a `kind` at every site, with `settings` that override its tuning, a margin to the band, replicas
    of so many GPUs shifted at a step (None: no shifts), and for the kinds contextual and ppo the file of a policy.
    """

    kind: PolicyKind
    settings: tuple[tuple[str, Figure], ...] = ()
    margin_pu: MarginPu = 0.0
    load_shift_gpus: GpuCount | None = None
    policy_file: str | None = None

    @property
    def name(self) -> str:
        """What it is called in tables: its kind, and what of it is not usual."""
        more = [f"{name}={value:g}" for name, value in self.settings]
        more += [f"{_MARGIN}={self.margin_pu:g}"] * bool(self.margin_pu)
        more += [f"{_SHIFT}={self.load_shift_gpus}"] * (self.load_shift_gpus is not None)
        return f"{self.kind}:{','.join(more)}" if more else self.kind

    def policy(self) -> Policy:
        """The policy of a plan; `InputError` for a file that holds none, and for parts that do not fit together."""
        file = self.policy_file
        if file is None and self.kind in ("ppo", "contextual"):
            raise InputError(f"controller {self.name!r} needs the file of a trained policy: {self.kind}:file=FILE")
        return Policy(
            self.kind,
            margin_pu=self.margin_pu,
            settings=self.settings,
            contextual=FeederPolicy.load(file) if file is not None and self.kind != "ppo" else None,
            ppo=PPOPolicy.load(file) if file is not None and self.kind == "ppo" else None,
            load_shift_gpus=self.load_shift_gpus,
        )

    def with_figure(self, name: str, value: float) -> ControllerChoice:
        """The same with another margin, or another figure of its tuning."""
        if name == _MARGIN:
            return replace(self, margin_pu=value)
        return replace(self, settings=(*((n, x) for n, x in self.settings if n != name), (name, value)))

    @staticmethod
    def parse(text: str) -> ControllerChoice:
        """Of `CHOICE_SYNTAX`, e.g. "ofo:w_throughput=0.001,margin=0.002"; `InputError` for anything else."""
        kind, _, figures = text.partition(":")
        known = next((known for known in KINDS if known == kind), None)
        if known is None:
            raise unknown_name("controller", kind, KINDS)
        choice = ControllerChoice(known)
        for part in figures.split(",") if figures else []:
            name, sign, value = part.partition("=")
            where = f"controller {text!r}"
            if not sign or not name.strip():
                raise InputError(f"{where} cannot be read; write {CHOICE_SYNTAX}, e.g. ofo:w_throughput=0.001")
            if name == _FILE:
                choice = replace(choice, policy_file=str(absolute_path(value, where)))
            elif name == _SHIFT:
                choice = replace(choice, load_shift_gpus=int(finite_number(value, where)))
            else:
                choice = choice.with_figure(name.strip(), finite_number(value, where))
        return choice


@question_model
class ParameterSweep:
    """A controller at every one of `values` of its parameter `name` (a figure of its tuning, or "margin")."""

    controller: ControllerChoice
    name: str
    values: tuple[Figure, ...]

    def choices(self) -> tuple[ControllerChoice, ...]:
        """The controllers that are compared."""
        return tuple(self.controller.with_figure(self.name, value) for value in self.values)

    @staticmethod
    def parse(text: str) -> ParameterSweep:
        """Of `SWEEP_SYNTAX`, e.g. "ofo:w_throughput=0.0001,0.001"; `InputError` for anything else."""
        head, sign, figures = text.rpartition("=")
        of, colon, name = head.rpartition(":")
        if not sign or not colon or not name:
            raise InputError(f"sweep {text!r} cannot be read; write {SWEEP_SYNTAX}, e.g. ofo:w_throughput=0.0001,0.001")
        values = tuple(finite_number(value, f"sweep {text!r}") for value in figures.split(","))
        return ParameterSweep(ControllerChoice.parse(of), name, values)
