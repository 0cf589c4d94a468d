"""The server behind the sources: what it is, who holds it up, and how far it is from wrapping around."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import psycopg

from biomem.source.doctor.findings import FIX, OK, WARN, Finding
from biomem.source.dsn import SESSION_LIMITS

if TYPE_CHECKING:
    from collections.abc import Iterator

# transactions that may pass before an unfrozen row would look new again; PostgreSQL stops itself shortly before
WRAPAROUND = 2**31
XIDS_TO_WATCH, XIDS_TO_ACT = WRAPAROUND // 2, WRAPAROUND * 4 // 5
LONG_TRANSACTION_S = 300
LONG_PREPARED_S = 60
# where the start of others' transactions is hidden, so many that came after tell that one is old
LATER_TRANSACTIONS = 10_000
CLOCK_SKEW_S = 2.0
UTC_ZONES = frozenset({"UTC", "GMT", "Etc/UTC", "Etc/GMT", "Universal", "Zulu", "Etc/UCT", "UCT"})


def examine_server(con: psycopg.Connection[tuple[Any, ...]]) -> Iterator[Finding]:
    """Findings that concern every source of the server. `con` is in autocommit, under our session limits."""
    yield _version(con)
    yield _pooler(con)
    yield _replica(con)
    yield _identity(con)
    yield _clock(con)
    yield _wraparound(con)
    yield from _long_transactions(con)
    yield from _prepared_transactions(con)
    yield _encoding(con)
    yield Finding("wal_level", OK, f"{_setting(con, 'wal_level')} (only the cursor logical_slot needs logical)")


def time_zone(dsn: str) -> str:
    """The time zone that the role's sessions have of their own: what `now()` wrote into columns without a zone."""
    with psycopg.connect(dsn, autocommit=True) as con:
        return _setting(con, "TimeZone")


