"""Tables of a task as Parquet: rows to columns and back, and what the ledger keeps to know a file again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from g2g_opt.errors import InputError
from g2g_opt.reading import MIB, read_bytes
from studies.shared.task import Row

# Far from what a task writes; more is not read.
_TABLE_BYTES_MAX = 4096 * MIB


@dataclass(frozen=True)
class TableRecord:
    """What a table is known by: its number of rows, and the SHA-256 of its file."""

    rows: int
    sha256: str


# Of all tables of a task, by name; None where an older ledger kept none.
TableRecords = Mapping[str, TableRecord]


class StoredTables(Mapping[str, Sequence[Row]]):
    """Tables of one task, each read from its Parquet file on first use; lists of numbers come back as arrays.

    Reading a file that is no Parquet is an `InputError`; `damage` says whether the files are those of `records`.
    """

    def __init__(self, folder: Path, records: TableRecords | None = None) -> None:
        self._folder, self._records = folder, records
        self._read: dict[str, list[Row]] = {}

    @cached_property
    def _names(self) -> list[str]:
        return sorted(path.stem for path in self._folder.glob("*.parquet"))

    def __getitem__(self, name: str) -> Sequence[Row]:
        if name not in self._names:
            raise KeyError(name)
        if name not in self._read:
            path = self._path(name)
            try:
                # In this thread alone: Arrow waits for ever for one that a limit of memory keeps from being made.
                with pq.ParquetFile(pa.BufferReader(self._content(name))) as file:
                    self._read[name] = _rows(file.read(use_threads=False))
            except MemoryError:
                raise
            except (OSError, ValueError, pa.ArrowException) as error:
                raise InputError(f"{path} is damaged ({error}); `g2g resume` does its task again") from error
        return self._read[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _path(self, name: str) -> Path:
        return self._folder / f"{name}.parquet"

    def _content(self, name: str) -> bytes:
        return read_bytes(self._path(name), "table", _TABLE_BYTES_MAX)

    def damage(self) -> str:
        """What is wrong with the files, in words; empty if they are what was recorded.

        Without records (an older ledger) every file is read, which finds what is no Parquet and nothing else.
        """
        if not self._folder.is_dir():
            return "its tables are missing"
        if self._records is None:
            try:
                for name in self:
                    self[name]
            except InputError as error:
                return str(error)
            return ""
        for name in sorted({*self._records, *self._names}):
            if name not in self._records:
                return f"{name}.parquet was not written by it"
            if name not in self._names:
                return f"{name}.parquet is missing"
            try:
                found = hashlib.sha256(self._content(name)).hexdigest()
            except InputError as error:
                return f"{name}.parquet cannot be read ({error})"
            if found != self._records[name].sha256:
                return f"{name}.parquet is not what was recorded ({self._records[name].rows} rows)"
        return ""


def table_file(rows: Sequence[Row]) -> tuple[bytes, TableRecord]:
    """Rows as the bytes of a Parquet file, and its record."""
    sink = pa.BufferOutputStream()
    pq.write_table(_table(rows), sink, compression="zstd")
    content = sink.getvalue().to_pybytes()
    return content, TableRecord(len(rows), hashlib.sha256(content).hexdigest())


def _table(rows: Sequence[Row]) -> pa.Table:
    """Rows as columns; a row that lacks a name has None there."""
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.table({name: [row.get(name) for row in rows] for name in names})


def _rows(table: pa.Table) -> list[Row]:
    columns = {name: _column(table.column(name).combine_chunks()) for name in table.column_names}
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _column(values: pa.ChunkedArray | pa.Array) -> list[Any]:
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if not (pa.types.is_list(values.type) and pa.types.is_primitive(values.type.value_type)):
        listed: list[Any] = values.to_pylist()
        return listed
    flat = values.flatten().to_numpy(zero_copy_only=False)
    ends = np.cumsum(values.value_lengths().fill_null(0).to_numpy(zero_copy_only=False))
    begins = np.concatenate([[0], ends[:-1]])
    known = values.is_valid().to_pylist()
    return [flat[a:b] if here else None for a, b, here in zip(begins, ends, known, strict=True)]
