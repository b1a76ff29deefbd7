"""Compiling a circuit in a process of its own first: a crash, an endless read or a hang there is one clear error here.

The child has a limit of time and memory and an empty folder to work in. What it compiled without trouble this process
may compile, too: the engine is given the same commands.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.conductor_data import why_of_conductors
from g2g_opt.circuit.script_file.unmade_names import unmade_names
from g2g_opt.circuit.unconnected import raise_on_unconnected
from g2g_opt.errors import G2GError, InputError

TIME_LIMIT_S = 300.0
MEMORY_LIMIT_GIB = 8.0
_GIB = 1024**3
_PROGRESS = "command"  # the file in the child's folder with the number of its command

# All objects, whatever the circuit's time of compilation: the engine's DSSJSONFlags.
_DEFAULT_OBJECTS, _NO_TIMESTAMP = 0x100, 0x200
# The engine writes these without having set them, something else at every compilation; what they do, voltages show.
_UNSET = {"Capacitor": ("CMatrix",), "Reactor": ("RMatrix", "XMatrix")}
_NO_NUMBER = re.compile(r"(?<=\s)[+-]?(?:nan|inf)(?=[\s,])", re.IGNORECASE)

_is_expendable = False


def declare_expendable() -> None:
    """This process is a worker whose death somebody watches for: it compiles circuits without a child of its own."""
    global _is_expendable
    _is_expendable = True


def is_expendable() -> bool:
    """Whether `declare_expendable` was called in this process."""
    return _is_expendable


def network_digest(circuit: Circuit) -> str:
    """SHA-256 of all that a finished circuit holds: every stated property of all objects, nodes, and its solution."""
    text = circuit.ask_text("Circuit_ToJSON", _DEFAULT_OBJECTS | _NO_TIMESTAMP)
    held = json.loads(_NO_NUMBER.sub("null", text))
    for kind, properties in _UNSET.items():
        for element in held.get(kind, ()):
            for name in properties:
                element.pop(name, None)
    digest = hashlib.sha256(json.dumps(held).encode())
    digest.update(repr(list(zip(circuit.node_bus, circuit.node_phase.tolist(), strict=True))).encode())
    digest.update(np.round(circuit.node_voltages(), 6).tobytes())
    return digest.hexdigest()


def compile_in_child(commands: Sequence[str], places: Sequence[str], source: Path, *, with_digest: bool = False) -> str:
    """Compile and solve once in a child process; returns the `network_digest` of what came out, if that is asked for.

    Raises `InputError` naming `source`, or the place of the command that OpenDSS refused, in OpenDSS's words; also if
    the child crashed, or took more than `TIME_LIMIT_S` or `MEMORY_LIMIT_GIB`.
    """
    asked = json.dumps({"commands": list(commands), "memory_gib": MEMORY_LIMIT_GIB, "with_digest": with_digest})
    package_root = str(Path(__file__).resolve().parents[3])
    environment = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join([package_root, *filter(None, [os.environ.get("PYTHONPATH")])]),
        # Threads of linear algebra would reserve memory that the limit counts.
        "OPENBLAS_NUM_THREADS": "1",
    }
    with tempfile.TemporaryDirectory(prefix="g2g-circuit-") as folder:
        try:
            ended = subprocess.run(
                [sys.executable, "-m", __name__],
                input=asked.encode(),
                capture_output=True,
                cwd=folder,
                env=environment,
                timeout=TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            at = _place(Path(folder), places)
            raise InputError(f"{source}{at}: OpenDSS did not compile the circuit within {TIME_LIMIT_S:g} s") from None
        if ended.returncode != 0:
            at = _place(Path(folder), places)
            raise InputError(f"{source}{at}: {_cause(ended.returncode, ended.stderr)}{why_of_conductors(commands)}")
    answer = json.loads(ended.stdout)
    if "error" in answer:
        at, told = answer["command"], str(answer["error"])
        if at is not None and (unmade := unmade_names(commands, at)):
            told = f"{told.rstrip('.')}: {unmade}"
        raise InputError(f"{source}{_words(at, places)}: {told}{why_of_conductors(commands, told)}")
    return str(answer["digest"])


def _words(command: int | None, places: Sequence[str]) -> str:
    return f", at {places[command]}" if command is not None and command < len(places) else ""


def _place(folder: Path, places: Sequence[str]) -> str:
    """Where a child that came to no good end was, as it wrote it down before every command."""
    try:
        return _words(int((folder / _PROGRESS).read_text()), places)
    except (OSError, ValueError):
        return ""


def _cause(status: int, stderr: bytes) -> str:
    words = stderr.decode(errors="replace").strip().splitlines()
    if words and words[-1].startswith("MemoryError"):
        return f"OpenDSS needs more than {MEMORY_LIMIT_GIB:g} GiB of memory to compile the circuit"
    if status < 0:
        name = signal.Signals(-status).name
        return f"OpenDSS crashed while it compiled the circuit ({name}); it may need more than {MEMORY_LIMIT_GIB:g} GiB"
    return f"OpenDSS ended while it compiled the circuit (exit status {status}): {words[-1] if words else 'no words'}"


def main() -> None:
    """Compile what stands on the standard input, and say on the standard output how it went."""
    asked = json.load(sys.stdin)
    limit = int(asked["memory_gib"] * _GIB)
    # Where the machine (a batch system, `ulimit`) allows less than ours, its limit stands.
    _, most = resource.getrlimit(resource.RLIMIT_AS)
    limit = limit if most == resource.RLIM_INFINITY else min(limit, most)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    # The engine's own words go where nobody reads them, not into the answer.
    answer_to = os.dup(1)
    os.dup2(2, 1)

    at: int | None = None
    progress = os.open(_PROGRESS, os.O_RDWR | os.O_CREAT)

    def tracked() -> Iterator[str]:
        nonlocal at
        for place, command in enumerate(asked["commands"]):
            at = place
            os.pwrite(progress, f"{place:20d}".encode(), 0)
            yield command
        at = None
        os.ftruncate(progress, 0)

    try:
        circuit = Circuit(tracked())
        circuit.finish()
        raise_on_unconnected(circuit)
        answer: dict[str, object] = {"digest": network_digest(circuit) if asked["with_digest"] else ""}
    except G2GError as error:
        answer = {"error": str(error), "command": at}
    with os.fdopen(answer_to, "w", encoding="utf-8") as out:
        json.dump(answer, out)


if __name__ == "__main__":
    main()
