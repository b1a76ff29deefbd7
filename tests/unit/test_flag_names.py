"""Names of options end in the unit of what they take, as names of fields do; every help has an example."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

import pytest

from g2g_opt.quantities import bounds_of, is_quantity
from studies.catalogue import STUDIES, question_type
from studies.cli import parser_of
from studies.command_lines import EVERY
from studies.shared.question_flags import flags_of

# How the unit of a quantity is written at the end of a name. Shares, counts and dollars have no unit in names.
ENDINGS = {
    "s": "s",
    "h": "h",
    "pu": "pu",
    "pu s": "pu-s",
    "kW": "kw",
    "MW": "mw",
    "kV": "kv",
    "kVA": "kva",
    "%": "percent",
    "GPUs": "gpus",
    "kW per GPU": "kw-per-gpu",
    "W per GPU": "w-per-gpu",
    "$ per kW and year": "per-kw",
    "$ per kWh": "per-kwh",
    "$ per kWh and year": "per-kwh",
    "$ per pu and hour": "per-pu-h",
}
WITHOUT = {"", "times the rating", "times the latency", "$ per step"}
# What stands for a value in the usage of options that are no fields of questions.
METAVARS = {"S": "s", "H": "h", "PU": "pu", "KW": "kw", "MW": "mw", "KV": "kv", "KVA": "kva", "PERCENT": "percent"}


def options_of(parser: argparse.ArgumentParser) -> Iterator[tuple[str, argparse.Action]]:
    """Every option of every command, with the command."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from options_of(below)
        elif action.option_strings:
            yield parser.prog, action


@pytest.mark.parametrize("study", STUDIES)
def test_the_flag_of_a_number_ends_in_its_unit(study: str) -> None:
    """Of questions, by the quantity of the field; several numbers given together have no one unit."""
    kind, wrong = question_type(study), []
    for one in flags_of(kind, kind()):
        quantity = one.hint if is_quantity(one.hint) else one._item
        unit = bounds_of(quantity)[1].unit if quantity is not None else ""
        if unit not in WITHOUT and not one.flag.name.endswith("-" + ENDINGS[unit]) and one.flag.name != "--mw":
            wrong.append(f"{one.flag.name} ({unit})")
    assert wrong == []


def test_an_option_whose_value_is_a_unit_ends_in_it() -> None:
    """Of all commands, by what stands for the value in their usage."""
    found = [(prog, action) for prog, action in options_of(parser_of(EVERY)) if str(action.metavar) in METAVARS]
    assert {prog for prog, _ in found} >= {"g2g live datacenter", "g2g live campaign", "g2g check", "g2g report"}
    wrong = {
        f"{prog} {name}"
        for prog, action in found
        for name in action.option_strings
        if not name.endswith(f"-{METAVARS[str(action.metavar)]}")
    }
    assert wrong == set()


def test_the_help_of_every_command_ends_with_an_example() -> None:
    def parsers_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
        yield parser
        for action in parser._actions:
            if isinstance(action, argparse._SubParsersAction):
                for below in action.choices.values():
                    yield from parsers_of(below)

    assert [
        one.prog for one in parsers_of(parser_of(EVERY)) if one.prog.split(" --")[0] not in (one.epilog or "")
    ] == []


def test_the_beginning_of_a_name_is_read_where_no_other_begins_so(capsys: pytest.CaptureFixture[str]) -> None:
    """So that a command of before its options ended in units is still a command."""
    options = parser_of("communication").parse_args(["communication", "--voltage-min", "0.94", "--delay", "2"])
    assert vars(options)["question.limits.voltage_min_pu"] == 0.94
    with pytest.raises(SystemExit):
        parser_of("communication").parse_args(["communication", "--outage", "60"])
    assert "could match --outage-s, --outage-start-s" in capsys.readouterr().err
