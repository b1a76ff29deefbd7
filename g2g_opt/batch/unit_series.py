"""PV systems, generators and storage of the circuit over the hours of a batch's scenarios (see `OwnUnits`)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from g2g_opt.batch.attached_kernel import FollowedShares
from g2g_opt.batch.network import Network
from g2g_opt.batch.unsupported import UnsupportedByBatch
from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.inverters import panel_series_kw
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.own_storage import idling_commands
from g2g_opt.grid.setup import GridSetup
from g2g_opt.held_series import HeldSeries, UnitShares

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Series = TypeVar("Series", bound=Hashable)

# The sun under which PV systems do what they state, in which storage idles.
STATED_SUN = HeldSeries((1.0,), 1.0)
# A power (W, var) that is none.
_NOTHING = 1e-6


def unit_commands(setups: Sequence[GridSetup]) -> tuple[str, ...]:
    """The commands that build the circuit of some setups; where units follow hours, storage idles."""
    commands = tuple(setups[0].commands())
    if all(setup.own_sun_share is None for setup in setups):
        return commands
    idle = _idling(commands)
    if idle and any(setup.own_sun_share is None for setup in setups):
        raise UnsupportedByBatch("storage of the circuit idles in some scenarios of the batch alone")
    return (*commands, *idle)


@lru_cache(maxsize=16)
def _idling(commands: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(idling_commands(Circuit(commands)))


@dataclass(frozen=True, eq=False)
class UnitPoints:
    """Shares at points or steps (point,): `sun` of the irradiance of PV systems, and those of the elements in
    `by_element`, as in `UnitShares`.
    """

    sun: Floats
    by_element: Mapping[str, Floats] = field(default_factory=dict)

    def held(self) -> UnitShares:
        """The same as series in which point k is second k."""
        return UnitShares(
            _second_by_second(self.sun), tuple((k, _second_by_second(x)) for k, x in self.by_element.items())
        )


def _second_by_second(share: Floats) -> HeldSeries:
    return HeldSeries(tuple(np.asarray(share, dtype=np.float64).tolist()), 1.0)


def followers(series: Sequence[Series | None]) -> tuple[list[Series], Ints, Ints]:
    """Every different series once, the slots that follow one, and which of them each of those follows."""
    kinds = {one: k for k, one in enumerate(dict.fromkeys(one for one in series if one is not None))}
    told = [(slot, kinds[one]) for slot, one in enumerate(series) if one is not None]
    slots, kind = (np.array([row[k] for row in told], dtype=np.int64) for k in range(2))
    return list(kinds), slots, kind


def shares_at(commands: tuple[str, ...], network: Network, units: UnitPoints | None, n_points: int) -> Floats:
    """Shares of all that units do as compiled (part, point), behind those of the loads; as compiled without `units`.

    Raises `UnsupportedByBatch` as `UnitSeries`.
    """
    found = np.tile(np.array(network.share_starts)[:, None], n_points)
    if units is not None and network.unit_shares:
        UnitSeries(commands, network, [units.held()]).fill(found)
    return found


class UnitSeries:
    """Shares of what units do as compiled, over time: of irradiance for PV systems, of their power for generators.

    What an inverter makes of an irradiance (efficiency, cut-in, limits) is asked of OpenDSS. Of those that a control
    steers (`steered`) only what their panels give is told. Raises `UnsupportedByBatch` for one whose reactive power
    appears with the sun, and for a steered one that is on or off by what it was before.
    """

    def __init__(
        self,
        commands: tuple[str, ...],
        network: Network,
        shares: Sequence[UnitShares | None],
        steered: Sequence[str] = (),
    ) -> None:
        self._first = len(network.load_shapes)
        columns = [k for k, share in enumerate(network.unit_shares) if share.element not in steered]
        self._columns, self._n_slots = np.array(columns, dtype=np.int64), len(shares)
        # By kind and steered inverter: the sun it follows, and what its panels give at each of the sun's values.
        self._panels: list[list[tuple[HeldSeries, Floats, Floats]]] = []
        kinds, self._slots, self._kind = followers(shares)
        # By kind and part of a unit: the series it follows, and its power at each of the series' values.
        self._series: list[list[tuple[HeldSeries, Floats, Floats] | None]] = []
        if not network.unit_shares or not kinds:
            self._slots = self._slots[:0]
            return
        for one in kinds:
            own = dict(one.by_element)
            of_kind: list[tuple[HeldSeries, Floats, Floats] | None] = []
            self._panels.append([_panel(commands, element, own.get(element, one.sun)) for element in steered])
            for share in (network.unit_shares[k] for k in columns):
                series = own.get(share.element, one.sun if share.element.startswith("pvsystem.") else None)
                if series is None:
                    of_kind.append(None)
                    continue
                if share.part == "reactive" and share.element.startswith("generator."):
                    raise UnsupportedByBatch(f"{share.element} holds a voltage and follows a shape as well")
                values = np.unique(series.values)
                answer = values
                if share.element.startswith("pvsystem."):
                    answer = _answers(commands, share.element, tuple(values.tolist()))[share.part]
                of_kind.append((series, values, answer))
            self._series.append(of_kind)

    @property
    def n_values(self) -> int:
        """Shares of a step, of all kinds of scenarios together."""
        return len(self._series) * len(self._columns)

    def followed(self, n_steps: int) -> FollowedShares:
        """Room for the shares of so many steps (see `lay_out`), and where they go."""
        table = np.zeros((n_steps, len(self._series), len(self._columns)))
        return FollowedShares(table, self._slots, self._kind, self._first + self._columns)

    def lay_out(self, times_s: Floats, followed: FollowedShares) -> None:
        """Write the shares at times (s) of successive steps."""
        for kind, of_kind in enumerate(self._series):
            for column, one in enumerate(of_kind):
                followed.table[:, kind, column] = _at(one, times_s)

    def fill(self, shares: Floats) -> None:
        """Put the first scenario's shares in seconds 0, 1, ... into (part, second); what follows nothing stays."""
        time_s = np.arange(shares.shape[1], dtype=np.float64)
        for column, one in zip(self._columns.tolist(), self._series[0] if self._series else [], strict=False):
            if one is not None:
                shares[column] = _at(one, time_s)

    def panel_kw(self, time_s: float) -> Floats | None:
        """What the panels of steered inverters give at a time (inverter, scenario), NaN where no sun moves; None where
        none does anywhere.
        """
        if not len(self._slots) or not self._panels[0]:
            return None
        times = np.array([time_s])
        now = np.array([[_at(one, times)[0] for one in of_kind] for of_kind in self._panels])
        found = np.full((now.shape[1], self._n_slots), np.nan)
        found[:, self._slots] = now[self._kind].T
        return found


