"""Baseline policies: any regressor of scikit-learn learns the ideal shifts from the features, and is judged as others.

A baseline is text, `Ridge(alpha=10)`: the name of a regressor and parameters that are numbers. Nothing else is read, so
that a question brings no code.
"""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from g2g_opt.errors import InputError, unknown_name
from g2g_opt.reading import plain_digits
from solvers.outcome import SolverError

Floats = NDArray[np.float64]

_TEXT = re.compile(r"(?P<name>[A-Za-z]\w{0,60})(?:\((?P<parameters>[^()]{0,400})\))?")
_PARAMETER = re.compile(r"(?P<name>[a-z]\w{0,60})\s*=\s*(?P<value>[-+.\w]{1,40})")
_WORDS: dict[str, bool] = {"true": True, "false": False}
# Records of a trial fit, which finds parameters that a regressor refuses.
_TRIAL = 12


@dataclass(frozen=True, eq=False)
class FittedBaseline:
    """A regressor that was fitted: features (record, feature) to shifts (record, datacenter) in MW, seconds it took.

    `missed_mw2` is the mean square of what it misses of ideal shifts on its own records, along links, as that of base
    regression is.
    """

    model: Any
    missed_mw2: float
    seconds: float

    def shifts_mw(self, features: Floats) -> Floats:
        """What it asks of every datacenter (record, datacenter); sums are 0, as work is neither made nor lost."""
        found = np.asarray(self.model.predict(features), dtype=np.float64).reshape(len(features), -1)
        return np.asarray(found - found.mean(axis=1, keepdims=True))


def read_baseline(text: str) -> tuple[str, dict[str, float | int | bool]]:
    """Name and parameters; `InputError` for what is no name with numbers."""
    example = "write a regressor of scikit-learn with numbers, as in Ridge(alpha=10)"
    match = _TEXT.fullmatch(text.strip())
    if match is None:
        raise InputError(f"the baseline {text[:80]!r} cannot be read; {example}")
    values: dict[str, float | int | bool] = {}
    for part in (match["parameters"] or "").split(","):
        if not part.strip():
            continue
        entry = _PARAMETER.fullmatch(part.strip())
        if entry is None or entry["name"] in values:
            raise InputError(f"the baseline {text[:80]!r} has {part.strip()!r}, which cannot be read; {example}")
        values[entry["name"]] = _number(text, entry["value"])
    return match["name"], values


def _number(text: str, value: str) -> float | int | bool:
    if value.lower() in _WORDS:
        return _WORDS[value.lower()]
    try:
        number = float(plain_digits(value))
    except ValueError:
        number = np.nan
    if not np.isfinite(number):
        raise InputError(f"the baseline {text[:80]!r} has {value!r} where a number, true or false is needed")
    return int(value) if re.fullmatch(r"[-+]?[0-9]+", value) else number


def make_regressor(text: str, seed: int) -> Any:
    """The regressor on standardised features, for several datacenters at once; `InputError` if there is none such."""
    # Takes seconds to import, and few studies ask for it.
    from sklearn.multioutput import MultiOutputRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    name, values = read_baseline(text)
    regressors = _regressors()
    if name not in regressors:
        raise unknown_name("scikit-learn regressor", name, regressors)
    try:
        regressor = regressors[name](**values)
    except TypeError as error:
        raise InputError(f"the baseline {text[:80]!r} cannot be made: {error}") from error
    if "random_state" in regressor.get_params() and "random_state" not in values:
        regressor.set_params(random_state=seed % 2**32)
    if not regressor.__sklearn_tags__().target_tags.multi_output:
        regressor = MultiOutputRegressor(regressor)
    return make_pipeline(StandardScaler(), regressor)


def _regressors() -> Mapping[str, type]:
    from sklearn.utils import all_estimators

    return dict(all_estimators(type_filter="regressor"))


def check_baseline(text: str, seed: int) -> None:
    """Raise `InputError` for a baseline that cannot be read, made or fitted to anything."""
    generator = np.random.default_rng(0)
    try:
        make_regressor(text, seed).fit(generator.normal(size=(_TRIAL, 3)), generator.normal(size=(_TRIAL, 2)))
    except (ValueError, TypeError) as error:
        raise InputError(f"the baseline {text[:80]!r} cannot be fitted: {error}") from error


def fit_baseline(text: str, seed: int, features: Floats, shift_mw: Floats) -> FittedBaseline:
    """The baseline of some records: features (record, feature) and their ideal shifts (record, datacenter) in MW.

    Raises `SolverError` if the regressor refuses these records.
    """
    began_s = time.perf_counter()
    model = make_regressor(text, seed)
    try:
        model.fit(features, shift_mw)
        own = FittedBaseline(model, np.nan, 0.0)
        missed = own.shifts_mw(features) - shift_mw
    except ValueError as error:
        raise SolverError(f"the baseline {text} cannot be fitted: {error}") from error
    along_links = float((missed**2).sum(axis=1).mean()) / shift_mw.shape[1]
    return FittedBaseline(model, along_links, time.perf_counter() - began_s)
