"""Values that name a data file, by the file's whole path: OpenDSS is told no path of a script's own."""

from __future__ import annotations

from pathlib import Path

from g2g_opt.circuit.script_file import allow_list as allowed
from g2g_opt.circuit.script_file.files import CircuitFiles
from g2g_opt.circuit.script_file.tokens import Parameter, ScriptError, parameters, quoted


def with_whole_path(named: Parameter, files: CircuitFiles, folder: Path, *, is_file: bool = False) -> Parameter:
    """A value in a script in `folder`, with the whole path of the file that it is (`is_file`), or its array's.

    An array in a file is `(file=values.csv, col=2)`; other values are as they were. Raises `ScriptError`.
    """
    if is_file:
        return Parameter(named.name, str(files.data(named.value.strip(), folder)), '"')
    if "=" not in named.value:
        return named
    if "@" in named.value.partition("=")[0]:
        # OpenDSS would put the variable's value there, up to a dot or a caret.
        raise ScriptError(f"{named} holds a variable where the name of a value is expected")
    first, *rest = parameters(named.value)
    word = allowed.array_file_word(first.name or "")
    if any("file" in p.word for p in rest):
        raise ScriptError(f"{named} names a file in a way that cannot be followed")
    if word is None:
        return named
    path = files.data(first.value, folder)
    # OpenDSS puts what it is told about a property by Class.name.property=value into double quotes once more.
    within = quoted(str(path), but='"')
    words = quoted(" ".join([f"{word}={within}", *(str(p) for p in rest)]))
    return Parameter(named.name, words[1:-1], words[0])
