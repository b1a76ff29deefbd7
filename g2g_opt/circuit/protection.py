"""Protection of a circuit, its fuses, reclosers and relays: held while no time passes, and watched at rest.

In a snapshot OpenDSS opens whatever protection sees its pickup, at once and whatever the delay: also while regulators
are still on their way. So devices are held until a circuit's own controls have come to rest. What would act there has
acted long before anybody counts time, and is named; from then on OpenDSS times every device itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from g2g_opt.circuit.element_names import as_word
from g2g_opt.circuit.element_positions import CONTROLS
from g2g_opt.circuit.element_properties import ElementProperties
from g2g_opt.circuit.elements import elements_of, in_service
from g2g_opt.circuit.fuses import FuseSettings, read_fuses
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.errors import PowerFlowError
from g2g_opt.failure import Failure, FailureKind

PROTECTION = ("fuse", "recloser", "relay")


@dataclass(frozen=True)
class PickedUp:
    """A protective device (kind.name) that acts where the circuit stands at rest, in words as well.

    `current_a` (A) is the highest of the phases at which it looks, `pickup_a` that from which on it acts: of a fuse the
    rating times the least multiple of its curve; None where it looks at something else than phase currents.
    """

    device: str
    element: str
    current_a: float
    pickup_a: float | None
    setting: str

    @staticmethod
    def of_fuse(fuse: FuseSettings, current_a: float) -> PickedUp:
        """A fuse that sees such a current (A)."""
        return PickedUp(f"fuse.{fuse.name}", fuse.element, current_a, fuse.pickup_a, fuse.setting)

    @property
    def failure(self) -> Failure:
        """Why there is no answer with it: what it sees, and from what on it acts."""
        detail = f"({self.current_a:.5g} A through {self.element}; {self.setting})"
        return Failure(FailureKind.PROTECTION_AT_REST, self.device, detail=detail)

    def __str__(self) -> str:
        return str(self.failure)


class Protection:
    """The fuses, reclosers and relays in service of a compiled circuit."""

    def __init__(self, circuit: Circuit) -> None:
        self._circuit = circuit
        self.devices = tuple(in_service(circuit, *PROTECTION))
        fuses = [device.partition(".")[2] for device in self.devices if device.startswith("fuse.")]
        self.fuses = read_fuses(circuit, fuses)
        self._breakers = tuple(device for device in self.devices if not device.startswith("fuse."))
        self._held: set[str] = set()

    @property
    def has_breakers(self) -> bool:
        """Whether there are reclosers or relays."""
        return bool(self._breakers)

    def hold(self) -> None:
        """Let nothing act, whatever it sees."""
        # Every change makes the engine build its matrices anew.
        for device in self.devices:
            if device not in self._held:
                self._circuit.command(f"Disable {as_word(device)}")
        self._held.update(self.devices)

    def release(self) -> None:
        """Let every device act as it is set."""
        self._release(self.devices)

    def _release(self, devices: Sequence[str]) -> None:
        for device in devices:
            if device in self._held:
                self._circuit.command(f"Enable {as_word(device)}")
        self._held.difference_update(devices)

    def open_devices(self) -> tuple[str, ...]:
        """Devices that have opened, of fuses also in part."""
        return tuple(
            device for device in self.devices if "open" in ElementProperties(self._circuit, device).text("state")
        )

    def molten(self) -> list[PickedUp]:
        """Fuses that melt by the latest solution, in which nothing is asked of the engine."""
        return [found for fuse in self.fuses if (found := self._molten(fuse)) is not None]

    def _molten(self, fuse: FuseSettings) -> PickedUp | None:
        current_a = self._current_a(fuse.element, 1, fuse.n_phases)
        return PickedUp.of_fuse(fuse, current_a) if current_a >= fuse.pickup_a else None

    def tripped(self) -> list[PickedUp]:
        """Reclosers and relays that act where everything else is at rest.

        The engine is asked: they are released for one more solution, which leaves them so; it must be a snapshot.
        """
        if not self._breakers:
            return []
        seen = {device: self._seen(device) for device in self._breakers}
        before = self.open_devices()
        self._release(self._breakers)
        self._circuit.solve_a_round()
        return [seen[device] for device in self.open_devices() if device in seen and device not in before]

    def _seen(self, device: str) -> PickedUp:
        own = ElementProperties(self._circuit, device)
        element = own.text("monitoredobj").lower()
        current_a = self._current_a(element, int(own.text("monitoredterm")), None)
        kind = "current" if device.startswith("recloser.") else own.text("type").lower()
        if kind != "current":
            return PickedUp(device, element, current_a, None, f"of type {kind}")
        phase_a, ground_a = own.number("phasetrip"), own.number("groundtrip")
        return PickedUp(
            device, element, current_a, phase_a, f"set to {phase_a:.6g} A a phase and {ground_a:.6g} A to ground"
        )

    def _current_a(self, element: str, terminal: int, n_phases: int | None) -> float:
        """Highest current (A) of an element's phases at a terminal."""
        circuit = self._circuit
        circuit.activate(element)
        own_phases = int(circuit.ask("CktElement_Get_NumPhases"))
        n_conductors = int(circuit.ask("CktElement_Get_NumConductors"))
        flat = circuit.ask_array("CktElement_Get_Currents", "double")
        first = (terminal - 1) * n_conductors
        phasors = (flat[0::2] + 1j * flat[1::2])[first : first + (own_phases if n_phases is None else n_phases)]
        return float(np.abs(phasors).max())

    def raise_at_rest(self) -> None:
        """`PowerFlowError` on the first device that acts where the circuit's own controls have come to rest.

        Everything is held; reclosers and relays are released then.
        """
        for found in (*self.molten(), *self.tripped()):
            raise PowerFlowError(found.failure)


def hold_other_controls(circuit: Circuit) -> None:
    """Let no control of a circuit act but its protection."""
    for control in elements_of(circuit, CONTROLS.keys() - set(PROTECTION)):
        circuit.command(f"Disable {as_word(control)}")


class ControlledCircuit:
    """A circuit whose own controls may act, with its protection held (see the module) before time counts.

    `opened` are the devices that have opened since, by name; some close again.
    """

    def __init__(self, circuit: Circuit, *, acts: bool) -> None:
        self._circuit = circuit
        self._protection = Protection(circuit) if acts else None
        self.opened: dict[str, None] = {}
        self._open_at_first: frozenset[str] = frozenset()
        if self._protection is not None:
            self._open_at_first = frozenset(self._protection.open_devices())
            self._protection.hold()

    def solve(self) -> None:
        """Solve; before the first step in time, controls come to rest.

        `PowerFlowError` as `Circuit.solve`, and where protection acts at rest.
        """
        circuit, protection = self._circuit, self._protection
        if protection is None:
            circuit.solve()
            return
        if circuit.settle(protection.raise_at_rest):
            protection.release()
        circuit.solve()
        if circuit.settles_each_step:
            protection.raise_at_rest()
            protection.hold()
        self.opened.update(dict.fromkeys(d for d in protection.open_devices() if d not in self._open_at_first))
