"""A user's circuit file as commands that OpenDSS may be given: read, checked and put together by us.

OpenDSS never opens a script of a stranger. The master file and all that it includes are read here, line by line; what
describes and solves a network (`allow_list`) is written out again, everything else is refused with file and line. So
the files that a circuit follows from are known, and so is what the engine is told.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path

from g2g_opt.circuit.script_file import allow_list as allowed
from g2g_opt.circuit.script_file.data_paths import with_whole_path
from g2g_opt.circuit.script_file.described_elements import first_behind_clear
from g2g_opt.circuit.script_file.files import CircuitFiles
from g2g_opt.circuit.script_file.line_copies import with_copied_impedances
from g2g_opt.circuit.script_file.missing_elements import changes_of_missing
from g2g_opt.circuit.script_file.stated_of_one_phase import raise_on_one_phase
from g2g_opt.circuit.script_file.tokens import (
    Parameter,
    ScriptError,
    only_value,
    parameters,
    script_lines,
)
from g2g_opt.errors import InputError, did_you_mean

_INCLUDES_MAX = 64  # files that include each other, one within the other
_CONSENT = "remove the line, or run with --trust-circuit if the circuit is your own"
_INCLUDED_MAX = 20_000  # files that are included, one after the other
_LINES_MAX = 10_000_000
# Without an equals sign no variable names a file of an array.
_VARIABLE_VALUE = re.compile(r"[\w.+\-*/^ \t,|%:\\@]*")
_TRACES = "its traces and reports are not written"
_REPORTS = "reports and drawings of OpenDSS are not made"


@dataclass(frozen=True)
class CircuitScript:
    """Commands that build a circuit, the `places` (file:line) they come from, and what the reader did with the rest.

    `files` are the SHA-256 of all files that were read or will be, by their paths from the master file's folder;
    `left_out` says what was passed over because no solution depends on it, `edits` are the last commands, those of an
    edit file.
    """

    commands: tuple[str, ...]
    places: tuple[str, ...]
    files: dict[str, str]
    left_out: tuple[str, ...]
    edits: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """SHA-256 of the commands and of the data files that they name."""
        text = "\n".join((*self.commands, *(f"{name} {sha}" for name, sha in sorted(self.files.items()))))
        return hashlib.sha256(text.encode()).hexdigest()


def read_script(master: Path, edits: Path | None = None) -> CircuitScript:
    """The circuit in a master file, changed by an edit file (see `read_edits`).

    Raises `InputError` naming file and line of what is not allowed or not readable.
    """
    reader = _Reader(CircuitFiles(master))
    reader.include(reader.files.master)
    return _script(reader, edits)


def read_edits(master: Path, edits: Path) -> CircuitScript:
    """Changes of a circuit's own elements, without the circuit: properties, what is in service, open and closed ends.

    Every line is `Edit Class.name property=value ...`, `Class.name.property=value ...`, a continuation of one (`~`),
    or `Enable`, `Disable`, `Open` or `Close` of an element, in OpenDSS's words and under the circuit files' rules. An
    element that the circuit does not have is an error when it is compiled. Raises `InputError` as `read_script`.
    """
    return _script(_Reader(CircuitFiles(master)), edits)


def _script(reader: _Reader, edits: Path | None) -> CircuitScript:
    own = len(reader.commands)
    raise_on_one_phase(reader.commands, reader.places, reader.n_three_phase)
    if edits is not None:
        reader.edit(edits)
    commands = tuple(with_copied_impedances(reader.commands, reader.solved))
    left_out = (*reader.left_out, *changes_of_missing(commands[:own], reader.places[:own]))
    return CircuitScript(commands, tuple(reader.places), dict(reader.files.read), left_out, edits=commands[own:])


@dataclass
class _Reader:
    files: CircuitFiles
    commands: list[str] = field(default_factory=list)
    places: list[str] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    solved: list[int] = field(default_factory=list)  # places of what stands for the file's own solutions
    n_three_phase: list[int] = field(default_factory=list)  # how many commands stand ahead of every MakePosSeq
    _open: list[Path] = field(default_factory=list)
    _folder: Path = field(init=False)
    _place: str = ""
    # The class of the object that `~` goes on with; empty where none is, or where only OpenDSS knows it.
    _kind: str = ""
    _editing: bool = False
    _circuit: str = ""
    _begun_at: int = 0  # the place of the command that makes it
    _n_included: int = 0
    _n_lines: int = 0

    def __post_init__(self) -> None:
        self._folder = self.files.master.parent

    def include(self, path: Path) -> None:
        if path in self._open:
            raise ScriptError(f"{self.files.name(path)} includes itself")
        if len(self._open) >= _INCLUDES_MAX:
            raise ScriptError(f"more than {_INCLUDES_MAX} files include each other")
        self._n_included += 1
        if self._n_included > _INCLUDED_MAX:
            raise ScriptError(f"the circuit includes more than {_INCLUDED_MAX} files")
        name, place = self.files.name(path), self._place
        self._open.append(path)
        self._folder = path.parent
        text = self.files.text(path)
        self._n_lines += text.count("\n") + text.count("\r")
        if self._n_lines > _LINES_MAX:
            raise InputError(f"{self.files.shown(path)}: the circuit has more than {_LINES_MAX} lines")
        for number, line in script_lines(text):
            self._place = f"{name}:{number}"
            try:
                self._take(line)
            except ScriptError as error:
                raise InputError(f"{self.files.shown(path)}, line {number}: {error}") from error
        self._open.pop()
        self._place = place

    def edit(self, path: Path) -> None:
        """Take the lines of an edit file behind those of the circuit."""
        if not path.is_file():
            raise InputError(f"the edit file {path} is not found, or no regular file")
        self._folder, self._kind, self._editing = path.parent, "", True
        for number, line in script_lines(self.files.text(path)):
            self._place = f"{path.name}:{number}"
            try:
                self._take_edit(line)
            except ScriptError as error:
                raise InputError(f"{path}, line {number}: {error}") from error

    def _take_edit(self, line: str) -> None:
        found = parameters(line)
        if not found:
            return
        if any(not parameter.value for parameter in found):
            raise ScriptError("a value is missing")
        first, *rest = found
        verb = None if first.name is not None else allowed.find_word(first.value, allowed.words().commands)
        if first.name is not None and "." in first.name:
            self._edit_property(first, rest)
        elif first.name is not None:
            self._pass("~", self._properties(self._kind, found))
        elif verb in allowed.MORE:
            self._pass("~", self._properties(self._kind, rest))
        elif verb is not None and verb in allowed.EDITS and rest and rest[0].name is None and "." in rest[0].value:
            self._edit_element(verb, rest[0].value, rest[1:])
        else:
            raise ScriptError(
                f"{first} is no edit; write Edit Class.name property=value, Class.name.property=value, or Enable, "
                "Disable, Open or Close Class.name"
            )

    def _edit_element(self, verb: str, element: str, rest: list[Parameter]) -> None:
        if verb in allowed.OPENS:
            self._pass(verb, [Parameter(None, element), *rest])
            return
        if verb in allowed.SERVES:
            if rest:
                raise ScriptError(f"{verb} {element} is followed by {rest[0]}; name one element a line")
            rest = [Parameter("enabled", "yes" if verb == "enable" else "no")]
        if not rest:
            raise ScriptError(f"{verb} {element} says nothing about it")
        # "Edit" passes over an element that is not there, without a word; the property of one is refused.
        first, *more = rest
        if first.name is None:
            raise ScriptError(f"the value {first} of {element} has no name; write property=value")
        self._edit_property(Parameter(f"{element}.{first.name}", first.value, first.quote), more)

    def _take(self, line: str) -> None:
        found = parameters(line)
        if not found or not self._until_empty(found[:1]):
            self._until_empty(found)
            return
        first, *rest = found
        if first.name is not None:
            self._edit_property(first, rest)
            return
        verb = allowed.find_word(first.value, allowed.words().commands)
        if verb is None:
            hint = did_you_mean(first.value, allowed.words().commands)
            raise ScriptError(f"{first.value!r} is no OpenDSS command{hint}")
        if verb in allowed.DESCRIBES:
            self._describe(verb, rest)
        elif verb in allowed.MORE:
            self._pass("~", self._properties(self._kind, rest))
        elif verb in allowed.CHOOSES:
            self._pass(verb, rest)
            self._choose(rest[0].value if rest else "")
        elif verb in allowed.OPTIONS:
            self._set(verb, self._options(verb, rest))
        elif verb in allowed.INCLUDES:
            self._include_named(verb, rest)
        elif verb in allowed.FOLDERS:
            self._folder = self.files.folder(only_value(verb, rest), self._folder)
        elif verb in allowed.COORDINATES:
            path = self.files.data(only_value(verb, rest), self._folder)
            self._pass(verb, [Parameter(None, str(path), '"')])
        elif verb in allowed.ESTIMATES:
            self._pass("allocateloads", [])
            self._leave_out(f"the report of {verb}; {_REPORTS}")
        elif verb in allowed.PLAIN:
            for parameter in rest:
                if verb == "var" and not _VARIABLE_VALUE.fullmatch(parameter.value):
                    raise ScriptError(f"the variable {parameter} is neither a number, a name nor a formula")
            self._pass(verb, rest)
        elif verb in allowed.LEFT_OUT:
            if verb in allowed.ASKS:
                # OpenDSS goes on with what was asked about.
                self._kind = ""
            self._leave_out(verb)
        elif verb in allowed.REPORTS or verb in allowed.STUDIED_WHOLE:
            # What it reports on may be what OpenDSS goes on with.
            self._kind = ""
            self._leave_out(f"{verb}; {allowed.WORDS_OF_WHOLE.get(verb, _REPORTS)}")
            if verb in allowed.ONE_PHASE:
                self.n_three_phase.append(len(self.commands))
        else:
            raise ScriptError(f"the command {verb!r} does not describe or solve a network; {_CONSENT}")

    def _pass(self, verb: str, rest: list[Parameter]) -> None:
        self.commands.append(" ".join([verb, *(str(parameter) for parameter in rest)]))
        self.places.append(self._place)

    def _set(self, verb: str, options: list[Parameter]) -> None:
        """Options are set; a solution of the file's own is left out, since a study begins from a state of its own."""
        if options:
            self._pass("set", options)
        if verb == "solve":
            # What follows may need the list of buses, which the first solution makes; and the matrices of lines.
            self.solved.append(len(self.commands))
            self._pass("makebuslist", [])
            self._leave_out("solve; a study settles the circuit itself")
        for option in options:
            if option.name in allowed.OPTIONS_OF_CLASSES:
                self._choose(f"{option.value}.")
            elif option.name in allowed.OPTIONS_OF_OBJECTS:
                self._choose(option.value)

    def _choose(self, name: str) -> None:
        """From now on `~` goes on with an object that is there already; without a class, with one of the same."""
        kind, dot, one = name.partition(".")
        if dot and one != "*" and kind.lower() != "circuit":
            self._kind = kind.lower() if kind.lower() in allowed.words().properties else ""

    def _until_empty(self, given: list[Parameter]) -> list[Parameter]:
        """OpenDSS reads nothing behind an empty value, nor do we; what it passes over is listed."""
        at = next((i for i, parameter in enumerate(given) if not parameter.value), len(given))
        if any(parameter.value for parameter in given[at:]):
            unread = " ".join(str(parameter) for parameter in given[at + 1 :])
            self._leave_out(f"{unread}; OpenDSS reads nothing of a line behind an empty value")
        return given[:at]

    def _leave_out(self, what: str) -> None:
        self.left_out.append(f"{self._place}: {what}")

    def _include_named(self, verb: str, rest: list[Parameter]) -> None:
        folder = self._folder
        path = self.files.script(only_value(verb, rest), folder)
        self.include(path)
        # As in OpenDSS: what was compiled leaves its folder behind, what was redirected to does not.
        self._folder = path.parent if verb == "compile" else folder

    def _describe(self, verb: str, rest: list[Parameter]) -> None:
        # Shortened or lengthened, "object" is itself.
        label = (rest[0].name or "object").lower() if rest else ""
        if not label or not ("object".startswith(label) or label.startswith("object")) or "." not in rest[0].value:
            raise ScriptError(f"{verb} needs a class and a name first, as in {verb} Line.name")
        named = Parameter(None, rest[0].value, rest[0].quote)
        kind = self._known_class(named.value.partition(".")[0])
        if kind == "circuit" and verb != "new":
            self._leave_out(f"{verb} {named}; OpenDSS changes nothing there, only at Vsource.source")
            return
        if kind == "circuit":
            self._begin_circuit(str(named))
        self._kind = kind
        self._pass(verb, [named, *self._properties(self._kind, rest[1:])])

    def _begin_circuit(self, name: str) -> None:
        if self._circuit and first_behind_clear(self.commands) <= self._begun_at:
            beside = f"a second circuit beside {self._circuit}; keep one, or put Clear ahead of it"
            raise ScriptError(f"New {name} makes {beside}, which takes the first one away")
        self._circuit, self._begun_at = name, len(self.commands)

    def _edit_property(self, first: Parameter, rest: list[Parameter]) -> None:
        """`Load.name.kW=5`, or `kW=5` for the latest object."""
        assert first.name is not None
        kind, dot, tail = first.name.partition(".")
        if not dot:
            self._pass("~", self._properties(self._kind, [first, *rest]))
            return
        name, dot, prop = tail.partition(".")
        if not dot:
            raise ScriptError(f"{first.name} is no object with a property (Class.name.property)")
        self._kind = self._known_class(kind)
        if self._editing and self._kind in allowed.CODES:
            raise ScriptError(f"a change of a {kind} does not reach the elements that have it; edit those")
        passed = self._properties(self._kind, [Parameter(prop, first.value, first.quote), *rest])
        if passed:
            # Said as it was: other than "edit", it is refused where the object does not exist.
            edited = Parameter(f"{kind}.{name}.{passed[0].name}", passed[0].value, passed[0].quote)
            self._pass(str(edited), passed[1:])

    def _known_class(self, name: str) -> str:
        kind, known = name.lower(), allowed.words().properties
        if kind in known:
            return kind
        hint = did_you_mean(name, known)
        if hint and kind not in allowed.CLASSES_REFUSED:
            raise ScriptError(f"there is no class {name!r}{hint}")
        raise ScriptError(f"the class {name!r} is not one that describes a network; {_CONSENT}")

    def _properties(self, kind: str, given: list[Parameter]) -> list[Parameter]:
        if not kind:
            raise ScriptError("it is not clear which object this line goes on with; begin it with Edit Class.name")
        known = allowed.words().properties[kind]
        passed, at = [], -1
        for parameter in self._until_empty(given):
            if parameter.name is None:
                at += 1
                if at >= len(known):
                    raise ScriptError(f"{parameter} is one value too many for the class {kind}")
                name = known[at]
            else:
                found = allowed.find_word(parameter.name, known)
                if found is None:
                    hint = did_you_mean(parameter.name, known)
                    raise ScriptError(f"the class {kind} has no property {parameter.name!r}{hint}")
                name, at = found, known.index(found)
            what = allowed.what_of_property(kind, name, parameter.value)
            if what == "refused":
                raise ScriptError(f"{kind}'s {name}={parameter.value} is not allowed in a circuit file; {_CONSENT}")
            if what == "left out":
                if parameter.value.lower() not in allowed.OFF:
                    self._leave_out(f"{name}={parameter.value} of a {kind}; {_TRACES}")
                continue
            named = Parameter(name, parameter.value, parameter.quote)
            passed.append(with_whole_path(named, self.files, self._folder, is_file=what == "file"))
        return passed

    def _options(self, verb: str, given: list[Parameter]) -> list[Parameter]:
        passed = []
        for parameter in self._until_empty(given):
            if parameter.name is None:
                raise ScriptError(f"{verb} {parameter} names no option; write {verb} option=value")
            name = allowed.find_word(parameter.name, allowed.words().options)
            if name is None:
                hint = did_you_mean(parameter.name, allowed.words().options)
                raise ScriptError(f"{verb} has no option {parameter.name!r}{hint}")
            if name in allowed.OPTIONS_LEFT_OUT | allowed.OPTIONS_OF_REPORTS:
                if parameter.value.lower() not in allowed.OFF:
                    why = _REPORTS if name in allowed.OPTIONS_OF_REPORTS else _TRACES
                    self._leave_out(f"{verb} {name}={parameter.value}; {why}")
            elif name in allowed.OPTIONS_OF_RATINGS:
                self._leave_out(f"{verb} {name}={parameter.value}; ratings are those that are stated")
            elif name == "mode" and allowed.begins_from_a_solution(parameter.value):
                self._leave_out(f"{verb} mode={parameter.value}; a study is a snapshot")
            elif name in allowed.OPTIONS_OF_FOLDERS:
                self._folder = self.files.folder(parameter.value, self._folder)
            elif name in allowed.OPTIONS_PASSED:
                named = Parameter(name, parameter.value, parameter.quote)
                passed.append(with_whole_path(named, self.files, self._folder))
            else:
                raise ScriptError(f"the option {name}={parameter.value} is not allowed in a circuit file; {_CONSENT}")
        return passed
