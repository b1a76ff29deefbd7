"""The zones of a transmission system: lines, generators, datacenters, and where renewables stand (equations, section
9).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from g2g_opt.data_files import data_path, read_table
from g2g_opt.errors import InputError

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# "published" repeats the published study: lines weighted with x instead of 1/x, renewables where they are planned.
Settings = Literal["physical", "published"]
SETTINGS: tuple[Settings, ...] = get_args(Settings)

# C = 1e-5 c, and what an MWh that is not served costs (equation 9.7).
QUADRATIC_PER_MW = 1e-5
SHED_USD_PER_MWH = 1000.0


@dataclass(frozen=True, eq=False)
class ZonalSystem:
    """Zones, lines between them, conventional generators and datacenters.

    Lines: `from_zone`, `to_zone` (line,), `reactance_pu` of `base_mva`, `limit_mw` in either direction, `angle_rad`
    that a phase shifter in a line adds, and `flow_min_mw`, `flow_max_mw` where the angle between its ends is limited
    (infinite elsewhere). Generators: `generator_zone`, power limits (MW), cost ($/MWh), its rise C ($/MW^2h), start-up
    cost ($), ramps (MW/h, infinite where none is given). A unit whose cost is piecewise linear is several generators,
    one for every piece: `generator_unit` (generator,) says of which unit. `fixed_usd_per_h` is what all units cost
    whatever they give, `shed_usd_per_mwh` what load costs that is not served. Datacenters:
    `datacenter_zone` (datacenter,), `latency` (datacenter, zone of the user) in borders crossed. `wind_share` and
    `solar_share` by settings, (zone,): share of the state's wind and sun.
    """

    zones: tuple[str, ...]
    peak_load_mw: Floats
    from_zone: Ints
    to_zone: Ints
    reactance_pu: Floats
    limit_mw: Floats
    generator_zone: Ints
    generator_kind: tuple[str, ...]
    power_min_mw: Floats
    power_max_mw: Floats
    cost_usd_per_mwh: Floats
    quadratic_usd_per_mw2h: Floats
    startup_usd: Floats
    ramp_up_mw_per_h: Floats
    ramp_down_mw_per_h: Floats
    datacenters: tuple[str, ...]
    datacenter_zone: Ints
    latency: Floats
    wind_share: Mapping[Settings, Floats]
    solar_share: Mapping[Settings, Floats]
    base_mva: float
    angle_rad: Floats
    flow_min_mw: Floats
    flow_max_mw: Floats
    generator_unit: Ints
    fixed_usd_per_h: float = 0.0
    shed_usd_per_mwh: float = SHED_USD_PER_MWH

    @property
    def line_names(self) -> tuple[str, ...]:
        """Lines as "West-Genese", parallel ones as "West-Genese 2" and so on."""
        seen: Counter[str] = Counter()
        names = []
        for start, end in zip(self.from_zone, self.to_zone, strict=True):
            name = f"{self.zones[start]}-{self.zones[end]}"
            seen[name] += 1
            names.append(name if seen[name] == 1 else f"{name} {seen[name]}")
        return tuple(names)

    def reactance_rad_per_mw(self, settings: Settings) -> Floats:
        """Angle between the ends of a line (line,) per MW that it carries.

        In a DC power flow it is that of x; the published study's numbers rest on 1/x (equation 9.7).
        """
        own = self.reactance_pu if settings == "physical" else 1.0 / self.reactance_pu
        return np.asarray(own / self.base_mva)

    def by_unit_mw(self, power_mw: Floats) -> Floats:
        """Power of units (..., unit) of generators' (..., generator), whose pieces are added up."""
        n_units = int(self.generator_unit.max(initial=-1)) + 1
        return np.asarray(power_mw @ np.eye(n_units)[self.generator_unit])

    def renewables_mw(self, wind_mw: Floats, solar_mw: Floats, settings: Settings) -> Floats:
        """What the state's wind and sun (hour,) inject in every zone (hour, zone)."""
        return np.outer(wind_mw, self.wind_share[settings]) + np.outer(solar_mw, self.solar_share[settings])

    def datacenter_demand_mw(self, penetration: float) -> Floats:
        """Work of the users in every zone (zone,): a share of its peak load, on top of the load there is.

        Raises `InputError` unless 0 < penetration <= 1.
        """
        if not 0.0 < penetration <= 1.0:
            raise InputError(f"penetration must be above 0 and at most 1 (a share of the peak load), got {penetration}")
        return penetration * self.peak_load_mw

    def with_datacenters(self, load_mw: Floats, theta_mw: Floats) -> Floats:
        """Load (hour, zone) with the datacenters' (datacenter,) or (hour, datacenter) added in their zones."""
        drawn = np.zeros((len(self.datacenters), len(self.zones)))
        drawn[np.arange(len(drawn)), self.datacenter_zone] = 1.0
        return np.asarray(load_mw + theta_mw @ drawn)


