"""A user's circuit, from its master file to commands that may be compiled, and what identifies it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from g2g_opt.consent import given_consent
from g2g_opt.errors import InputError
from g2g_opt.grid.circuit import Circuit
from g2g_opt.grid.circuit_file.child import compile_in_child, is_expendable, network_digest
from g2g_opt.grid.circuit_file.script import CircuitScript, read_script

COMPILED = "compiled network"


def is_own_circuit(feeder: str) -> bool:
    """Whether a feeder is named by the path of a user's OpenDSS master file, and not one of the bundled ones."""
    return feeder.lower().endswith(".dss")


def read_circuit(master: Path) -> CircuitScript:
    """The circuit in `master`, compiled in a child process once for all that it says. Raises `InputError`."""
    path = _existing(master)
    if given_consent().circuits:
        script = _trusted(path)
        _compile_once(script, path, str(path))
    else:
        script = read_script(path)
        _compile_once(script, path, script.digest)
    return script


def circuit_inputs(master: Path) -> Mapping[str, str]:
    """SHA-256 of what a circuit follows from: all files of it by their paths from the master file's folder.

    Of a trusted circuit, whose files OpenDSS alone knows, the SHA-256 of the network that it compiles to.
    """
    path = _existing(master)
    if not given_consent().circuits:
        return read_script(path).files
    script = _trusted(path)
    if is_expendable():
        circuit = Circuit(script.commands)
        circuit.finish()
        return {COMPILED: network_digest(circuit)}
    return {COMPILED: compile_in_child(script.commands, script.places, path)}


def _existing(master: Path) -> Path:
    path = master.expanduser().resolve()
    if not path.is_file():
        raise InputError(f"OpenDSS master file {path} not found")
    return path


def _trusted(path: Path) -> CircuitScript:
    if '"' in str(path):
        raise InputError(f"the path {path} holds a quotation mark, which OpenDSS cannot read; move the file")
    return CircuitScript((f'Compile "{path}"',), (path.name,), {}, ())


def _compile_once(script: CircuitScript, path: Path, key: str) -> None:
    if not is_expendable() and key not in _compiled:
        compile_in_child(script.commands, script.places, path)
        _compiled.add(key)


# What a child of this process has compiled without trouble.
_compiled: set[str] = set()
