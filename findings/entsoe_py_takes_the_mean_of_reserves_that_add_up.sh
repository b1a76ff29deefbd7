#!/usr/bin/env bash
# entsoe-py 0.8.1, contracted reserves: what its client makes of the platform's documents (parse_contracted_reserve_zip, for amounts and
# prices). Of a document with 100 MW of reserve from generation and 50 MW from load, two series of one kind and direction, it returns
# 75 MW, their mean, and no longer which is which. Series that follow each other, four-hour blocks at 10, 50 and 10 EUR/MW, overlap by a
# quarter of an hour, as a block of the curve type A03 is filled to its end and the end counted in: at each boundary stands 30, a price
# that was never paid, and after the last block one quarter more, 49 of 48. Between two periods of one series with nothing in the block
# between, that block has the amount of the one before. The other curve type (A01) has the mean too, and neither the 30 nor the
# quarter. Nothing is reported, so the reserve that a flexible site would compete with is half of what it is. Exits 0 while this is so.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q entsoe-py==0.8.1 pandas==2.3.3 numpy==2.4.6 beautifulsoup4==4.14.2 requests==2.32.5 tzdata==2026.6
cd "$folder"
"$folder/venv/bin/python" -W ignore - <<'PY'
import io
import warnings
import zipfile

from entsoe.parsers import parse_contracted_reserve_zip

warnings.simplefilter("ignore")
DAY = "2024-05-01T{:02d}:00Z"


def period(start, end, value, label, resolution):
    """A period from hour to hour with one point, or one for each hour."""
    positions = range(1, 2 if resolution != "PT60M" else end - start + 1)
    points = "".join(f"<Point><position>{n}</position><{label}>{value}</{label}></Point>" for n in positions)
    interval = f"<timeInterval><start>{DAY.format(start)}</start><end>{DAY.format(end)}</end></timeInterval>"
    return f"<Period>{interval}<resolution>{resolution}</resolution>{points}</Period>"


def document(*series, label, curve):
    """Series of frequency containment reserve, upwards, of generation and of load in turn; each of periods (start and end hour, value)."""
    resolution = {"A01": "PT60M", "A03": "PT15M"}[curve]
    text = ""
    for number, periods in enumerate(series):
        kind = "<businessType>A95</businessType><flowDirection.direction>A01</flowDirection.direction>"
        kind += f"<mktPSRType.psrType>{('A04', 'A05')[number % 2]}</mktPSRType.psrType>" if label == "quantity" else ""
        inner = "".join(period(*p, label, resolution) for p in periods)
        text += f"<TimeSeries><mRID>{number + 1}</mRID>{kind}<curveType>{curve}</curveType>{inner}</TimeSeries>"
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr("document.xml", f"<Balancing_MarketDocument>{text}</Balancing_MarketDocument>")
    return made.getvalue()


def read(*series, label="quantity", curve="A03"):
    """Value at each time, HH:MM."""
    table = parse_contracted_reserve_zip(document(*series, label=label, curve=curve), "UTC", label)
    assert table.shape[1] == 1, table
    return {f"{time:%H:%M}": float(value) for time, value in table.iloc[:, 0].items()}


PRICE = "procurement_price.amount"
beside = {curve: read([(0, 4, 100)], [(0, 4, 50)], curve=curve) for curve in ("A01", "A03")}
following = [[(0, 4, 10)], [(4, 8, 50)], [(8, 12, 10)]]
blocks = {curve: read(*following, label=PRICE, curve=curve) for curve in ("A01", "A03")}
apart = read([(0, 4, 100), (8, 12, 60)])
print("100 and 50 MW beside each other:", {curve: set(values.values()) for curve, values in beside.items()})
print("blocks at 10, 50, 10:", {time: value for time, value in blocks["A03"].items() if time[:2] in ("03", "04", "08", "12")})
print("the same by A01:", blocks["A01"])
print("100 MW, a block of nothing, 60 MW:", {time: apart[time] for time in ("00:00", "03:45", "04:00", "06:00", "07:45", "08:00")})
assert set(beside["A01"].values()) == set(beside["A03"].values()) == {75.0}, beside
assert [blocks["A03"][t] for t in ("03:45", "04:00", "04:15", "07:45", "08:00", "08:15")] == [10, 30, 50, 50, 30, 10], blocks
assert len(blocks["A03"]) == 49 and "12:00" in blocks["A03"], blocks
assert list(blocks["A01"].values()) == [10] * 4 + [50] * 4 + [10] * 4, blocks
assert apart["06:00"] == 100.0 and apart["08:00"] == 60.0, apart
PY
echo "as recorded"
