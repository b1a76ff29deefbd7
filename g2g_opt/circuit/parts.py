"""Parts of a compiled circuit as plain figures."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


def phase_letter(phase: int) -> str:
    """Letter A to C for node numbers 1 to 3, the number itself of another conductor; empty for none (0)."""
    if phase <= 0:
        return ""
    return "ABC"[phase - 1] if phase <= 3 else str(phase)


def phase_number(letter: str) -> int:
    """The node number of a letter or number that `phase_letter` gave."""
    return "ABC".index(letter) + 1 if letter in ("A", "B", "C") else int(letter)


@dataclass(frozen=True)
class Bus:
    """A bus: node numbers of its phases (1 to 3, others where the file numbers them so), base (kV, line to neutral) and
    drawing coordinates, if it has any.

    `neutral` is the node number of its neutral conductor (0: ground is the neutral); `three_wire` says that it has no
    neutral: no path for zero-sequence current, so that voltages are judged and sites connected phase to phase.
    `floats` says that it is for want of such a path, and not by voltages to ground as of a delta with a high leg.
    `legs` says that two phases are the legs of one winding, 180 degrees apart, as of a 120/240 V service, with no other
    phase or a high leg (208 V to the neutral, 240 V to either leg) beside them.
    `zero_over_positive` is its zero- over its positive-sequence impedance where zero-sequence current has a path, but a
    poor one (0 elsewhere): a neutral point that is earthed through an impedance.
    `unserved` are nodes 1 to 3 that no source reaches, `beyond` conductors under voltage, numbered above 3, at a bus
    without neutral: no limit looks at them. A compiled circuit lists all its nodes from 1 to 3 as phases
    until `node_roles.classify_buses` tells them apart.
    """

    name: str
    phases: tuple[int, ...]
    kv_ln: float
    xy: tuple[float, float] | None
    neutral: int = 0
    three_wire: bool = False
    unserved: tuple[int, ...] = ()
    legs: bool = False
    beyond: tuple[int, ...] = ()
    zero_over_positive: float = 0.0
    floats: bool = False

    @property
    def three_phases(self) -> tuple[int, ...]:
        """Node numbers of the first three phases, at which a three-phase site is connected; none if it has fewer."""
        return self.phases[:3] if len(self.phases) >= 3 else ()

    @property
    def kv_between_phases(self) -> float:
        """Base of a voltage from phase to phase (kV): twice that to neutral between legs, else 1.73 times it."""
        return self.kv_ln * (2.0 if self.legs else math.sqrt(3.0))

    def voltage_name(self, phase: int) -> str:
        """Name of the voltage that is judged at a phase: "A", or from phase to phase "AB"."""
        if not self.three_wire:
            return phase_letter(phase)
        return "".join(phase_letter(n) for pair in self.judged_pairs() if pair[0] == phase for n in pair)

    def judged_pairs(self) -> tuple[tuple[int, int], ...]:
        """(phase, other) node numbers between which voltages are judged; 0 is ground."""
        if not self.three_wire:
            return tuple((phase, self.neutral) for phase in self.phases)
        if len(self.phases) == 2:
            return ((self.phases[0], self.phases[1]),)
        return tuple((phase, self.phases[(k + 1) % 3]) for k, phase in enumerate(self.phases))


@dataclass(frozen=True)
class Regulator:
    """A tap changer: that of `winding`; taps move from `tap_min_pu` to `tap_max_pu` in steps of `tap_step_pu`.

    Its control holds the voltage of `controlled_winding` (0: the same winding), at `bus`, on `phases`; `settings` say
    what else it does. `kind` is "transformer" or "autotrans".
    """

    name: str
    transformer: str
    winding: int
    bus: str
    phases: tuple[int, ...]
    tap_min_pu: float
    tap_max_pu: float
    tap_step_pu: float
    kind: str = "transformer"
    controlled_winding: int = 0
    settings: tuple[str, ...] = ()

    @property
    def element(self) -> str:
        """The element that it changes, "transformer.t"."""
        return f"{self.kind}.{self.transformer}"

    @property
    def direction(self) -> int:
        """1 if a higher ratio raises the controlled voltage, -1 if it lowers it: the changer is on another winding."""
        return 1 if self.controlled_winding in (0, self.winding) else -1

    def clipped(self, ratio_pu: float) -> float:
        """A ratio within the range: from between two steps, the last move ends at the end of the range."""
        return min(max(ratio_pu, self.tap_min_pu), self.tap_max_pu)


@dataclass(frozen=True, eq=False)
class Branch:
    """What carries current between buses: terminal currents are `yprim @ v[nodes]` (A from V); node -1 is ground.

    The ratings are the normal and emergency ampere ratings of the first terminal (0: none); OpenDSS's own, but for a
    line of unlike conductors, which OpenDSS rates by its first one (`opendss_rating_a`) and we each by its own, so that
    theirs are the weakest's here and `conductor_shares` how those of its phases stand to it (empty: all alike);
    `rating_is_stated` and `emergency_is_stated` tell stated ones from OpenDSS's defaults, `normal_over_nameplate` how
    much of its nameplate a transformer's normal rating is, `terminal_shares` how the ratings (A) of its terminals stand
    to that of the first one: of a transformer all windings are judged, of anything else one end. OpenDSS rates an
    autotransformer by its kVA over the voltage of its series winding; `through_rating_a` is its normal rating if its
    kVA is what passes through it (0: none).
    `closed`: current can flow in some phase; `has_open_conductor`: not in all.
    """

    kind: str
    name: str
    buses: tuple[str, ...]
    nodes: NDArray[np.int64]
    yprim: NDArray[np.complex128]
    n_conductors: int
    n_phases: int
    rating_a: float
    emergency_a: float
    closed: bool
    is_switch: bool
    rating_is_stated: bool = True
    has_open_conductor: bool = False
    normal_over_nameplate: float = 1.0
    emergency_is_stated: bool = True
    terminal_shares: tuple[float, ...] = (1.0,)
    opendss_rating_a: float = 0.0
    through_rating_a: float = 0.0
    conductor_shares: tuple[float, ...] = ()
    emergency_conductor_shares: tuple[float, ...] = ()


@dataclass(frozen=True, eq=False)
class LoadBranch:
    """One of the circuit's own loads: nodes of its conductors (-1 ground), OpenDSS load model, kV base as given,
    power (kW, kvar, all phases) and the window (pu) outside which it turns into an impedance (equation 5.1).

    `cvr_exponents` are those of P and Q (model 4), `zipv` the seven coefficients of model 8 (empty for others);
    below `low_pu` any model is a plain impedance. `fixed_kvar` are the vars of models 6 and 7, which follow no load
    level. `varies` is false for a load of status fixed or exempt, which no load share changes. `shape` is the load
    shape that it follows over a year: its yearly one, else its daily one; empty for none.
    """

    name: str
    nodes: NDArray[np.int64]
    n_phases: int
    is_delta: bool
    model: int
    kv: float
    kw: float
    kvar: float
    window_pu: tuple[float, float]
    cvr_exponents: tuple[float, float] = (1.0, 2.0)
    zipv: tuple[float, ...] = ()
    low_pu: float = 0.5
    varies: bool = True
    shape: str = ""
    fixed_kvar: float = 0.0

    def branch_nodes(self) -> list[tuple[int, int]]:
        """Node pairs (from, to) across which the load's branches lie; -1 is ground."""
        nodes = [int(n) for n in self.nodes]
        if not self.is_delta:
            neutral = nodes[self.n_phases] if len(nodes) > self.n_phases else -1
            return [(n, neutral) for n in nodes[: self.n_phases]]
        if self.n_phases == 1:
            return [(nodes[0], nodes[1] if len(nodes) > 1 else -1)]
        if self.n_phases == 2:  # open delta of two branches over three conductors
            return [(nodes[0], nodes[1]), (nodes[1], nodes[2])]
        return [(nodes[k], nodes[(k + 1) % 3]) for k in range(3)]

    @property
    def branch_base_v(self) -> float:
        """Base of a branch voltage (V): `kv` is line-to-line for two and three phases, the branch's own for one."""
        wye_of_several = not self.is_delta and self.n_phases > 1
        return 1e3 * self.kv / (np.sqrt(3.0) if wye_of_several else 1.0)


@dataclass(frozen=True, eq=False)
class LinearElement:
    """An element whose terminal currents are `yprim @ v[nodes]` (A from V); node -1 is ground."""

    kind: str
    name: str
    nodes: NDArray[np.int64]
    yprim: NDArray[np.complex128]
