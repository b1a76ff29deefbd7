"""The question of a queue of requests, complete enough to rerun, and what it resolves to."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Annotated

from g2g_opt.errors import InputError
from g2g_opt.feeder import Feeder
from g2g_opt.flag import Flag
from g2g_opt.quantities import CountFromZero, LoadShare, PeriodS, Share, ShareAboveZero, bounds_of
from g2g_opt.scenario import Scenario
from g2g_opt.site import Site, smallest_n_servers
from studies.connection_check.question import RemedyQuestion
from studies.connection_queue.requests_file import QueuedRequest, read_requests
from studies.shared.question_model import question_model
from studies.shared.workload import Models, check_site_buses

# A constant load is granted in parts of it, and stands on servers of so many MW each at the most: few of them, so
# that next to nothing of it follows demand.
_CONSTANT_PARTS = 100
_CONSTANT_MW = 0.4
_, _LOAD_SHARE = bounds_of(LoadShare)
# Of a feeder without own load: to a power of ten that numbers have.
_ANY_GROWTH = math.log(1e300)

DESCRIPTION = (
    "Requests in order of arrival: each is granted firm, flexible or with a limited profile by the feeder's own load, "
    "or refused with what binds and what would cure it. The grid carries those before; what a withdrawal frees goes to "
    "those that were refused; the feeder's own load grows by the year."
)
EPILOG = (
    "Example: g2g queue requests.csv --feeder ieee123 --growth 0.01. The CSV has the columns bus, mw and date "
    "(2025-03-01); name, model, load_shape (fleet or constant) and withdrawn (a date) may be there."
)
# The field that may be given without its flag.
POSITIONAL = "requests"


@question_model
class ConnectionQueueQuestion(RemedyQuestion):
    """The question, complete enough to rerun: what becomes of the `requests` of a CSV file?

    Every grant holds at all `levels` of the feeder's own load (shares of what its data have), at the load of its year,
    by `growth` a year from the first request on, and `horizon_years` later. A limited profile is a MW for each level,
    at least `limited_share_min` of what was asked for; `cures` refused requests get remedies simulated.
    """

    requests: Annotated[str, Flag("--requests", "CSV of requests, also without the flag", metavar="FILE")] = ""
    levels: Annotated[
        tuple[ShareAboveZero, ...],
        Flag("--levels", "levels of the feeder's own load at which grants hold, the highest first", metavar="SHARE"),
    ] = (1.0, 0.6)
    growth: Annotated[Share, Flag("--growth", "of the feeder's own load, a year")] = 0.0
    horizon_years: Annotated[CountFromZero, Flag("--horizon-years", "years after its own for which a grant holds")] = 0
    limited_share_min: Annotated[
        ShareAboveZero, Flag("--limited-min", "least share of the MW asked for that a limited profile has at any level")
    ] = 0.2
    search_dt_s: Annotated[
        PeriodS, Flag("--search-dt-s", "step of the runs that look for a grant; what is granted ran in steps of --dt-s")
    ] = Fraction(10)
    cures: Annotated[CountFromZero, Flag("--cures", "refused requests for which remedies are simulated")] = 10

    def check_fields(self) -> None:
        """Raise `InputError` for figures that do not fit together."""
        super().check_fields()
        if list(self.levels) != sorted(set(self.levels), reverse=True):
            raise InputError(f"levels of own load go from the highest down, got {self.levels}")
        self.coarse(self.scenario)  # refuses a step that does not divide the run

    def coarse(self, scenario: Scenario) -> Scenario:
        """A scenario in the steps of the search."""
        step = max(self.search_dt_s, scenario.dt_s)
        # Controllers act at whole steps, as near to their own period as that allows.
        return replace(scenario, dt_s=step, control_dt_s=step * -(-scenario.control_dt_s // step))

    def read(self) -> tuple[QueuedRequest, ...]:
        """The requests in order of arrival."""
        return read_requests(self.requests)

    def own_load_factor(self, year: int, first_year: int) -> float:
        """By how much the feeder's own load has grown since the first request."""
        return float((1.0 + self.growth) ** (year - first_year)) * self.scenario.own_load_share

    def resolve_buses(self, feeder: Feeder) -> tuple[str, ...]:
        """The buses of all requests; `InputError` that names a request at one that is unknown or not served."""
        found: dict[str, None] = {}
        faults: list[str] = []
        for request in self.read():
            try:
                found.update(dict.fromkeys(check_site_buses(feeder, (request.bus,))))
            except InputError as error:
                faults.append(f"{request.name}: {error}")
        if faults:
            # Each lists all buses that there are.
            more = f" (and {len(faults) - 1} requests more at such buses)" if len(faults) > 1 else ""
            raise InputError(f"{self.requests}: {faults[0]}{more}")
        return tuple(found)

    def models_of(self, request: QueuedRequest) -> Models:
        """What a request serves."""
        return self.load_models((request.model,) if request.model else ())

    def size_of(self, request: QueuedRequest) -> int:
        """Its servers; the parts of a constant load. `InputError` for less than the smallest site."""
        if request.load_shape == "fleet":
            return self.servers_for(request.mw, self.models_of(request))
        if self.least_size_of(request) > _CONSTANT_PARTS:
            n = self._constant_site(request, "", 1).n_gpus
            raise InputError(f"{request.mw:g} MW are less than the {n} GPUs of the smallest site draw; give more MW")
        return _CONSTANT_PARTS

    def least_size_of(self, request: QueuedRequest) -> int:
        """The fewest servers that are a site; of a constant load the parts that draw what its GPUs do."""
        if request.load_shape == "fleet":
            return smallest_n_servers(self.models_of(request))
        return math.ceil(self._served_kw(self._constant_site(request, "", 1)) / (1e3 * request.mw) * _CONSTANT_PARTS)

    def site_of(self, request: QueuedRequest, bus: str, n_servers: int) -> Site:
        """Its site with so many of its servers, or parts of a constant load.

        That one has base load in place of what follows demand.
        """
        if request.load_shape == "fleet":
            return self.site(request.site_name, bus, self.models_of(request), n_servers)
        site = self._constant_site(request, bus, n_servers)
        kw = 1e3 * request.mw * n_servers / _CONSTANT_PARTS
        return replace(site, base_kw_per_gpu=max(0.0, kw - self._served_kw(site)) / site.n_gpus)

    def _constant_site(self, request: QueuedRequest, bus: str, n_parts: int) -> Site:
        """What so many parts of a constant load stand on."""
        models = self.models_of(request)
        n_servers = math.ceil(request.mw * n_parts / _CONSTANT_PARTS / _CONSTANT_MW)
        return self.site(request.site_name, bus, models, max(smallest_n_servers(models), n_servers))

    def _served_kw(self, site: Site) -> float:
        """What a site draws with all replicas active (kW), without its base load."""
        return 1e3 * self.full_draw_of(site) - site.base_kw_per_gpu * site.n_gpus

    def check_growth(self, requests: Sequence[QueuedRequest]) -> None:
        """Raise `InputError` if the feeder's own load outgrows what a run may have of it, by the last year looked at.

        In logarithms: powers of a year far away are beyond numbers.
        """
        years = [day.year for one in requests for day in (one.arrived, one.withdrawn) if day is not None]
        first, last = min(years), max(years) + self.horizon_years
        share = self.scenario.own_load_share * self.levels[0]
        room = math.log(_LOAD_SHARE.high / share) if share > 0.0 else _ANY_GROWTH
        if (last - first) * math.log1p(self.growth) >= room:
            raise InputError(
                f"own load that grows {self.growth:g} a year from {first} to {last}, {share:g} of what the data have "
                f"in {first}, is beyond {_LOAD_SHARE.high:g} times of it; ask for less growth, or look at the dates of "
                f"{self.requests}"
            )
