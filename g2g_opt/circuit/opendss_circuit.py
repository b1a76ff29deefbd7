"""`Circuit`: one compiled OpenDSS circuit on an engine context of its own. The only file that talks to OpenDSS.

It calls the engine library that OpenDSSDirect.py itself wraps (`dss_python_backend`): the same engine and results, an
import of 20 ms instead of 400, and one call that sets the power of all injections at once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NoReturn

import numpy as np
from numpy.typing import NDArray

from g2g_opt.circuit.block_look import SolutionLook, look_at_none
from g2g_opt.circuit.element_names import INJECTION_PREFIX, as_word
from g2g_opt.circuit.engine_answers import json_of, text_of
from g2g_opt.circuit.engine_library import ffi, lib, new_context
from g2g_opt.circuit.parts import Bus, Regulator
from g2g_opt.circuit.rounding import allow_for_rounding
from g2g_opt.errors import InputError, PowerFlowError
from g2g_opt.failure import Failure, FailureKind

Floats = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_SINGULAR = re.compile(r'Inversion Error for (\w+) "([^"]+)"')
_OF_A_BUS = lib.ctx_Bus_Get_x, lib.ctx_Bus_Get_y, lib.ctx_Bus_Get_kVBase
_NAME_MAX = 255  # characters of a bus's name, behind which OpenDSS cuts it
# A new context would otherwise change the working directory of the process.
lib.DSS_Set_AllowChangeDir(False)

# Steps (s) so long that regulators, which wait for some ten to sixty seconds, have settled at their end.
SETTLED_DT_S = 300.0
# Rounds of control actions within which controls must have come to rest where no time passes. A volt-var inverter at
# full sun, whose kVA equal its panels', takes OpenDSS 212.
SETTLING_ROUNDS = 500
_ROUNDS_EXCEEDED = 485  # OpenDSS's number of that error
KEEP_YPRIM = 2  # SetterFlags_AvoidFullRecalc: a change of power goes into the compensation current only


class Circuit:
    """A circuit built from OpenDSS commands; several live side by side without disturbing each other.

    `tolerance` is OpenDSS's per-unit voltage change between iterations at which it stops. `regulator_control_dt_s`
    switches OpenDSS's own regulator controls on, with this much time passing at each solve (from `SETTLED_DT_S` on they
    settle within it); None leaves taps to us. `left_control_mode` is that in which the commands leave it, as they do
    the hour at which time begins.

    Node order (`node_bus`, `node_phase`) is OpenDSS's system order and fixed after `finish`.
    Raises `InputError` with OpenDSS's own words if a command fails.
    """

    def __init__(
        self,
        commands: Iterable[str],
        *,
        tolerance: float = 1e-4,
        max_iterations: int = 100,
        regulator_control_dt_s: float | None = None,
    ) -> None:
        self.context = new_context()
        self._error = lib.ctx_Error_Get_NumberPtr(self.context)
        lib.ctx_DSS_Set_AllowChangeDir(self.context, False)
        self.command("Clear")
        for text in commands:
            self.command(text)
        if lib.ctx_DSS_Get_NumCircuits(self.context) == 0:
            raise InputError("the OpenDSS commands define no circuit; the master file needs a 'New Circuit.' line")
        self.left_control_mode = self.command("Get controlmode").lower()
        self._control, self.controls_acted = regulator_control_dt_s is not None, False
        self.settles_each_step = regulator_control_dt_s is not None and regulator_control_dt_s >= SETTLED_DT_S
        self._settles = self._control and not self.settles_each_step
        self._begin = f"hour={self.command('Get hour')} sec={self.command('Get sec')}"  # a mode would begin at midnight
        if self.settles_each_step:
            self.command(f"Set Mode=Snapshot ControlMode=Static MaxControlIter={SETTLING_ROUNDS} {self._begin}")
        elif self._control:
            self.command(f"Set Mode=Time Stepsize={regulator_control_dt_s}s ControlMode=Time {self._begin}")
        else:
            self.command("Set ControlMode=Off")
        self._tightness = tolerance, max_iterations
        self.command(f"Set tolerance={tolerance} maxiterations={max_iterations}")
        self._injection_names: list[str] = []
        self._volts_pointer, self._volts_size = ffi.new("double**"), ffi.new("int32_t[4]")

    # --- talking

    def command(self, text: str) -> str:
        """Run one OpenDSS command and return its answer."""
        lib.ctx_Text_Set_Command(self.context, text.encode())
        if self._error[0] != 0:
            raise InputError(f"OpenDSS refused {text!r}: {self._told()}")
        return text_of(lib.ctx_Text_Get_Result(self.context))

    def ask_property(self, name: str) -> str:
        """What OpenDSS says of a property, such as "Load.a.kW"."""
        element, _, own = name.rpartition(".")
        if element.count(".") > 1:
            # In a question, a dot ends a name.
            self.command(f"Select {as_word(element)}")
            name = own
        return self.command(f"? {as_word(name)}")

    def select_winding(self, element: str, winding: int) -> None:
        """Let questions about an element such as "transformer.t" be about one of its windings."""
        self.command(f"Edit {as_word(element)} wdg={winding}")

    def _told(self) -> str:
        """OpenDSS's own words on its latest error, which is over then."""
        self._error[0] = 0
        words = " ".join(text_of(lib.ctx_Error_Get_Description(self.context)).split())
        found = _SINGULAR.search(words)
        return f"{found[1].lower()}.{found[2]} has a length or an impedance of zero" if found else words

    def _call(self, function: Any, *arguments: Any) -> Any:
        answer = function(self.context, *arguments)
        if self._error[0] != 0:
            raise PowerFlowError(Failure(FailureKind.ENGINE_ERROR, "OpenDSS", detail=self._told()))
        return answer

    def ask(self, question: str, *arguments: Any) -> Any:
        """The engine's own answer to a `question` such as "CktElement_Get_Enabled", about the active element."""
        return self._call(getattr(lib, f"ctx_{question}"), *arguments)

    def ask_array(self, question: str, kind: str) -> Any:
        """As `ask`, for an array: kind 'double' or 'int32_t' as numpy, 'char*' as strings."""
        return self._array(getattr(lib, f"ctx_{question}"), kind)

    def ask_text(self, question: str, *arguments: Any) -> str:
        """As `ask`, for a text; empty where the engine has none."""
        return text_of(self.ask(question, *arguments))

    def _array(self, function: Any, kind: str) -> Any:
        """A copy of an array result: 'double' or 'int32_t' as numpy, 'char*' as strings."""
        pointer, size = ffi.new(f"{kind}**"), ffi.new("int32_t[4]")
        self._call(function, pointer, size)
        n = size[0]
        if kind == "char*":
            names = [ffi.string(pointer[0][i]) for i in range(n)]
            lib.DSS_Dispose_PPAnsiChar(pointer, size[1])
            try:
                out: Any = [name.decode() for name in names]
            except UnicodeDecodeError as error:
                raise InputError(f"the name {error.object!r} is no UTF-8; save the circuit's files as UTF-8") from None
            return out
        out = np.array(list(pointer[0][0:n])) if n else np.empty(0)
        (lib.DSS_Dispose_PDouble if kind == "double" else lib.DSS_Dispose_PInteger)(pointer)
        return out

    # --- injections: single-phase constant-power loads whose power is set at every step

    def add_injection(
        self, name: str, bus: str, nodes: Sequence[int], kv: float, window_pu: tuple[float, float], kw: float = 0.0
    ) -> int:
        """Add a single-phase load between `nodes` of `bus` (one node: to neutral; two: phase to phase).

        `kv` is the base of that branch voltage; inside `window_pu` of it the load is constant power, outside an
        impedance (equation 5.1). Returns its place in the arrays of `set_injections`. Call before `finish`.
        """
        connection = "wye" if len(nodes) == 1 else "delta"
        place = as_word(".".join([bus, *map(str, nodes)]))
        self.command(
            f"New Load.{INJECTION_PREFIX}{name} bus1={place} phases=1 conn={connection} kV={kv:.6f} "
            f"kW={kw:.6f} kvar=0 model=1 vminpu={window_pu[0]:.12g} vmaxpu={window_pu[1]:.12g} status=fixed"
        )
        self._injection_names.append(name)
        return len(self._injection_names) - 1

    def finish(self) -> None:
        """Fix the node order and the injections; after this the circuit can be solved."""
        n = len(self._injection_names)
        self.injection_kw, self.injection_kvar = np.zeros(n), np.zeros(n)
        self._load_multiplier, self.load_share = float(lib.ctx_Solution_Get_LoadMult(self.context)), 1.0
        self._n_injections = 0
        if n:
            batch, size = ffi.new("void***"), ffi.new("int32_t[4]")
            lib.Batch_CreateByRegExpS(self.context, batch, size, b"Load", f"^{INJECTION_PREFIX}".encode())
            self._n_injections = size[0]
            if self._n_injections != n:
                raise InputError(
                    f"{size[0]} loads begin with {INJECTION_PREFIX!r} but {n} were added; rename the circuit's own"
                )
            self._batch = ffi.gc(batch[0], lib.Batch_Dispose)
            self._kw_pointer = ffi.cast("double*", self.injection_kw.ctypes.data)
            self._kvar_pointer = ffi.cast("double*", self.injection_kvar.ctypes.data)
        self._solve_function = lib.ctx_Solution_Solve if self._control else lib.ctx_Solution_SolveNoControl
        self.solve_anew()
        names = self._array(lib.ctx_Circuit_Get_YNodeOrder, "char*")
        self.node_bus = [name.rpartition(".")[0].lower() for name in names]
        self.node_phase = np.array([int(name.rpartition(".")[2]) for name in names])
        self.node_index = {
            (bus, int(p)): i for i, (bus, p) in enumerate(zip(self.node_bus, self.node_phase, strict=True))
        }
        self.buses = self._read_buses()
        longest = max(self.buses, key=len, default="")
        if len(longest) >= _NAME_MAX:
            raise InputError(
                f"the bus name {longest[:40]}... is too long: OpenDSS cuts names at {_NAME_MAX} characters"
            )
        # A bus without a base has no voltage in pu.
        base_v = np.array([1e3 * self.buses[bus].kv_ln for bus in self.node_bus])
        self.node_base_v = np.where(base_v > 0.0, base_v, np.nan)
        self.rounding = allow_for_rounding(self, *self._tightness)

    def set_injections(self) -> None:
        """Hand `injection_kw` and `injection_kvar` (consumption positive) to OpenDSS."""
        if self._n_injections:
            lib.Batch_SetFloat64ArrayS(self._batch, self._n_injections, b"kW", self._kw_pointer, KEEP_YPRIM)
            lib.Batch_SetFloat64ArrayS(self._batch, self._n_injections, b"kvar", self._kvar_pointer, KEEP_YPRIM)

    def set_load_share(self, share: float) -> None:
        """Let the circuit's own loads draw this share of their power; those of status fixed or exempt and the
        injections keep theirs.
        """
        if share != self.load_share:
            # The engine's own setter of this number leaves the loads as they are.
            self.command(f"Set LoadMult={self._load_multiplier * share:.17g}")
            self.load_share = share
            if not self._control:
                self._call(lib.ctx_Solution_InitSnap)

    def edit_injection(self, place: int, kw: float, kvar: float) -> None:
        """Give one injection a power and renew its admittance in the system matrix.

        A power set this way is the point the fixed-point iteration linearises around, so nearby powers converge in
        fewer iterations; `set_injections` leaves that point as it is.
        """
        self.command(f"Edit Load.{INJECTION_PREFIX}{self._injection_names[place]} kW={kw:.6f} kvar={kvar:.6f}")
        self.injection_kw[place], self.injection_kvar[place] = kw, kvar

    # --- solving and reading

    def solve_anew(self) -> None:
        """Solve with the controls holding still, generators and storage dispatched by the present load level.

        Without controls OpenDSS keeps that level as it was, at first none. What does not converge raises nothing.
        """
        self._call(lib.ctx_Solution_InitSnap)
        self._call(lib.ctx_Solution_SolveNoControl)

    def solve(self, *, held: bool = False) -> None:
        """Set the injections and solve; `held`: with the circuit's controls holding still and no time passing.

        `PowerFlowError` if OpenDSS did not converge, or its controls did not come to rest.
        """
        self.set_injections()
        (lib.ctx_Solution_SolveNoControl if held else self._solve_function)(self.context)
        if self._error[0] != 0 or not lib.ctx_Solution_Get_Converged(self.context):
            self.report_unsolved()
        # OpenDSS solves once more after every round of its controls that did something, and ends with one that did not.
        self.controls_acted |= lib.ctx_Solution_Get_ControlIterations(self.context) > 1

    def settle(self, at_rest: Callable[[], None]) -> bool:
        """Let the controls, if they act in time, come to rest before time is counted, and then call `at_rest`.

        Returns whether they did: later calls do nothing. `PowerFlowError` as `solve`.
        """
        if not self._settles:
            return False
        self._settles, self.controls_acted = False, True
        rounds = self.command("Get maxcontroliter")
        self.command(f"Set ControlMode=Static MaxControlIter={SETTLING_ROUNDS}")
        self.solve()
        at_rest()
        self.command(f"Set ControlMode=Time MaxControlIter={rounds} {self._begin}")
        return True

    def solve_block(
        self,
        kw: Floats,
        kvar: Floats,
        phasors: Complexes,
        load_share: Floats | None = None,
        look: SolutionLook = look_at_none,
    ) -> int:
        """Solve for every row of `kw` and `kvar` (solution, injection); node voltages (V) go into rows of `phasors`.

        `load_share` (solution,) is that of the circuit's own loads (see `set_load_share`). `look` is told the place of
        every solution, and ends the block with it by True. Returns how many were solved: fewer than asked for also if
        one did not converge, for `report_unsolved` to say why.
        """
        own_kw, own_kvar = self.injection_kw, self.injection_kvar
        solve, converged = self._solve_function, lib.ctx_Solution_Get_Converged
        for i in range(len(kw)):
            own_kw[:] = kw[i]
            own_kvar[:] = kvar[i]
            if load_share is not None:
                self.set_load_share(float(load_share[i]))
            self.set_injections()
            solve(self.context)
            if self._error[0] != 0 or not converged(self.context):
                return i
            phasors[i] = self.node_voltages()
            if look(i):
                return i + 1
        return len(kw)

    def report_unsolved(self) -> NoReturn:
        """Raise the `PowerFlowError` of a latest solution that did not converge."""
        if self._error[0] == _ROUNDS_EXCEEDED:
            self._error[0] = 0
            raise PowerFlowError(Failure(FailureKind.RESTLESS_CONTROLS))
        words = f": {self._told()}" if self._error[0] != 0 else ""
        detail = f"in {self.iterations} iterations{words}; the load is beyond what the circuit can carry"
        raise PowerFlowError(Failure(FailureKind.NOT_CONVERGED, detail=detail))

    def solve_a_round(self, *, held: bool = False) -> None:
        """Solve with the controls acting, or `held`, whatever comes of it."""
        (lib.ctx_Solution_SolveNoControl if held else lib.ctx_Solution_Solve)(self.context)
        self._error[0] = 0

    @property
    def converged(self) -> bool:
        """Whether the latest solve converged."""
        return bool(lib.ctx_Solution_Get_Converged(self.context))

    @property
    def iterations(self) -> int:
        """Iterations of the latest solve."""
        return int(lib.ctx_Solution_Get_Iterations(self.context))

    def node_voltages(self) -> Complexes:
        """Node voltages (V, to ground) of the latest solution in node order; a view, overwritten by the next call."""
        lib.ctx_Circuit_Get_YNodeVarray(self.context, self._volts_pointer, self._volts_size)
        if self._volts_pointer[0] != getattr(self, "_volts_seen", None):
            self._volts_seen = self._volts_pointer[0]
            self._volts = np.frombuffer(ffi.buffer(self._volts_seen, 8 * self._volts_size[0]), dtype=np.complex128)
        return self._volts

    def injected_currents_a(self) -> Complexes:
        """A copy of OpenDSS's vector of injected currents (A) in node order."""
        pointer = ffi.new("double**")
        self._call(lib.ctx_YMatrix_getIpointer, pointer)
        # Place 0 of OpenDSS's vectors is ground.
        return np.frombuffer(ffi.buffer(pointer[0], 16 + 16 * len(self.node_bus)), dtype=np.complex128)[1:].copy()

    def served_powers(self) -> tuple[Floats, Floats]:
        """What the injections really draw: kW and kvar, in the order of `injection_kw`."""
        kw, kvar = np.empty(self._n_injections), np.empty(self._n_injections)
        for i, name in enumerate(self._injection_names):
            self.activate(f"Load.{INJECTION_PREFIX}{name}")
            powers = self._array(lib.ctx_CktElement_Get_Powers, "double")
            kw[i], kvar[i] = powers[0::2].sum(), powers[1::2].sum()
        return kw, kvar

    def losses_kw(self) -> float:
        """Real losses of the circuit (kW) in the latest solution."""
        return float(self._array(lib.ctx_Circuit_Get_Losses, "double")[0]) / 1e3

    # --- taps

    def set_tap(self, regulator: Regulator, ratio_pu: float) -> None:
        """Move a regulator's winding to `ratio_pu`."""
        self.command(f"Edit {as_word(regulator.element)} wdg={regulator.winding} tap={ratio_pu:.9f}")

    def tap(self, regulator: Regulator) -> float:
        """Present ratio (pu) of a regulator's winding."""
        if regulator.kind != "transformer":
            self.select_winding(regulator.element, regulator.winding)
            return float(self.ask_property(f"{regulator.element}.tap"))
        self._call(lib.ctx_Transformers_Set_Name, regulator.transformer.encode())
        self._call(lib.ctx_Transformers_Set_Wdg, regulator.winding)
        return float(self._call(lib.ctx_Transformers_Get_Tap))

    def activate(self, element: str) -> None:
        """Make an element the one that `ask` asks about; `InputError` if there is none of that name."""
        if not self.has(element):
            raise InputError(f"OpenDSS has no element {element!r}")

    def has(self, element: str) -> bool:
        """Whether there is an element of that name."""
        return int(self._call(lib.ctx_Circuit_SetActiveElement, element.encode())) >= 0

    def _read_buses(self) -> dict[str, Bus]:
        buses = {}
        for name in self._array(lib.ctx_Circuit_Get_AllBusNames, "char*"):
            self._call(lib.ctx_Circuit_SetActiveBus, name.encode())
            phases = tuple(sorted(int(n) for n in self._array(lib.ctx_Bus_Get_Nodes, "int32_t") if 1 <= n <= 3))
            placed = bool(self._call(lib.ctx_Bus_Get_Coorddefined))
            x, y, kv_ln = (float(self._call(of)) for of in _OF_A_BUS)
            buses[name.lower()] = Bus(name.lower(), phases, kv_ln, (x, y) if placed else None)
        return buses

    def terminal_nodes(self) -> NDArray[np.int64]:
        """Node place of every conductor of the active element; -1 for ground. Some controls have none."""
        n = self._call(lib.ctx_CktElement_Get_NumTerminals)
        return np.array(self._array(lib.ctx_CktElement_Get_NodeRef, "int32_t") - 1 if n else (), dtype=np.int64)

    def stated_properties(self) -> dict[str, Any]:
        """What was set of the active element, by property in lower case, in the order it was set in."""
        properties = json_of(self._call(lib.ctx_DSSElement_ToJSON, 0))
        return {key.lower(): value for key, value in properties.items()}

    def stated_properties_of(self, kind: str) -> dict[str, dict[str, Any]]:
        """As `stated_properties`, of all linecodes, wire data, ...: what is no circuit element, by lower-case name."""
        self._call(lib.ctx_Circuit_SetActiveClass, kind.encode())
        entries = json_of(self._call(lib.ctx_ActiveClass_ToJSON, 0))
        lower = ({key.lower(): value for key, value in entry.items()} for entry in entries)
        return {str(properties["name"]).lower(): properties for properties in lower}
