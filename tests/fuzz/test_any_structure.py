"""Values of any structure where a question, a policy or a table is read: refused as an `InputError`, or taken."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from malformed_json import contextual_policy, feeder_policy
from spoiling import places_in, replaced

from g2g_opt.errors import InputError
from g2g_opt.feeder_policy import FeederPolicy
from g2g_opt.grid.profile import read_profile
from g2g_opt.hourly_profile import load_profile
from g2g_opt.transmission.policy import ContextualPolicy
from studies.catalogue import STUDIES, make_question, parse_question, question_type, read_question

# The same examples at every run: what is found here is found by everybody.
same_examples = settings(
    derandomize=True, max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=-(10**350), max_value=10**350)
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["nan", "1e999", "1/0", "671", "ieee13", "\0", "x.csv", "ofo", "firm", "none"])
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=6), inner, max_size=3),
    max_leaves=12,
)


def refused_or_taken(read: Callable[[Any], object], what: Any) -> None:
    """Read it; what is refused is refused in words that are ours."""
    words = "taken"
    try:
        read(what)
    except InputError as error:
        words = str(error)
    assert words.strip(), "refused without words"


@pytest.mark.parametrize("study", sorted(STUDIES))
@same_examples
@given(data=st.data())
def test_a_question_takes_or_refuses_any_value_of_any_setting(study: str, data: st.DataObject) -> None:
    names = [field.name for field in fields(question_type(study))]
    content = data.draw(st.dictionaries(st.sampled_from(names), values, min_size=1, max_size=2))
    refused_or_taken(lambda given: make_question(study, given), content)


@same_examples
@given(text=st.text(max_size=40) | values.map(lambda value: json.dumps(value)))
def test_a_compared_questions_is_one_or_refused(text: str) -> None:
    refused_or_taken(parse_question, text)
    refused_or_taken(parse_question, json.dumps({"study": text}))


@pytest.mark.parametrize("policy", [contextual_policy(), feeder_policy()], ids=["network", "feeder"])
@same_examples
@given(data=st.data())
def test_a_policy_with_any_value_at_any_place_is_one_or_refused(
    policy: ContextualPolicy | FeederPolicy, data: st.DataObject
) -> None:
    tree = json.loads(policy.to_json())
    place = data.draw(st.sampled_from(list(places_in(tree))))
    text = json.dumps(replaced(tree, place, data.draw(values)))
    refused_or_taken(type(policy).from_json, text)


@same_examples
@given(text=st.text(max_size=60) | st.binary(max_size=60))
def test_any_file_is_a_study_or_refused_by_its_name(tmp_path: Path, text: str | bytes) -> None:
    path = tmp_path / "any.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode("utf-8", "surrogatepass"))
    with pytest.raises(InputError, match=r"any\.toml"):
        read_question(path)


cells = (
    st.text(max_size=6)
    | st.floats().map(repr)
    | st.integers().map(str)
    | st.sampled_from(["2018-01-01T00:00", '"', "#"])
)


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("hour_beginning,load_share,generation_share", lambda path: load_profile(str(path))),
        ("time_s,power_kw", read_profile),
    ],
    ids=["year", "kW profile"],
)
@same_examples
@given(rows=st.lists(st.lists(cells, max_size=4), max_size=4))
def test_any_rows_below_a_header_are_read_or_refused(
    tmp_path: Path, header: str, read: Callable[[Path], object], rows: list[list[str]]
) -> None:
    path = tmp_path / "any.csv"
    text = "\n".join([header, *(",".join(row) for row in rows), ""])
    path.write_bytes(text.encode("utf-8", "surrogatepass"))
    refused_or_taken(read, path)