def _panel(commands: tuple[str, ...], element: str, series: HeldSeries) -> tuple[HeldSeries, Floats, Floats]:
    values = np.unique(series.values)
    return series, values, _panel_answers(commands, element, tuple(values.tolist()))


@lru_cache(maxsize=64)
def _panel_answers(commands: tuple[str, ...], element: str, values: tuple[float, ...]) -> Floats:
    """What a PV system's panels give (kW) at shares of its irradiance."""
    circuit = Circuit(commands)
    circuit.finish()
    cut_in, cut_out, stated = (
        float(circuit.ask_property(f"{element}.{p}")) for p in ("%cutin", "%cutout", "irradiance")
    )
    if cut_in != cut_out:
        raise UnsupportedByBatch(f"{element} is steered, and on or off by what it was before (%cutin, %cutout)")
    return panel_series_kw(circuit, element, [stated * share for share in values])


def _at(one: tuple[HeldSeries, Floats, Floats] | None, times_s: Floats) -> Floats:
    if one is None:
        return np.ones(len(times_s))
    series, values, answer = one
    return np.asarray(answer[np.searchsorted(values, series.at(times_s))])


@lru_cache(maxsize=64)
def _answers(commands: tuple[str, ...], element: str, values: tuple[float, ...]) -> dict[str, Floats]:
    """Active and reactive power of a PV system at shares of its irradiance, as shares of what it does as compiled."""
    inverter = _inverter(commands, element)
    compiled = inverter.power(1.0)
    found = np.array([inverter.power(share) for share in values])
    if abs(compiled.imag) < _NOTHING and np.abs(found.imag).max(initial=0.0) >= _NOTHING:
        raise UnsupportedByBatch(f"{element} has reactive power at other irradiances than the one it states")
    active = found.real / compiled.real if abs(compiled.real) >= _NOTHING else np.ones(len(values))
    if abs(compiled.real) < _NOTHING and np.abs(found.real).max(initial=0.0) >= _NOTHING:
        raise UnsupportedByBatch(f"{element} gives nothing at the irradiance it states, and something at others")
    reactive = found.imag / compiled.imag if abs(compiled.imag) >= _NOTHING else np.ones(len(values))
    return {"active": active, "reactive": reactive, "all": active}


class _Inverter:
    """Asks OpenDSS, once for each, what a PV system gives (kW and kvar) at shares of the irradiance that it states."""

    def __init__(self, circuit: Circuit, element: str) -> None:
        self._circuit, self._element = circuit, element
        self._name = element.partition(".")[2].encode()
        self._stated = float(circuit.ask_property(f"{element}.irradiance"))
        self._known: dict[float, complex] = {}

    def power(self, share: float) -> complex:
        """kW and kvar at a share."""
        if share not in self._known:
            # An edit makes OpenDSS work out what the inverter gives, as a solution would.
            self._circuit.command(f"Edit {as_word(self._element)} irradiance={self._stated * share:.12g}")
            self._circuit.ask("PVSystems_Set_Name", self._name)
            kw, kvar = (float(self._circuit.ask(f"PVSystems_Get_{figure}")) for figure in ("kW", "kvar"))
            self._known[share] = complex(kw, kvar)
        return self._known[share]


@lru_cache(maxsize=1)
def _asked(commands: tuple[str, ...]) -> Circuit:
    """A circuit of which PV systems are asked: each is told its irradiance first, whatever others are at."""
    circuit = Circuit(commands)
    circuit.finish()
    return circuit


@lru_cache(maxsize=256)
def _inverter(commands: tuple[str, ...], element: str) -> _Inverter:
    return _Inverter(_asked(commands), element)