@dataclass(frozen=True, eq=False)
class CommitmentCosts:
    """What conventional units (unit,) cost besides energy and starts: $/h on; shortest times on and off (h)."""

    no_load_usd_per_h: Floats
    min_up_h: Ints
    min_down_h: Ints


@dataclass(frozen=True, eq=False)
class PeakRecords:
    """The records of the peak-hour study: a day each; `load_mw` and `injected_mw` (record, zone)."""

    dates: tuple[str, ...]
    load_mw: Floats
    injected_mw: Floats


@lru_cache(maxsize=1)
def load_zonal_system() -> ZonalSystem:
    """The bundled 11 zones of New York, 12 lines, 39 conventional generators, five datacenters (data/nyiso)."""
    zones = _rows("zones.csv")
    lines = _rows("lines.csv")
    units = [row for row in _rows("generators.csv") if row["conventional"] == "1"]
    centers = _rows("data_centers.csv")
    shares = _rows("renewable_shares.csv")
    names = tuple(row["name"] for row in zones)
    latency = {row["dc_zone"]: [float(row[name]) for name in names] for row in _rows("latency.csv")}
    ramp_up, ramp_down = _column(units, "ramp_up_mw_per_h"), _column(units, "ramp_down_mw_per_h")
    return ZonalSystem(
        names,
        _column(zones, "peak_load_mw"),
        _place(lines, "from_zone"),
        _place(lines, "to_zone"),
        _column(lines, "x_pu"),
        _column(lines, "limit_mw"),
        _place(units, "zone"),
        tuple(row["type"] for row in units),
        _column(units, "pmin_mw"),
        _column(units, "pmax_mw"),
        _column(units, "cost_usd_per_mwh"),
        QUADRATIC_PER_MW * _column(units, "cost_usd_per_mwh"),
        _column(units, "startup_usd"),
        np.where(ramp_up > 0.0, ramp_up, np.inf),
        np.where(ramp_down > 0.0, ramp_down, np.inf),
        tuple(row["name"] for row in centers),
        _place(centers, "zone"),
        np.array([latency[row["name"]] for row in centers]),
        {"physical": _column(shares, "wind_share_existing"), "published": _column(shares, "wind_share")},
        {"physical": _column(shares, "solar_share_existing"), "published": _column(shares, "solar_share")},
        base_mva=1.0,
        angle_rad=np.zeros(len(lines)),
        flow_min_mw=np.full(len(lines), -np.inf),
        flow_max_mw=np.full(len(lines), np.inf),
        generator_unit=np.arange(len(units)),
    )


def load_commitment_costs() -> CommitmentCosts:
    """Of the bundled units, in the order of `load_zonal_system`."""
    units = [row for row in _rows("generators.csv") if row["conventional"] == "1"]
    up, down = (_column(units, name).astype(np.int64) for name in ("min_up_h", "min_down_h"))
    return CommitmentCosts(_column(units, "no_load_usd_per_h"), up, down)


def load_peak_records(settings: Settings) -> PeakRecords:
    """The 546 peak hours of 2018-01 to 2019-06: bid load at 17 h, and renewables of 16 to 17 h of the same day.

    In "published" settings, renewables are those of another day, as the published study joined them (equation 9.7).
    """
    system = load_zonal_system()
    loads, renewables = _rows("peak_load_bid.csv"), _rows("peak_renewables.csv")
    suffix = "_as_used" if settings == "published" else ""
    return PeakRecords(
        tuple(row["date"] for row in loads),
        np.array([[float(row[zone]) for zone in system.zones] for row in loads]),
        system.renewables_mw(
            _column(renewables, f"wind_mwh{suffix}"), _column(renewables, f"solar_mwh{suffix}"), settings
        ),
    )


def _rows(name: str) -> list[dict[str, str]]:
    return read_table(data_path("nyiso", name))


def _column(rows: list[dict[str, str]], name: str) -> Floats:
    return np.array([float(row[name]) for row in rows])


def _place(rows: list[dict[str, str]], name: str) -> Ints:
    """Numbers that count from 1 in the tables."""
    return np.array([int(row[name]) - 1 for row in rows], dtype=np.int64)