def _version(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    user = _one(con, "select current_user::text")
    return Finding("server", OK, f"PostgreSQL {con.info.parameter_status('server_version')}, as user {user!r}")


def _pooler(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    # a pooler answers with a process id of its own, and may drop the settings that a session asks for
    is_pooled = con.info.backend_pid != _one(con, "select pg_backend_pid()")
    lost = [name for name in ("TimeZone", "extra_float_digits") if _setting(con, name) != SESSION_LIMITS[name]]
    if lost:
        return Finding(
            "connection",
            FIX,
            f"the session does not get the settings it asks for ({', '.join(lost)}): times could be read wrong",
            "connect to PostgreSQL itself rather than through a pooler, or let the pooler pass `options` on",
        )
    if is_pooled:
        return Finding(
            "connection",
            WARN,
            "a connection pooler sits in between: a long first pull holds one of its connections",
            "connect to PostgreSQL itself if you can",
        )
    return Finding("connection", OK, "direct, with the settings that were asked for")


def _replica(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    if not _one(con, "select pg_is_in_recovery()"):
        return Finding("role", OK, "primary")
    lag = _one(con, "select extract(epoch from clock_timestamp() - pg_last_xact_replay_timestamp())::float8")
    since = "" if lag is None else f"; the last transaction that it has is {_duration(lag)} old"
    return Finding(
        "role",
        WARN,
        f"a standby: pulls see what it has replayed{since}",
        "pull from the primary when that is too late, or when reads are cancelled (max_standby_streaming_delay)",
    )


def _identity(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    if _one(con, "select has_function_privilege('pg_control_system()', 'execute')"):
        return Finding("identity", OK, "a server restored or put in this one's place will be noticed")
    return Finding(
        "identity",
        WARN,
        "pg_control_system() may not be called: another server in this one's place is noticed by its database only",
        "grant execute on function pg_control_system() to the pipeline's role",
    )


def _clock(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    before = time.time()
    there = float(_one(con, "select extract(epoch from clock_timestamp())::float8"))
    after = time.time()
    ahead = max(there - after, 0.0) - max(before - there, 0.0)
    if abs(ahead) <= CLOCK_SKEW_S:
        return Finding("clock", OK, "agrees with this machine's")
    return Finding(
        "clock",
        WARN,
        f"the server is {_duration(abs(ahead))} {'ahead of' if ahead > 0 else 'behind'} this machine: what it writes "
        f"now counts {'only later' if ahead > 0 else 'as older than it is'}; no row is lost by it",
        "keep both clocks by NTP",
    )


def _wraparound(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    age = int(_one(con, "select age(datfrozenxid) from pg_database where datname = current_database()"))
    text = f"{age:,} since the oldest unfrozen row, {WRAPAROUND - age:,} before wraparound"
    if age < XIDS_TO_WATCH:
        return Finding("transactions", OK, text)
    return Finding(
        "transactions", FIX if age >= XIDS_TO_ACT else WARN, text, "vacuum (freeze) the database's old tables"
    )


def _long_transactions(con: psycopg.Connection[tuple[Any, ...]]) -> Iterator[Finding]:
    rows = con.execute(
        # others' start is hidden from a role without pg_read_all_stats, their transaction id is not
        """
        select pid, usename::text, state, extract(epoch from clock_timestamp() - xact_start)::float8, age(backend_xid)
        from pg_stat_activity
        where backend_xid is not null and pid <> pg_backend_pid()
        order by age(backend_xid) desc limit 3
        """
    ).fetchall()
    long = [row for row in rows if (row[4] >= LATER_TRANSACTIONS if row[3] is None else row[3] >= LONG_TRANSACTION_S)]
    if not long:
        yield Finding("open", OK, "no transaction that writes has been open for long")
    for pid, user, state, seconds, behind in long:
        since = "for a time that only its owner may see" if seconds is None else f"for {_duration(seconds)}"
        yield Finding(
            "open",
            WARN,
            f"process {pid} of {user!r} ({state or 'state hidden'}) has a transaction open {since}, {behind:,} "
            "transactions ago: until it ends every pull reads again what was written since; nothing is lost by it",
            f"end it, or select pg_terminate_backend({pid}); set idle_in_transaction_session_timeout for its role",
        )


def _prepared_transactions(con: psycopg.Connection[tuple[Any, ...]]) -> Iterator[Finding]:
    rows = con.execute(
        "select gid, owner::text, extract(epoch from clock_timestamp() - prepared)::float8 from pg_prepared_xacts "
        "where extract(epoch from clock_timestamp() - prepared) >= %s order by prepared limit 3",
        [LONG_PREPARED_S],
    ).fetchall()
    if not rows:
        yield Finding("prepared", OK, "no prepared transaction (two-phase commit) waits")
    for gid, owner, seconds in rows:
        quoted = gid.replace("'", "''")
        yield Finding(
            "prepared",
            WARN,
            f"transaction {gid!r} of {owner!r} has been prepared for {_duration(seconds)} and still waits: its rows "
            "come when it is committed, until then every pull reads again what was written since",
            f"commit prepared '{quoted}' or rollback prepared '{quoted}', as its coordinator decided",
        )


def _encoding(con: psycopg.Connection[tuple[Any, ...]]) -> Finding:
    encoding = _setting(con, "server_encoding")
    if encoding != "SQL_ASCII":
        return Finding("encoding", OK, encoding)
    return Finding(
        "encoding",
        WARN,
        "SQL_ASCII: the database takes any bytes as text, and a row that is no UTF-8 stops a pull",
        "map such a column as {expression: \"convert_from(column::bytea, 'LATIN1')\"}, or move to a UTF8 database",
    )


def _setting(con: psycopg.Connection[tuple[Any, ...]], name: str) -> str:
    row = con.execute("select current_setting(%s)", [name]).fetchone()
    assert row is not None
    return str(row[0])


def _one(con: psycopg.Connection[tuple[Any, ...]], sql: str) -> Any:
    row = con.execute(sql.encode()).fetchone()
    assert row is not None
    return row[0]


def _duration(seconds: float) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
