"""Files of a conclusion: CSV, GeoJSON, JSON, PNG; its report page as text; the layout of a feeder from its topology."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from report_examples import (
    HOSTILE,
    N_LONG_ROWS,
    PROVENANCE,
    TASKS,
    ieee123_conclusion,
    user_conclusion,
    user_feeder,
)

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from studies.report.figures import draw_pictures
from studies.report.files import write_answer, write_geojson, write_tables, write_texts
from studies.report.network_drawing import DRAWING_UNITS, LONGITUDE_LATITUDE, drawing_of, tree_layout
from studies.report.page import report_html, write_report
from studies.report.page_sections import table_sections
from studies.report.plain_values import json_in_page, plain_value
from studies.report.provenance import TaskStates
from studies.report.result_cells import cell_text, shown_table, table_html
from studies.shared.conclusion import (
    Column,
    ResultTable,
)


def read_csv(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def a_table(*rows: dict[str, Any], digits: int | None = 2) -> ResultTable:
    return ResultTable("t", "T", (Column("bus", "bus"), Column("power_mw", "MW", digits)), rows)


# ---------------------------------------------------------------- CSV


def test_a_table_comes_back_from_its_csv_file_exactly(tmp_path: Path) -> None:
    conclusion = replace(
        user_conclusion(),
        tables=(
            a_table(
                {"bus": HOSTILE, "power_mw": 0.1 + 0.2, "not_a_column": 1},
                {"bus": 'a,"b"\nc', "power_mw": None},
                {"bus": "", "power_mw": np.float64(1 / 3)},
                {"bus": True, "power_mw": float("nan")},
                {"bus": np.array([1.5, 2.0]), "power_mw": float("inf")},
                {"power_mw": np.int64(7)},
            ),
        ),
    )
    (path,) = write_tables(conclusion, tmp_path / "new" / "folder")
    assert path == tmp_path / "new" / "folder" / "t.csv"
    assert read_csv(path) == [
        ["bus", "power_mw"],
        [HOSTILE, "0.30000000000000004"],
        ['a,"b"\nc', ""],
        ["", "0.3333333333333333"],
        ["true", ""],
        ["[1.5, 2.0]", "inf"],
        ["", "7"],
    ]


def test_no_half_written_file_takes_the_place_of_a_whole_one(tmp_path: Path) -> None:
    good = replace(user_conclusion(), tables=(a_table({"bus": "a", "power_mw": 1.0}),))
    (path,) = write_tables(good, tmp_path)
    before = path.read_bytes()
    bad = replace(good, tables=(a_table({"bus": "a", "power_mw": 2.0}, {"bus": object()}),))
    with pytest.raises(TypeError, match="no place in a result"):
        write_tables(bad, tmp_path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["t.csv"]


@pytest.mark.parametrize("names", [("a", "a"), ("../a",), ("",), ("..",), ("a\\b",)])
def test_tables_that_cannot_be_files_are_refused(names: tuple[str, ...], tmp_path: Path) -> None:
    tables = tuple(replace(a_table(), name=name) for name in names)
    with pytest.raises(InputError, match="files of their names"):
        write_tables(replace(user_conclusion(), tables=tables), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_texts_are_written_below_the_folder_and_nowhere_else(tmp_path: Path) -> None:
    conclusion, folder = user_conclusion(), tmp_path / "study"
    (path,) = write_texts(replace(conclusion, texts={"policies/a b.json": "{}\n"}), folder)
    assert (path, path.read_text()) == (folder / "policies" / "a b.json", "{}\n")
    for name in ("../a", "policies/../../a", "/a", "policies//a", "a\\b", "a\0", "", "policies/", "x/./y"):
        with pytest.raises(InputError, match="no place for a file below"):
            write_texts(replace(conclusion, texts={"fine.json": "", name: ""}), folder)
    (folder / "out").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"leads out of .* by a link"):
        write_texts(replace(conclusion, texts={"out/a.json": ""}), folder)
    assert sorted(found.name for found in tmp_path.rglob("*")) == ["a b.json", "out", "policies", "study"]


# ---------------------------------------------------------------- GeoJSON and JSON


def geojson(conclusion: Any, feeder: Feeder, folder: Path) -> dict[str, Any]:
    path = write_geojson(conclusion, feeder, folder / "map.geojson")
    collection: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    return collection


def check_rfc_7946(collection: dict[str, Any]) -> None:
    assert collection["type"] == "FeatureCollection"
    for feature in collection["features"]:
        assert feature["type"] == "Feature"
        assert isinstance(feature["properties"], dict)
        geometry = feature["geometry"]
        if geometry is not None:
            points = [geometry["coordinates"]] if geometry["type"] == "Point" else geometry["coordinates"]
            assert geometry["type"] == "Point" or (geometry["type"] == "LineString" and len(points) >= 2)
            assert all(len(point) == 2 and all(isinstance(v, float) for v in point) for point in points)


def test_geojson_holds_every_bus_and_branch_with_the_figures_of_all_maps(tmp_path: Path) -> None:
    conclusion, feeder = ieee123_conclusion(), Feeder.load("ieee123")
    collection = geojson(conclusion, feeder, tmp_path)
    check_rfc_7946(collection)
    assert collection["coordinate_system"] == DRAWING_UNITS
    assert collection["geographic"] is False
    assert "not longitude and latitude in WGS 84 (OGC:CRS84)" in collection["note"]
    # RFC 7946 has no member for another reference system; one that older readers heed would only be misread.
    assert not {"crs", "bbox"} & set(collection)
    buses = {f["properties"]["bus"]: f for f in collection["features"] if "bus" in f["properties"]}
    branches = [f for f in collection["features"] if "branch" in f["properties"]]
    assert set(buses) == set(feeder.buses)
    assert {(f["properties"]["branch"], f["properties"]["element"]) for f in branches} == {
        (branch.name, branch.kind) for branch in feeder.branches
    }
    firm, flexible = conclusion.maps[:2]
    for bus, feature in buses.items():
        assert feature["properties"]["Firm capacity (MW)"] == firm.value_by_bus.get(bus)
        assert feature["properties"]["Flexible capacity (MW)"] == flexible.value_by_bus.get(bus)
        assert feature["properties"].get("Flexible capacity (MW): marked") == flexible.marked.get(bus)
        xy = feeder.buses[bus].xy
        assert (feature["geometry"] is None) == (xy is None)
        assert xy is None or tuple(feature["geometry"]["coordinates"]) == xy
    unlocated = [f["properties"]["branch"] for f in branches if f["geometry"] is None]
    assert len(unlocated) == 2, "the two stubs to buses without coordinates"


def test_geojson_of_a_feeder_without_coordinates_says_that_its_layout_was_computed(tmp_path: Path) -> None:
    collection = geojson(user_conclusion(), user_feeder(tmp_path), tmp_path)
    check_rfc_7946(collection)
    assert "computed from the topology" in collection["coordinate_system"]
    assert all(feature["geometry"] for feature in collection["features"])
    (spare,) = [f for f in collection["features"] if f["properties"].get("branch") == "spare"]
    assert spare["properties"]["closed"] is False


def with_coordinates(folder: Path, places: dict[str, tuple[float, float]]) -> Feeder:
    feeder = user_feeder(folder)
    return replace(feeder, buses={name: replace(bus, xy=places.get(name)) for name, bus in feeder.buses.items()})


def test_longitude_and_latitude_are_recognised_and_need_no_remark(tmp_path: Path) -> None:
    places = {"sub": (-121.9012, 37.4101), "feed_1": (-121.8987, 37.4122), "feed_2": (-121.8954, 37.4130)}
    feeder = with_coordinates(tmp_path, places)
    drawing = drawing_of(feeder)
    assert drawing.coordinate_system == LONGITUDE_LATITUDE
    assert drawing.y_per_x == pytest.approx(1.259, abs=0.001), "1 / cos 37.4 degrees"
    assert set(drawing.unplaced) == set(feeder.buses) - set(places)
    assert set(geojson(user_conclusion(), feeder, tmp_path)) == {"type", "name", "features"}


@pytest.mark.parametrize(
    "places",
    [
        {"sub": (200.0, 400.0), "feed_1": (200.0, 350.0)},
        {"sub": (1.0, 2.0), "feed_1": (2.0, 2.0)},
        {"sub": (-121.9012, 37.4101), "feed_1": (-101.5, 47.25)},
    ],
)
def test_other_coordinates_are_drawing_units(places: dict[str, tuple[float, float]], tmp_path: Path) -> None:
    assert drawing_of(with_coordinates(tmp_path, places)).coordinate_system == DRAWING_UNITS


def test_coordinates_that_are_all_one_point_count_as_none(tmp_path: Path) -> None:
    feeder = with_coordinates(tmp_path, dict.fromkeys(user_feeder(tmp_path).buses, (0.0, 0.0)))
    assert drawing_of(feeder).computed


def test_the_answer_as_json_holds_the_whole_conclusion(tmp_path: Path) -> None:
    conclusion = ieee123_conclusion()
    path = write_answer(conclusion, tmp_path / "answer.json")
    content = json.loads(path.read_text(encoding="utf-8"), parse_constant=pytest.fail)
    assert content["answer"] == conclusion.answer
    assert content["not_assessed"] == list(conclusion.not_assessed)
    assert content["failures"][1] == {"what": f"bus {HOSTILE}", "reason": HOSTILE}
    assert content["tables"][1]["rows"] == list(conclusion.tables[1].rows)


def test_values_become_plain_or_are_refused() -> None:
    assert plain_value({"a": (np.float32(0.5), np.nan, {3, 1})}) == {"a": [0.5, None, [1, 3]]}
    with pytest.raises(TypeError, match="a function has no place"):
        plain_value(json_in_page)


# ---------------------------------------------------------------- layout from topology


def segments_cross(a: Any, b: Any, c: Any, d: Any) -> bool:
    def side(p: Any, q: Any, r: Any) -> float:
        return float((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    return side(a, b, c) * side(a, b, d) < 0 and side(c, d, a) * side(c, d, b) < 0


@pytest.mark.parametrize("seed", range(5))
def test_a_tree_is_laid_out_without_crossings_and_every_bus_in_its_own_place(seed: int) -> None:
    draw = np.random.default_rng(seed)
    buses = [f"b{k}" for k in range(60)]
    edges = [(buses[int(draw.integers(max(0, k - 12), k))], buses[k]) for k in range(1, 60)]
    positions = tree_layout(buses, edges)
    assert set(positions) == set(buses)
    assert len(set(positions.values())) == len(buses)
    assert all(positions[b][0] == positions[a][0] + 1 for a, b in edges), "one step to the right per branch"
    ends = [(positions[a], positions[b]) for a, b in edges]
    assert not any(segments_cross(*p, *q) for p in ends for q in ends if p != q)


def test_a_long_feeder_with_a_loop_and_a_part_apart_is_laid_out() -> None:
    chain = [f"b{k}" for k in range(5000)]
    edges = [*pairwise(chain), ("b4", "b2"), ("apart", "too"), ("self", "self")]
    positions = tree_layout([*chain, "apart", "too", "self"], edges)
    assert len(set(positions.values())) == 5003
    assert len({positions[bus][1] for bus in chain[:3] + chain[4:]}) == 1, "the main way is straight"
    assert positions["apart"][1] < min(positions[bus][1] for bus in chain)


# ---------------------------------------------------------------- the page as text


def test_cells_are_shown_as_their_columns_say() -> None:
    table = shown_table(
        a_table({"bus": 12, "power_mw": -0.001}, {"bus": "x", "power_mw": None}, {"bus": None, "power_mw": 2.2512})
    )
    assert table.numeric == (False, True)
    assert table.rows == [["12", 0.0], ["x", None], [None, 2.25]]
    assert cell_text(0.0, table.columns[1], True) == "0.00"
    assert cell_text(None, table.columns[1], True) == "–"
    assert shown_table(a_table({"power_mw": 3.0}, digits=None)).rows == [[None, 3.0]]
    assert shown_table(a_table({"bus": False}, {"bus": [1, None]})).rows == [["no", None], ["1, –", None]]


def test_a_folded_table_names_its_rows_on_a_screen_and_its_file_on_paper() -> None:
    (section,) = table_sections("results", "Results", [replace(a_table({"bus": "a"}, {"bus": "b"}), folded=True)])
    # "2 rows," it said on a screen, where the file is not shown.
    assert re.search(
        r'<span class="count">2 rows<span class="on-paper">, <code>\w+\.csv</code></span></span>', section.html
    )


def test_only_a_page_of_a_long_table_is_html_and_the_rest_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"bus": f"b{k}", "power_mw": k} for k in range(N_LONG_ROWS)]
    html = table_html(shown_table(a_table(*rows), "t.csv"))
    assert html.count("<tr>") == 101
    assert "rows 1 to 100 of 15,225" in html
    assert "All rows, figures unrounded: <code>t.csv</code>" in html
    monkeypatch.setattr("studies.report.result_cells.ROWS_ON_PAGE_MAX", 200)
    html = table_html(shown_table(a_table(*rows), "t.csv"))
    assert "This page holds the first 200 of 15,225 rows." in html
    assert '"b200"' not in html
    assert "no rows" in table_html(shown_table(a_table()))


def tags(html: str) -> Iterator[str]:
    """The page without the drawing library, whose source would be found instead."""
    return iter(re.findall(r"<[a-z/!][^>]*>", html.split("<script>\n/**")[0]))


def test_hostile_texts_are_texts_in_the_page() -> None:
    html = report_html(ieee123_conclusion(), PROVENANCE, Feeder.load("ieee123"), TASKS)
    assert "<img" not in html.split("<script>\n/**")[0]
    opened = [tag for tag in tags(html) if tag.startswith("<script")]
    assert set(opened) <= {
        '<script type="application/json">',
        '<script type="application/json" id="map-data">',
        '<script type="application/json" id="envelope-data">',
    }
    for data in re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', html, re.DOTALL):
        assert not set("<>&\u2028") & set(data)
        json.loads(data)


def test_the_page_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    path = write_report(
        user_conclusion(), PROVENANCE, user_feeder(tmp_path), TaskStates({"done": 4}), tmp_path / "report.html"
    )
    html = path.read_text(encoding="utf-8")
    assert "default-src 'none'" in html
    assert not [tag for tag in tags(html) if re.search(r"(?:src|href)=\"(?!#|data:,)", tag)]
    assert "Candidates without an answer: none." in html
    assert "Tasks that failed: none." in html
    assert "this layout was computed from its topology" in html
    assert "Positions are a drawing, not longitude and latitude; map.geojson says so too." in html
    assert path.stat().st_size < 6e6


def test_an_empty_conclusion_still_has_a_page_and_files(tmp_path: Path) -> None:
    empty = replace(user_conclusion(), tables=(), maps=())
    html = report_html(empty, replace(PROVENANCE, seed=None), Feeder.load("ieee13"), TaskStates({}))
    assert "There were no tasks." in html
    assert "<h2>Results</h2>" not in html
    assert write_tables(empty, tmp_path) == []
    assert draw_pictures(empty, Feeder.load("ieee13"), tmp_path) == []
