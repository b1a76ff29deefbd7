"""A contextual policy as data: what it says, how it is asked, its file, and what is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from g2g_opt.errors import InputError
from g2g_opt.transmission.policy import ContextualPolicy, CoordinationFeature, Published

LOAD = CoordinationFeature.of("load.West", "MW", 1)
PRICE = CoordinationFeature.of("price.North", "$/MWh", 2)
# What the hour before and yesterday's change let expect, and how far that is above 1000 MW.
TERMS = ((Published("load.West", 1), 1.0), (Published("load.West", 24), 1.0), (Published("load.West", 25), -1.0))
EXPECTED = CoordinationFeature("expected", "MW", TERMS)
BEND = CoordinationFeature("expected above 1000 MW", "MW", TERMS, 1000.0)
MATRIX = np.array([[5.0, 0.1, -1.0], [-3.0, -0.04, 0.25], [-2.0, -0.06, 0.75]])
SEEN = {"load.West@1h": 1730.0, "price.North@2h": 40.0}


def policy(matrix: np.ndarray = MATRIX, *features: CoordinationFeature) -> ContextualPolicy:
    return ContextualPolicy(("a", "b", "c"), features or (LOAD, PRICE), matrix, {"eps": 10.0})


def test_shifts_are_intercepts_and_slopes_times_figures() -> None:
    shift_mw = policy().shift_mw(SEEN)
    # By hand: 5 + 0.1 * 1730 - 1 * 40, and so on.
    assert shift_mw == pytest.approx([138.0, -62.2, -75.8])
    assert shift_mw.sum() == pytest.approx(0.0, abs=1e-9)


def test_many_hours_at_once_are_the_hours_one_by_one() -> None:
    rng = np.random.default_rng(1)
    seen = {key: rng.uniform(0.0, 2000.0, 50) for key in SEEN}
    at_once = policy().shifts_mw(seen)
    assert at_once.shape == (50, 3)
    for hour in (0, 17, 49):
        one = policy().shift_mw({key: float(values[hour]) for key, values in seen.items()})
        assert at_once[hour] == pytest.approx(one)


def test_terms_sum_and_the_figures_they_need_are_named_once() -> None:
    bent = policy(MATRIX, EXPECTED, BEND)
    assert [figure.key for figure in bent.figures] == ["load.West@1h", "load.West@24h", "load.West@25h"]
    seen = {figure.key: np.array([1200.0, 700.0, -50.0]) for figure in bent.figures}
    seen["load.West@25h"] = np.array([300.0, 300.0, 900.0])
    assert EXPECTED.values(seen) == pytest.approx([2100.0, 1100.0, -1000.0])


@pytest.mark.parametrize(("load_mw", "over_mw"), [(800.0, 0.0), (1000.0, 0.0), (1000.5, 0.5), (1730.0, 730.0)])
def test_a_bend_is_flat_below_and_a_line_above(load_mw: float, over_mw: float) -> None:
    flat = dict.fromkeys(("load.West@24h", "load.West@25h"), np.array([500.0]))
    assert BEND.values(flat | {"load.West@1h": np.array([load_mw])})[0] == pytest.approx(over_mw)


def test_a_policy_that_reads_nothing_gives_its_intercepts() -> None:
    constant = ContextualPolicy(("a", "b"), (), np.array([[7.0], [-7.0]]))
    assert constant.shift_mw({}).tolist() == [7.0, -7.0]
    assert ContextualPolicy.from_json(constant.to_json()).shift_mw({"unused": 1.0}).tolist() == [7.0, -7.0]


# ---------------------------------------------------------------- its file


def test_another_program_needs_one_call(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    policy().save(path)
    assert ContextualPolicy.load(path).shift_mw(SEEN) == pytest.approx([138.0, -62.2, -75.8])
    assert ContextualPolicy.load(str(path)).datacenters == ("a", "b", "c")


def test_a_policy_survives_its_text_to_the_last_digit() -> None:
    matrix = np.array([[np.pi, 1.0 / 3.0, -1e-7], [-np.pi, -1.0 / 3.0, 1e-7], [0.0, 0.0, 0.0]])
    first = policy(matrix, EXPECTED, BEND)
    again = ContextualPolicy.from_json(first.to_json())
    assert np.array_equal(again.matrix, first.matrix)
    assert (again.datacenters, again.features, again.trained) == (first.datacenters, first.features, first.trained)
    assert again.to_json() == first.to_json()


def test_the_text_is_plain_data_without_code() -> None:
    data = json.loads(policy(MATRIX, LOAD, BEND).to_json())

    def leaves(value: Any) -> list[Any]:
        if isinstance(value, dict):
            return [leaf for part in value.values() for leaf in leaves(part)]
        return [leaf for part in value for leaf in leaves(part)] if isinstance(value, list) else [value]

    assert all(isinstance(leaf, (str, int, float)) for leaf in leaves(data))
    words = {leaf for leaf in leaves(data) if isinstance(leaf, str)}
    # Names, units and the format: nothing that a program could run.
    known = {"g2g_opt contextual policy 1", "a", "b", "c", "MW", "load.West", LOAD.name, BEND.name}
    assert words == known
    assert "above" not in data["features"][0]
    assert data["features"][1]["above"] == 1000.0


# ---------------------------------------------------------------- what is refused


def test_missing_figures_are_all_named() -> None:
    with pytest.raises(InputError, match=r"not published: \['load.West@1h', 'price.North@2h'\]"):
        policy().shift_mw({"load.West@2h": 1.0})
    with pytest.raises(InputError, match=r"\['price.North@2h'\]"):
        policy().shift_mw({"load.West@1h": 1.0})


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_figure_that_is_no_number_is_named_and_not_acted_on(bad: float) -> None:
    with pytest.raises(InputError, match=r"no numbers: \['price.North@2h'\]"):
        policy().shift_mw(SEEN | {"price.North@2h": bad})


def test_a_figure_below_a_bend_is_still_checked() -> None:
    # Minus infinity is below every bend and would pass as 0.
    seen = dict.fromkeys(("load.West@1h", "load.West@24h", "load.West@25h"), 500.0)
    with pytest.raises(InputError, match="no numbers"):
        policy(MATRIX[:, :2], BEND).shift_mw(seen | {"load.West@1h": -np.inf})


@pytest.mark.parametrize(("column", "name"), [(0, "intercept"), (1, "load.West@1h"), (2, "price.North@2h")])
@pytest.mark.parametrize("work_mw", [1.0, -1.0, 1e-3])
def test_a_column_that_makes_or_loses_work_is_named(column: int, name: str, work_mw: float) -> None:
    matrix = MATRIX.copy()
    matrix[1, column] += work_mw
    with pytest.raises(InputError, match=rf"makes or loses work: .*: \['{name}'\]"):
        policy(matrix)


@pytest.mark.parametrize("shape", [(3, 2), (2, 3), (3, 4), (3,)])
def test_a_matrix_of_another_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match=r"shape .* ask for \(3, 3\)"):
        policy(np.zeros(shape))


def test_a_matrix_with_entries_that_are_no_numbers_is_refused() -> None:
    matrix = MATRIX.copy()
    matrix[0, 0] = np.nan
    with pytest.raises(InputError, match=r"intercept of datacenter 'a' must be a finite number in .* MW, got nan"):
        policy(matrix)


def test_a_datacenter_named_twice_is_refused() -> None:
    # Two commands to one datacenter: the second would undo the first, and the work of the first is lost.
    with pytest.raises(InputError, match=r"more than once: \['a'\]"):
        ContextualPolicy(("a", "b", "a"), (), np.array([[5.0], [-3.0], [-2.0]]))


def test_a_feature_without_figures_is_refused() -> None:
    with pytest.raises(InputError, match="'nothing' reads no figure"):
        policy(MATRIX[:, :2], CoordinationFeature("nothing", "MW", ()))


def _without(name: str) -> Callable[[dict[str, Any]], Any]:
    return lambda data: {key: value for key, value in data.items() if key != name}


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data | {"format": "another policy 7"}, "g2g_opt contextual policy 1"),
        (_without("format"), "no policy of this program"),
        (lambda data: [data], "no policy of this program"),
        (lambda data: None, "no policy of this program"),
        (_without("features"), "features"),
        (_without("datacenters"), "datacenters"),
        (_without("intercept_mw"), "intercept_mw"),
        (lambda data: data | {"features": [{"name": "x"}]}, r"features\[0\] lacks 'terms'"),
        (lambda data: data | {"features": 3}, "features: 3 is no list"),
        (lambda data: data | {"features": data["features"][:1]}, r"mw_per_unit\[0\] needs 1 entries .*, got 2"),
        (lambda data: data | {"intercept_mw": [1.0, -1.0]}, "intercept_mw needs 3 entries .*, got 2"),
        (lambda data: data | {"intercept_mw": ["much", -1.0, 0.0]}, r"intercept_mw\[0\]: 'much' is no number"),
        (
            lambda data: data | {"intercept_mw": [5.0, -3.0, float("nan")]},
            "intercept_mw.2 is nan, which is no",
        ),
        (lambda data: data | {"mw_per_unit": data["mw_per_unit"][:2]}, "mw_per_unit needs 3 entries .*, got 2"),
        (
            lambda data: data | {"mw_per_unit": [[0.0], [0.0, 0.0], [0.0]]},
            r"mw_per_unit\[0\] needs 2 entries .*, got 1",
        ),
        # As many entries, but by feature: read row by row they would be other policies' slopes.
        (lambda data: data | {"mw_per_unit": np.zeros((2, 3)).tolist()}, "mw_per_unit needs 3 entries .*, got 2"),
        (lambda data: data | {"mw_per_unit": [0.0] * 6}, "mw_per_unit needs 3 entries .*, got 6"),
        (lambda data: data | {"trained": None}, "trained"),
        (lambda data: data | {"trained": [1]}, "trained"),
        (lambda data: data | {"intercept_mw": [5.0, -3.0, 0.0]}, "makes or loses work"),
    ],
)
def test_a_text_that_is_no_policy_is_refused_in_words(change: Callable[[dict[str, Any]], Any], words: str) -> None:
    data = json.loads(policy().to_json())
    with pytest.raises(InputError, match=words):
        ContextualPolicy.from_json(json.dumps(change(data)))


@pytest.mark.parametrize(("name", "value"), [("lag_h", 1.5), ("lag_h", "soon"), ("times", "twice"), ("times", None)])
def test_a_term_that_cannot_be_meant_is_refused(name: str, value: object) -> None:
    data = json.loads(policy().to_json())
    data["features"][0]["terms"][0][name] = value
    with pytest.raises(InputError, match=rf"features\[0\]\.terms\[0\].*{name}.*(no number|whole hours)"):
        ContextualPolicy.from_json(json.dumps(data))


@pytest.mark.parametrize("name", ["times", "above"])
def test_a_weight_or_bend_that_is_no_number_is_refused_when_read(name: str) -> None:
    data = json.loads(policy(MATRIX[:, :2], BEND).to_json())
    (data["features"][0]["terms"][0] if name == "times" else data["features"][0])[name] = float("nan")
    with pytest.raises(InputError, match=rf"{name} is nan, which is no finite number"):
        ContextualPolicy.from_json(json.dumps(data))


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    with pytest.raises(InputError, match=r"policy\.json not found"):
        ContextualPolicy.load(path)
    policy().save(path)
    path.write_text(path.read_text(encoding="utf-8")[:-40], encoding="utf-8")
    with pytest.raises(InputError, match="no JSON"):
        ContextualPolicy.load(path)
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match=r"policy\.json is in UTF-16"):
        ContextualPolicy.load(path)
    with pytest.raises(InputError, match="is a folder"):
        ContextualPolicy.load(tmp_path)
