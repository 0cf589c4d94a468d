"""Grids, nights, weeks and spans in SQL are those of a calendar, in any time zone and any century."""

from __future__ import annotations

from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from math import ceil, isclose, log
from random import Random
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from biomem.domain.association import calculate_hebbian_strength, synaptic_decay
from rendered import Rendered

if TYPE_CHECKING:
    from collections.abc import Callable

    import duckdb

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
US = timedelta(microseconds=1)
ZONES = ["UTC", "Europe/Amsterdam", "Pacific/Auckland"]
AGES_S = 30 * 365 * 86400


def instants() -> list[datetime]:
    """Edges of days, windows and weeks, in this century and in others, and instants by chance."""
    chance = Random(7)
    edges = [
        *(datetime(1660, 1, 1, 21, tzinfo=timezone.utc), EPOCH, EPOCH - US, EPOCH + US),
        *(datetime(2026, 3, 29, hour, tzinfo=timezone.utc) for hour in range(5)),
        *(datetime(2026, 10, 25, hour, 30, tzinfo=timezone.utc) for hour in range(5)),
        *(datetime(2026, 1, day, hour, tzinfo=timezone.utc) for day in range(1, 9) for hour in (0, 2, 3, 12)),
    ]
    edges += [edge + shift for edge in edges[4:] for shift in (US, -US)]
    return edges + [EPOCH + timedelta(seconds=chance.uniform(-AGES_S, 3 * AGES_S)) for _ in range(200)]


def us(instant: datetime) -> int:
    return (instant - EPOCH) // US


def night_after(instant: datetime, zone: ZoneInfo, hour: int = 2) -> datetime:
    """The first `hour` o'clock of the zone after an instant; where a clock skips it, the instant that it would be."""
    local_day = instant.astimezone(zone).date()
    tonight = datetime(local_day.year, local_day.month, local_day.day, hour, tzinfo=zone).astimezone(timezone.utc)
    if tonight > instant:
        return tonight
    return (
        datetime.combine(local_day + timedelta(days=1), tonight.time(), zone)
        .replace(hour=hour)
        .astimezone(timezone.utc)
    )


def sunday_at_or_after(instant: datetime, zone: ZoneInfo) -> datetime:
    day = (instant - US).astimezone(zone).date()
    for ahead in range(9):
        then = day + timedelta(days=ahead)
        start = datetime(then.year, then.month, then.day, 3, tzinfo=zone).astimezone(timezone.utc)
        if then.weekday() == 6 and start >= instant:
            return start
    raise AssertionError("a week has a Sunday")


def column(con: duckdb.DuckDBPyConnection, expression: str, values: list[Any], kind: str) -> list[Any]:
    con.execute("set TimeZone = 'UTC'")
    return [
        row[0]
        for row in con.execute(
            f"select {expression} from (select unnest($values::{kind}[]) as x, generate_subscripts($values, 1) as n) "
            "order by n",
            {"values": values},
        ).fetchall()
    ]


@pytest.mark.parametrize("zone", ZONES)
def test_a_day_a_night_and_a_week_are_those_of_the_zone(zone: str, con: duckdb.DuckDBPyConnection) -> None:
    rendered = Rendered(night_time_zone=zone)
    found = instants()
    # before zones were agreed on, Python and DuckDB have other tables of their offsets
    if zone != "UTC":
        found = [instant for instant in found if instant.year > 1985]
    checks: dict[str, tuple[str, Callable[[datetime], Any]]] = {
        "local_day": (
            rendered("local_day", "x"),
            lambda instant: (instant.astimezone(ZoneInfo(zone)).date() - date(1970, 1, 1)).days,
        ),
        "night_after_us": (rendered("night_after_us", "x"), lambda instant: us(night_after(instant, ZoneInfo(zone)))),
        "week_start_at_or_after": (
            rendered("week_start_at_or_after", "x"),
            lambda instant: us(sunday_at_or_after(instant, ZoneInfo(zone))),
        ),
    }
    for name, (expression, expected) in checks.items():
        results = column(con, expression, [us(instant) for instant in found], "bigint")
        wrong = [
            (name, instant, result - expected(instant))
            for instant, result in zip(found, results, strict=True)
            if result != expected(instant) and (name == "local_day" or not _clocks_change(instant, zone))
        ]
        assert not wrong, wrong[:3]


