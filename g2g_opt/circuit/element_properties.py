"""`ElementProperties`: what a compiled circuit answers about one of its objects, as text, figures, phases or rows."""

from __future__ import annotations

from g2g_opt.circuit.opendss_circuit import Circuit

# What a control looks at where it does not name a phase.
_PHASES = {"min": -3, "max": -2, "avg": -1}


class ElementProperties:
    """Properties, by name, of an object ("Fuse.f"), as they are set now."""

    def __init__(self, circuit: Circuit, element: str) -> None:
        self._circuit, self._element = circuit, element

    def text(self, name: str) -> str:
        """As OpenDSS writes it, without blanks around."""
        return self._circuit.ask_property(f"{self._element}.{name}").strip()

    def number(self, name: str) -> float:
        """A figure."""
        return float(self.text(name))

    def yes(self, name: str) -> bool:
        """A switch."""
        return self.text(name).lower() in ("yes", "true")

    def phase(self, name: str) -> int:
        """A phase from 1 on, or -3, -2 and -1 for the lowest, the highest and the mean of all."""
        text = self.text(name).lower()
        return _PHASES[text] if text in _PHASES else int(text)

    def names(self, name: str) -> list[str]:
        """The names of a list, in lower case."""
        return [one.strip() for one in self.text(name).strip("[] ").lower().split(",") if one.strip()]

    def row(self, name: str) -> list[str]:
        """The words of an array, in lower case."""
        return self.text(name).strip("[] ").replace(",", " ").lower().split()
