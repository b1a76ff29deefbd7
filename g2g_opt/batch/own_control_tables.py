"""What the circuit's own regulators and banks look at, and by which figures, as tables for kernels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch import capacitor_kernel as cap
from g2g_opt.batch import regulator_kernel as reg
from g2g_opt.batch.control_figures import cap_figures, reg_figures
from g2g_opt.batch.network import Network, TappedWinding
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.controls import CapControlSettings, RegControlSettings, winding_pairs
from g2g_opt.circuit.parts import LinearElement

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Complexes = NDArray[np.complex128]

_CAP_KINDS = {
    "current": cap.CURRENT,
    "voltage": cap.VOLTAGE,
    "kvar": cap.KVAR,
    "time": cap.TIME,
    "pf": cap.POWER_FACTOR,
}


class RegulatorTables(NamedTuple):
    """Tables of `regulator_kernel` that stay as they are."""

    settings: Floats  # (kind, control, figure)
    layout: Ints
    pairs: Ints
    columns: Ints
    y: Complexes
    changers: Ints


class BankTables(NamedTuple):
    """Tables of `capacitor_kernel` that stay as they are."""

    settings: Floats
    layout: Ints
    columns: Ints
    y: Complexes


class SensedNodes:
    """Nodes that controls look at, each once."""

    def __init__(self) -> None:
        self.nodes: list[int] = []
        self._place: dict[int, int] = {}

    def of(self, node: int) -> int:
        """The place of a node."""
        if node not in self._place:
            self._place[node] = len(self.nodes)
            self.nodes.append(node)
        return self._place[node]


def regulator_tables(
    regs: Sequence[RegControlSettings],
    kinds: Sequence[Sequence[RegControlSettings]],
    network: Network,
    places: SensedNodes,
) -> RegulatorTables:
    """Figures of regulators, which are set as one of the `kinds`, and what they look at.

    Raises `UnsupportedByBatch` for a control whose measurements are not modelled.
    """
    tapped = {w.element: w for w in network.tapped if w.kind == "transformer"}
    rows = {control.name: c for c, control in enumerate(regs)}
    figures = [[reg_figures(control) for control in kind] for kind in kinds]
    settings = np.array(figures).reshape(len(kinds), len(regs), reg.N_SETTINGS)
    layout = np.zeros((len(regs), reg.N_LAYOUT), dtype=np.int64)
    pairs: list[tuple[int, int]] = []
    columns: list[int] = []
    changers: list[int] = []
    y: list[Complexes] = []
    n_y = 0
    for c, control in enumerate(regs):
        winding = tapped.get(control.transformer)
        if winding is None:
            raise UnsupportedByBatch(f"RegControl {control.name} moves transformer {control.transformer}, not read")
        of_winding = winding_pairs(control, winding.nodes)
        own = layout[c]
        own[reg.PHASE] = control.pt_phase if control.pt_phase <= control.n_phases else 1
        own[reg.MAX_CHANGE], own[reg.INVERSE_TIME] = control.max_tap_change, control.inverse_time
        own[reg.IS_REMOTE], own[reg.COMPENSATES] = bool(control.bus), control.compensates_line_drop
        own[reg.REVERSIBLE], own[reg.COGENERATES] = control.reversible, control.cogeneration
        own[reg.TO_NEUTRAL] = control.reverse_neutral
        own[reg.OPPOSITE] = control.tap_winding != control.winding
        own[reg.LOCAL_PAIR] = len(pairs)
        pairs += [(places.of(a), places.of(b)) for a, b in of_winding]
        own[reg.PAIR], own[reg.N_PAIRS] = own[reg.LOCAL_PAIR], len(of_winding)
        if control.bus:
            own[reg.PAIR], own[reg.N_PAIRS] = len(pairs), 1
            a, b = _remote_pair(control, network)
            pairs.append((places.of(a), places.of(b)))
        if control.compensates_line_drop or control.watches_power:
            n_conductors = control.n_phases + 1
            first = (control.winding - 1) * n_conductors
            own[reg.COLUMN], own[reg.N_COLUMNS] = len(columns), len(winding.nodes)
            own[reg.ROW_COLUMN], own[reg.N_ROWS] = first, n_conductors
            own[reg.ADMITTANCE] = n_y
            own[reg.CHANGER], own[reg.N_CHANGERS] = len(changers), len(winding.regulators)
            columns += [places.of(int(node)) for node in winding.nodes]
            changers += [rows[name] for name in winding.regulators]
            y.append(winding.c[:, first : first + n_conductors].reshape(-1))
            n_y += len(y[-1])
    return RegulatorTables(
        settings,
        layout,
        np.array(pairs, dtype=np.int64).reshape(-1, 2),
        np.array(columns, dtype=np.int64),
        np.concatenate(y) if y else np.zeros(0, dtype=np.complex128),
        np.array(changers, dtype=np.int64),
    )


def _remote_pair(control: RegControlSettings, network: Network) -> tuple[int, int]:
    bus, *numbers = control.bus.split(".")
    node = {key: i for i, key in enumerate(network.nodes)}
    first = int(numbers[0]) if numbers else 1
    second = int(numbers[1]) if control.is_delta and len(numbers) > 1 else 0
    if control.is_delta and control.next_phase != 1:
        raise UnsupportedByBatch(f"RegControl {control.name} looks at a remote bus for a delta winding that lags")
    for number in (first, second):
        if number and (bus, number) not in node:
            raise UnsupportedByBatch(f"RegControl {control.name} looks at {bus}.{number}, which is no node")
    return node[bus, first], node[bus, second] if second else -1


def bank_tables(
    caps: Sequence[CapControlSettings],
    elements: Mapping[tuple[str, str], LinearElement],
    network: Network,
    places: SensedNodes,
) -> BankTables:
    """Figures of controls of banks, and what they look at; raises as `regulator_tables`."""
    tapped = {w.element: w for w in network.tapped if w.kind == "transformer"}
    settings = np.zeros((len(caps), cap.N_SETTINGS))
    layout = np.zeros((len(caps), cap.N_LAYOUT), dtype=np.int64)
    columns: list[int] = []
    y: list[Complexes] = []
    n_y = 0
    for c, control in enumerate(caps):
        kind, _, name = control.element.partition(".")
        element: LinearElement | TappedWinding | None = elements.get((kind, name))
        if element is None and kind == "transformer" and control.kind in ("voltage", "time"):
            element = tapped.get(name)
        looks_at_current = control.kind in ("current", "kvar", "pf")
        if element is None or (looks_at_current and kind == "capacitor"):
            raise UnsupportedByBatch(
                f"CapControl {control.name} looks at {control.element}, whose measurements are not modelled"
            )
        n_conductors = len(element.nodes) // control.element_terminals
        if max(control.pt_phase, control.ct_phase) > min(n_conductors, control.element_phases):
            raise UnsupportedByBatch(f"CapControl {control.name} looks at a phase that its element has not")
        settings[c] = cap_figures(control)
        own = layout[c]
        own[cap.KIND], own[cap.OVERRIDES] = _CAP_KINDS[control.kind], control.overrides_by_voltage
        own[cap.IS_DELTA] = control.is_delta
        own[cap.PT_PHASE], own[cap.CT_PHASE] = control.pt_phase, control.ct_phase
        own[cap.BANK_PHASES], own[cap.SEEN_PHASES] = control.n_phases, control.element_phases
        own[cap.COLUMN], own[cap.N_COLUMNS] = len(columns), len(element.nodes)
        own[cap.OFFSET], own[cap.N_CONDUCTORS] = (control.terminal - 1) * n_conductors, n_conductors
        own[cap.ADMITTANCE] = n_y
        columns += [places.of(int(node)) for node in element.nodes]
        if isinstance(element, LinearElement):
            y.append(element.yprim.reshape(-1))
            n_y += len(y[-1])
    return BankTables(
        settings,
        layout,
        np.array(columns, dtype=np.int64),
        np.concatenate(y) if y else np.zeros(0, dtype=np.complex128),
    )