def _clocks_change(instant: datetime, zone: str) -> bool:
    """Whether the zone's clocks change about then: an hour that comes twice, or never, may be taken either way."""
    near = (instant + timedelta(days=days) for days in (-8, -1, 1, 8))
    return len({when.astimezone(ZoneInfo(zone)).utcoffset() for when in near}) > 1


def test_windows_grids_and_spans_are_exact_to_the_microsecond(con: duckdb.DuckDBPyConnection) -> None:
    rendered, found = Rendered(), instants()
    numbers = [us(instant) for instant in found]
    cycle_us = 90 * 60 * 1_000_000
    assert column(con, rendered("grid_floor", "x", str(cycle_us)), numbers, "bigint") == [
        number // cycle_us * cycle_us for number in numbers
    ]
    assert column(con, rendered("grid_floor", "x", str(cycle_us), "17"), numbers, "bigint") == [
        (number - 17) // cycle_us * cycle_us + 17 for number in numbers
    ]
    assert column(con, "epoch_us(" + rendered("window_start", "make_timestamptz(x)") + ")", numbers, "bigint") == [
        number // 30_000_000 * 30_000_000 for number in numbers
    ]
    for macro, divisor, wrap in (("elapsed_s", 1e6, "make_timestamptz({})"), ("elapsed_days", 864e8, "{}")):
        expression = rendered(macro, wrap.format("17::bigint"), wrap.format("x"))
        assert column(con, expression, numbers, "bigint") == [(number - 17) / divisor for number in numbers]


@pytest.mark.parametrize("rate", [0.001, 0.0])
def test_the_time_until_a_trace_has_faded_is_where_its_strength_meets_the_threshold(
    rate: float, con: duckdb.DuckDBPyConnection
) -> None:
    traces = [1e-9, 0.005, 0.01, 0.05, 1.0, 50.0]
    for strength in (0.01, 0.5, 0.0):
        expression = Rendered(synaptic_decay_rate=rate)("fades_after_us", "x", f"{strength}e0")
        for trace, until_us in zip(traces, column(con, expression, traces, "double"), strict=True):
            if calculate_hebbian_strength(trace) <= strength:
                assert until_us == 0
            elif not rate or not strength:
                assert until_us is None
            else:
                assert isclose(
                    calculate_hebbian_strength(synaptic_decay(trace, until_us / 36e8)), strength, rel_tol=1e-9
                )
                assert until_us == ceil(log(trace / -log(1 - strength)) / rate * 36e8)
    forever = column(con, Rendered(synaptic_decay_rate=1e-9)("fades_after_us", "x", "1e-9"), [50.0], "double")
    assert forever == [1000 * 365.25 * 86400 * 1_000_000]


def test_a_sum_is_the_same_in_any_order_and_exact_to_eighteen_digits(con: duckdb.DuckDBPyConnection) -> None:
    chance = Random(3)
    numbers = [chance.uniform(0, 50) for _ in range(200)]
    expression = Rendered()("exact_sum", "x")
    sums = [
        con.execute(f"select {expression} from (select unnest($v::double[]) as x)", {"v": order}).fetchall()[0][0]
        for order in (numbers, sorted(numbers), sorted(numbers, reverse=True))
    ]
    exact = sum(Decimal(number).quantize(Decimal("1e-18")) for number in numbers)
    assert len(set(sums)) == 1
    assert sums[0] == pytest.approx(float(exact), rel=1e-15)
    assert con.execute(f"select {expression} from (select unnest([1e-18, 3e-18]) as x)").fetchall()[0][0] == 4e-18


@pytest.mark.parametrize("session_zone", ["UTC", "America/New_York", "Asia/Kolkata"])
def test_an_instant_is_the_same_text_in_any_session(session_zone: str, con: duckdb.DuckDBPyConnection) -> None:
    con.execute(f"set TimeZone = '{session_zone}'")
    expression, found = Rendered()("utc_text", "make_timestamptz(x)"), instants()
    texts = [con.execute(f"select {expression} from (select ? as x)", [us(each)]).fetchall()[0][0] for each in found]
    assert texts == [instant.isoformat(timespec="microseconds") for instant in found]
    assert [datetime.fromisoformat(text) for text in texts] == found
