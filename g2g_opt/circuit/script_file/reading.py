"""A user's circuit, from its master file to commands that may be compiled, and what identifies it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from g2g_opt.circuit.opendss_circuit import Circuit
from g2g_opt.circuit.script_file.child import compile_in_child, is_expendable, network_digest
from g2g_opt.circuit.script_file.script import CircuitScript, read_edits, read_script
from g2g_opt.consent import given_consent
from g2g_opt.errors import InputError
from g2g_opt.kept_files import copy_or_self

COMPILED = "compiled network"


def is_own_circuit(feeder: str) -> bool:
    """Whether a feeder is named by the path of a user's OpenDSS master file, and not one of the bundled ones."""
    return feeder.lower().endswith(".dss")


def read_circuit(master: Path, edits: Path | None = None) -> CircuitScript:
    """The circuit in `master`, changed by an edit file, compiled in a child process once for all that it says.

    Raises `InputError`.
    """
    path, edits = _existing(master), _whole(edits)
    if given_consent().circuits:
        script = _trusted(path, edits)
        _compile_once(script, path, f"{path} {script.digest}")
    else:
        script = _read_as_it_stands(path, edits)
        _compile_once(script, path, script.digest)
    return script


def circuit_inputs(master: Path, edits: Path | None = None) -> Mapping[str, str]:
    """SHA-256 of what a circuit follows from: all files of it by their paths from the master file's folder.

    Of a trusted circuit, whose files OpenDSS alone knows, the SHA-256 of the network that it compiles to.
    """
    path, edits = _existing(master), _whole(edits)
    if not given_consent().circuits:
        return _read_as_it_stands(path, edits).files
    script = _trusted(path, edits)
    if is_expendable():
        circuit = Circuit(script.commands)
        circuit.finish()
        return {COMPILED: network_digest(circuit)}
    return {COMPILED: compile_in_child(script.commands, script.places, path, with_digest=True)}


def _existing(master: Path) -> Path:
    path = copy_or_self(Path(os.path.abspath(master.expanduser())))
    if not path.is_file():
        raise InputError(f"OpenDSS master file {path} not found")
    return path


def _whole(edits: Path | None) -> Path | None:
    return None if edits is None else copy_or_self(Path(os.path.abspath(edits.expanduser())))


def _read_as_it_stands(path: Path, edits: Path | None) -> CircuitScript:
    """The circuit in a master file, read again whenever one of its files has another time, size or inode."""
    known = _scripts.get((path, edits))
    if known is None or known[0] != _stamps(path, known[1]):
        script = read_script(path, edits)
        _scripts[path, edits] = (_stamps(path, script), script)
    return _scripts[path, edits][1]


def _stamps(path: Path, script: CircuitScript) -> tuple[tuple[int, ...], ...]:
    stamps: list[tuple[int, ...]] = []
    for name in script.files:
        try:
            about = os.stat(os.path.normpath(path.parent / name))
        except OSError:
            stamps.append((-1,))
        else:
            stamps.append((about.st_mtime_ns, about.st_size, about.st_ino))
    return tuple(stamps)


def _trusted(path: Path, edits: Path | None) -> CircuitScript:
    if '"' in str(path):
        raise InputError(f"the path {path} holds a quotation mark, which OpenDSS cannot read; move the file")
    compiled = f'Compile "{path}"'
    if edits is None:
        return CircuitScript((compiled,), (path.name,), {}, ())
    changes = read_edits(path, edits)
    # Without files, as of every trusted circuit: it is known by what it compiles to.
    return CircuitScript((compiled, *changes.edits), (path.name, *changes.places), {}, changes.left_out, changes.edits)


def _compile_once(script: CircuitScript, path: Path, key: str) -> None:
    if not is_expendable() and key not in _compiled:
        compile_in_child(script.commands, script.places, path)
        _compiled.add(key)


_scripts: dict[tuple[Path, Path | None], tuple[tuple[tuple[int, ...], ...], CircuitScript]] = {}
# What a child of this process has compiled without trouble.
_compiled: set[str] = set()
