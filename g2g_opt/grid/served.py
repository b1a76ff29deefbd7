"""Is what was served what was asked? (equation 5.2)"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.elements import load_branches
from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.failure import Failure, FailureKind
from g2g_opt.grid.attachments import Attachment

Complexes = NDArray[np.complex128]
Floats = NDArray[np.float64]

LOW_PU = 0.5  # OpenDSS's `vlowpu` where nobody states one, as at everything that is attached
SERVED_TOLERANCE = 1e-3  # share of the asked power that may be missing


class ServedCheck:
    """Finds what was attached and served something else than it asked for, over whole stretches of solutions.

    What a load branch draws follows from its voltage (equation 5.1): S inside its window, an impedance outside. So the
    check needs no further answer of OpenDSS. `unserved_steps` counts the solutions in which something attached got more
    than 0.1 % less or more than it asked for; `worst` is the worst one, `first` the first (None without).
    """

    def __init__(self, circuit: Circuit, attachments: Sequence[Attachment]) -> None:
        self._attachments = list(attachments)
        pairs = [(a, first, second) for a in attachments for first, second in a.pairs]
        self._first = np.array([circuit.node_index[a.bus, first] for a, first, _ in pairs], dtype=np.int64)
        second = [circuit.node_index[a.bus, second] if second else -1 for a, _, second in pairs]
        self._second = np.array(second, dtype=np.int64)
        self._base_v = np.array([1e3 * a.base_kv for a, _, _ in pairs])
        self._low_pu = np.array([a.window_pu[0] for a, _, _ in pairs])
        self._high_pu = np.array([a.window_pu[1] for a, _, _ in pairs])
        self.unserved_steps = 0
        self.worst: Failure | None = None
        self.first: Failure | None = None
        self._worst_missing = 0.0

    def check(self, time_s: Floats, phasors: Complexes, asked_kw: Floats) -> None:
        """Look at solutions (step, node) in which `asked_kw` (step, injection) was asked for at `time_s` (step,)."""
        volts = phasors[:, self._first]
        if (self._second >= 0).any():
            volts = volts - np.where(self._second >= 0, phasors[:, self._second], 0.0)
        voltage_pu = np.abs(volts) / self._base_v
        if (voltage_pu >= self._low_pu).all() and (voltage_pu <= self._high_pu).all():
            return
        share = served_share(voltage_pu, self._low_pu, self._high_pu)
        missing = np.where(asked_kw != 0.0, np.abs(share - 1.0), 0.0)
        steps = np.flatnonzero(missing.max(axis=1) > SERVED_TOLERANCE)
        if len(steps) == 0:
            return

        def unserved(step: int) -> Failure:
            place = int(missing[step].argmax())
            return not_served(
                float(time_s[step]),
                self._attachments[place // 3],
                place % 3,
                float(asked_kw[step, place]),
                float(share[step, place]),
                float(voltage_pu[step, place]),
                (float(self._low_pu[place]), float(self._high_pu[place])),
            )

        self.unserved_steps += len(steps)
        self.first = self.first or unserved(int(steps[0]))
        worst = int(missing.max(axis=1).argmax())
        if missing[worst].max() > self._worst_missing:
            self._worst_missing, self.worst = float(missing[worst].max()), unserved(worst)


def not_served(
    time_s: float,
    attachment: Attachment,
    phase: int,
    asked_kw: float,
    share: float,
    voltage_pu: float,
    window_pu: tuple[float, float],
) -> Failure:
    """What an attachment asked for on a phase (0 to 2), what it was served, and at which voltage."""
    return Failure(
        FailureKind.NOT_SERVED,
        f"{attachment.name} phase {'ABC'[phase]} at bus {attachment.bus}",
        time_s,
        f"asked for {asked_kw:.1f} kW and was served {share * asked_kw:.1f} kW at {voltage_pu:.4f} pu (constant power "
        f"from {window_pu[0]:g} to {window_pu[1]:g} pu)",
    )


class OwnLoadCheck:
    """The circuit's own constant-power loads (OpenDSS model 1): when do they leave their window?

    Their windows are the circuit's data, so they are recorded and fail nothing. Loads of other models draw by their
    voltage anyway and have no power to be held to.
    """

    def __init__(self, circuit: Circuit) -> None:
        rows = [
            (load, first, second)
            for load in load_branches(circuit)
            if load.model == 1 and load.kw != 0.0
            for first, second in load.branch_nodes()
        ]
        self._names = [load.name for load, _, _ in rows]
        # Place 0 of the extended voltages is ground.
        self._first = np.array([first + 1 for _, first, _ in rows], dtype=np.int64)
        self._second = np.array([second + 1 for _, _, second in rows], dtype=np.int64)
        self._base_v = np.array([load.branch_base_v for load, _, _ in rows])
        edges_pu = [(*load.window_pu, load.low_pu) for load, _, _ in rows]
        self._edges_pu = tuple(np.array(edges_pu).reshape(-1, 3).T)
        self.worst = ""
        self._unserved_s: list[Floats] = []
        self._worst_missing = 0.0

    @property
    def unserved_steps(self) -> int:
        """Solutions in which some load was outside its window."""
        return sum(map(len, self._unserved_s))

    def unserved_before(self, time_s: float) -> int:
        """Such solutions before a time (s)."""
        return sum(int((part < time_s).sum()) for part in self._unserved_s)

    def check(self, time_s: Floats, phasors: Complexes) -> None:
        """Look at solutions (step, node) at `time_s` (step,)."""
        if not self._names or len(time_s) == 0:
            return
        extended = np.concatenate([np.zeros((len(phasors), 1)), phasors], axis=1)
        voltage_pu = np.abs(extended[:, self._first] - extended[:, self._second]) / self._base_v
        share = served_share(voltage_pu, *self._edges_pu)
        missing = np.abs(share - 1.0)
        steps = np.flatnonzero(missing.max(axis=1) > SERVED_TOLERANCE)
        self._unserved_s.append(time_s[steps])
        step, load = np.unravel_index(int(missing.argmax()), missing.shape)
        if len(steps) and missing[step, load] > self._worst_missing:
            self._worst_missing = float(missing[step, load])
            self.worst = (
                f"load {self._names[load]} was served {100.0 * share[step, load]:.1f} % at t={time_s[step]:g} s, "
                f"{voltage_pu[step, load]:.4f} pu"
            )


def served_share(voltage_pu: Floats, min_pu: Floats, max_pu: Floats, low_pu: Floats | float = LOW_PU) -> Floats:
    """Served over asked power of model-1 load branches at voltages in pu of the branch's base, by equation 5.2.

    Between `min_pu` and `max_pu` all is served, up to `low_pu` (OpenDSS's `vlowpu`) the power of an impedance, and
    between `low_pu` and `min_pu`, if there is anything, that of a current that is linear in the voltage.
    """
    rising = min_pu > low_pu
    steep = (1.0 / np.where(rising, min_pu, 1.0) - low_pu) / np.where(rising, min_pu - low_pu, 1.0)
    between = voltage_pu * (low_pu + steep * (voltage_pu - low_pu))
    above = np.where(voltage_pu > max_pu, (voltage_pu / max_pu) ** 2, 1.0)
    share = np.where(rising & (voltage_pu < min_pu), between, above)
    return np.where(voltage_pu <= low_pu, voltage_pu**2, share)
