"""Clients of a low-voltage feeder: what each draws and what its photovoltaic unit could give, measured, row by row."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from g2g_opt.data_files import data_path, read_table
from g2g_opt.errors import InputError, unknown_name
from g2g_opt.feeder import Feeder

Floats = NDArray[np.float64]

# Cases by the names that studies use, and the feeders that they are on.
CLIENT_CASES: Mapping[str, str] = {"cigre-lv": "cigre_lv", "five-clients": "five_clients"}
# Rows of the curves that the reference study plays, one a second: 50 to 248.
FIRST_ROW, N_ROWS = 50, 199
ROW_S = 1.0


@dataclass(frozen=True, eq=False)
class ClientCase:
    """Clients of a feeder, each with a load and a photovoltaic unit at its `buses`, played a row every `ROW_S`.

    `load_kva` (row, client) is what they draw, never more than their nominal power; `available_kw` (row, client) what
    their units could give, of sizes `pv_max_kw`; all of three phases together, balanced. `curve_sum_kw` sums what they
    could give over all rows of the curves, of which a case plays some.
    """

    feeder: Feeder
    names: tuple[str, ...]
    buses: tuple[str, ...]
    pv_max_kw: Floats
    load_kva: NDArray[np.complex128]
    available_kw: Floats
    curve_sum_kw: float

    @property
    def duration_s(self) -> float:
        """Length of a run (s)."""
        return ROW_S * len(self.available_kw)

    @property
    def available_kwh(self) -> float:
        """Energy that the units could give (kWh, of the time that is played)."""
        return float(self.available_kw.sum()) * ROW_S / 3600.0

    def row_at(self, time_s: float) -> int:
        """The row that holds at a time (s)."""
        return min(max(int(time_s / ROW_S + 1e-9), 0), len(self.available_kw) - 1)

    def part(self, n_rows: int) -> ClientCase:
        """The first rows alone; `InputError` if there are fewer."""
        if not 1 <= n_rows <= len(self.available_kw):
            raise InputError(f"a run has 1 to {len(self.available_kw)} rows, got {n_rows}")
        if n_rows == len(self.available_kw):
            return self
        available_kw = self.available_kw[:n_rows]
        return replace(
            self, load_kva=self.load_kva[:n_rows], available_kw=available_kw, curve_sum_kw=float(available_kw.sum())
        )


@lru_cache(maxsize=4)
def load_client_case(name: str) -> ClientCase:
    """A case by name (`CLIENT_CASES`); `InputError` for one that there is not."""
    if name not in CLIENT_CASES:
        raise unknown_name("case", name, CLIENT_CASES)
    feeder = Feeder.load(CLIENT_CASES[name])
    clients = read_table(data_path("feeders", feeder.name, "clients.csv"))
    rows = read_table(data_path("clients", "curves.csv"))
    played = slice(FIRST_ROW, FIRST_ROW + N_ROWS)
    nominal = {row["name"]: row for row in read_table(data_path("feeders", feeder.name, "loads.csv"))}
    buses = {load.name: load.bus for load in feeder.own_loads}

    def curve(what: str) -> Floats:
        return np.array([[float(row[f"{client['curve']}_{what}"]) for client in clients] for row in rows])

    names = tuple(client["name"] for client in clients)
    load_kw = np.minimum(curve("load_kw"), [float(nominal[one]["kW"]) for one in names])
    pv_kw = curve("pv_kw")
    return ClientCase(
        feeder=feeder,
        names=names,
        buses=tuple(buses[one] for one in names),
        pv_max_kw=np.array([float(client["pv_max_kw"]) for client in clients]),
        load_kva=(load_kw + 1j * curve("load_kvar"))[played],
        available_kw=pv_kw[played],
        curve_sum_kw=float(pv_kw.sum()),
    )
