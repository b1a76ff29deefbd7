"""A conclusion as files for other programs: CSV per table, GeoJSON of the feeder, and the whole of it as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from g2g_opt.csv_files import write_csv
from g2g_opt.errors import InputError, shown
from g2g_opt.feeder import Feeder
from studies.report.atomic_file import replacing, write_text
from studies.report.network_drawing import NOT_GEOGRAPHIC, Edge, NetworkDrawing, drawing_of
from studies.report.plain_values import plain_value
from studies.shared.conclusion import Conclusion, FeederMap, ResultTable

_NO_FILE_NAME = frozenset('/\\:*?"<>|\0')


def write_tables(conclusion: Conclusion, folder: Path) -> list[Path]:
    """Write each table as `name`.csv: column names as the header, figures unrounded, missing ones empty.

    A text that a spreadsheet would compute ("=...") has an apostrophe before it (`csv_files.as_text`).

    Raises `InputError` if two tables have one name, or a name that no file can have.
    """
    names = [table.name for table in conclusion.tables]
    for name in names:
        if names.count(name) > 1 or not name.strip(". ") or _NO_FILE_NAME & set(name):
            raise InputError(f"tables are written as files of their names: {name!r} is taken twice or no file name")
    return [_write_csv(table, folder / f"{table.name}.csv") for table in conclusion.tables]


def _write_csv(table: ResultTable, path: Path) -> Path:
    names = [column.name for column in table.columns]
    with replacing(path) as scratch, scratch.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        write_csv(file, names, ([_csv_cell(row.get(name)) for name in names] for row in table.rows))
    return path


def _csv_cell(value: Any) -> Any:
    # A boundless figure is not a missing one; "not a number" is.
    if isinstance(value, float) and math.isinf(value):
        return "inf" if value > 0 else "-inf"
    value = plain_value(value)
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | Mapping):
        return json.dumps(value, ensure_ascii=False)
    return value


def write_texts(conclusion: Conclusion, folder: Path) -> list[Path]:
    """Write each text of a conclusion to its place below the folder.

    Places are made of what is stored, which may be a stranger's: `InputError` for one that leads out of the folder.
    """
    root = folder.resolve()
    for name in conclusion.texts:
        parts = name.split("/")
        if any(not part.strip(". ") or _NO_FILE_NAME & set(part) for part in parts):
            raise InputError(f"{shown(name)} is no place for a file below {folder}")
        if not (root / name).resolve().is_relative_to(root):
            raise InputError(f"{shown(name)} leads out of {folder} by a link; remove the link")
    return [write_text(folder / name, text) for name, text in conclusion.texts.items()]


def write_answer(conclusion: Conclusion, path: Path) -> Path:
    """Write the whole conclusion as JSON; figures that are missing or not finite are null."""
    return write_text(path, json.dumps(plain_value(conclusion), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def write_geojson(conclusion: Conclusion, feeder: Feeder, path: Path) -> Path:
    """Write one FeatureCollection: a point per bus with its figure of every map, a line string per branch.

    GeoJSON means longitude and latitude (RFC 7946, section 4); where a feeder's coordinates are not, foreign members
    of the collection (section 6.1) say so: `geographic` is false, `coordinate_system` says what they are, and `note`
    what not to do with them. Buses without coordinates have no geometry.
    """
    drawing = drawing_of(feeder)
    collection: dict[str, Any] = {
        "type": "FeatureCollection",
        "name": conclusion.title,
        **({} if drawing.geographic else _drawn(drawing)),
        "features": [*_bus_features(conclusion.maps, feeder, drawing), *_edge_features(drawing)],
    }
    return write_text(path, json.dumps(plain_value(collection), indent=1, allow_nan=False, ensure_ascii=False) + "\n")


def _drawn(drawing: NetworkDrawing) -> dict[str, Any]:
    return {"geographic": False, "coordinate_system": drawing.coordinate_system, "note": NOT_GEOGRAPHIC}


def property_names(maps: Iterable[FeederMap]) -> list[str]:
    """A property name for each map: title and unit; the second of one name is numbered."""
    names: list[str] = []
    for feeder_map in maps:
        name = f"{feeder_map.title} ({feeder_map.unit})" if feeder_map.unit else feeder_map.title
        taken = sum(other == name or other.startswith(f"{name} #") for other in names)
        names.append(f"{name} #{taken + 1}" if taken else name)
    return names


def _bus_features(maps: tuple[FeederMap, ...], feeder: Feeder, drawing: NetworkDrawing) -> Iterable[dict[str, Any]]:
    names = property_names(maps)
    for bus in feeder.buses.values():
        known: dict[str, Any] = {"bus": bus.name, "phases": bus.phases, "kv_ln": bus.kv_ln}
        for name, feeder_map in zip(names, maps, strict=True):
            known[name] = feeder_map.value_by_bus.get(bus.name)
            for kind, words in (("text", feeder_map.text_by_bus), ("marked", feeder_map.marked)):
                if bus.name in words:
                    known[f"{name}: {kind}"] = words[bus.name]
        place = drawing.positions.get(bus.name)
        yield _feature({"type": "Point", "coordinates": place} if place is not None else None, known)


def _edge_features(drawing: NetworkDrawing) -> Iterable[dict[str, Any]]:
    for edge in drawing.edges:
        yield _feature(
            _line_string(edge, drawing),
            {
                "branch": edge.name,
                "element": edge.element,
                "from": edge.buses[0],
                "to": edge.buses[1],
                "closed": edge.kind != "open",
                "switch": edge.is_switch,
                "regulator": edge.kind == "regulator",
                "rating_a": edge.rating_a,
            },
        )


def _line_string(edge: Edge, drawing: NetworkDrawing) -> dict[str, Any] | None:
    ends = [drawing.positions.get(bus) for bus in edge.buses]
    return {"type": "LineString", "coordinates": ends} if None not in ends else None


def _feature(geometry: dict[str, Any] | None, properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "Feature", "geometry": geometry, "properties": properties}
