"""Making, watching and removing the replication slot of a source, and the publication that it reads."""

from __future__ import annotations

import logging
import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import SourceError
from biomem.source.dsn import connect, without_secrets
from biomem.warehouse.connection import quote_identifier, quote_literal

if TYPE_CHECKING:
    from collections.abc import Iterator

    import psycopg

    from biomem.source.mapping import SourceTable
    from biomem.source.reading import Reading

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SlotState:
    """A slot as the server sees it; `kept_bytes` of its log wait for it, of at most `limit_bytes` (-1: no limit)."""

    name: str
    wal_status: str
    confirmed: str
    kept_bytes: int
    limit_bytes: int

    @property
    def is_lost(self) -> bool:
        return self.wal_status == "lost"

    def describe(self) -> str:
        limit = "without a limit" if self.limit_bytes < 0 else f"of at most {self.limit_bytes / 1024**2:,.0f} MB"
        return (
            f"slot {self.name}: {self.wal_status}, read up to {self.confirmed}; the server keeps "
            f"{self.kept_bytes / 1024**2:,.1f} MB of log for it, {limit}"
        )


def slot_name(source: SourceTable) -> str:
    """The slot's name, which is also the publication's: as in the mapping, else made from the source's."""
    return source.slot or f"biomem_{re.sub(r'[^a-z0-9_]', '_', source.name.lower())}"[:63]


def key_column(reading: Reading) -> str:
    """The column of the ids, by which the slot names the rows. Raises SourceError when an expression makes them."""
    column = reading.key_column
    if column is None:
        raise SourceError(
            f"source {reading.source.name!r} takes its ids from an expression, and cursor logical_slot needs a column: "
            "map memory_id to one, or choose another cursor in source.yml"
        )
    return column


def slot_sql(reading: Reading) -> list[str]:
    """The statements that make the publication and the slot."""
    name = slot_name(reading.source)
    return [
        # changes of a partition are told as changes of the table
        f"create publication {quote_identifier(name)} for table {reading.table} with (publish_via_partition_root)",
        f"select pg_create_logical_replication_slot({quote_literal(name)}, 'pgoutput')",
    ]


def create_slot(reading: Reading, dsn: str, *, unbounded: bool = False) -> SlotState:
    """Make the publication and the slot, as far as they are not there.

    Raises SourceError, with nothing changed, when the server or the role does not allow it, when the replica identity
    does not tell the id (without any, publishing would break the updates of the table's owners), or when nothing
    bounds the log that a forgotten slot keeps (`unbounded` allows that).
    """
    name = slot_name(reading.source)
    with _connected(reading.source, dsn) as pg:
        _require_server(pg, unbounded)
        _require_identity(pg, reading)
        publication, slot = slot_sql(reading)
        if not pg.execute("select from pg_publication where pubname = %s", [name]).fetchall():
            pg.execute(publication.encode())
        if _state(pg, name) is None:
            pg.execute(slot.encode())
        state = _state(pg, name)
    assert state is not None
    return state


def drop_slot(source: SourceTable, dsn: str) -> bool:
    """Remove the slot and the publication; False when neither was there."""
    with _connected(source, dsn) as pg:
        name = slot_name(source)
        had_slot = bool(
            pg.execute(
                "select pg_drop_replication_slot(slot_name) from pg_replication_slots where slot_name = %s", [name]
            ).fetchall()
        )
        had_publication = bool(pg.execute("select from pg_publication where pubname = %s", [name]).fetchall())
        pg.execute(f"drop publication if exists {quote_identifier(name)}")
        return had_slot or had_publication


def slot_state(source: SourceTable, dsn: str) -> SlotState | None:
    """The slot's state, or None when there is no such slot."""
    with _connected(source, dsn) as pg:
        return _state(pg, slot_name(source))


def renew_if_lost(reading: Reading, dsn: str) -> str | None:
    """Check that the slot can be read; make it anew when the server gave it up. Returns why it had to, or None.

    Raises SourceError when there is no slot, no publication of this table, or no fitting replica identity any more.
    """
    source, name = reading.source, slot_name(reading.source)
    with _connected(source, dsn) as pg:
        state = _state(pg, name)
        if state is None:
            raise SourceError(
                f"source {source.name!r} has no replication slot {name!r}: `biomem source slot create --source "
                f"{source.name}` makes it; or choose another cursor in source.yml"
            )
        _require_identity(pg, reading)
        _require_publication(pg, source, name)
        if not state.is_lost:
            return None
        reason = (
            f"the server gave up slot {name}, whose log had outgrown max_slot_wal_keep_size "
            f"({state.limit_bytes / 1024**2:,.0f} MB): it was made anew"
        )
        log.warning("%s; pull more often, or raise the setting", reason)
        pg.execute("select pg_drop_replication_slot(%s)", [name])
        pg.execute("select pg_create_logical_replication_slot(%s, 'pgoutput')", [name])
        return reason


@contextmanager
def _connected(source: SourceTable, dsn: str) -> Iterator[psycopg.Connection[tuple[Any, ...]]]:
    """A connection whose errors become SourceError in plain words."""
    import psycopg

    with connect(dsn, autocommit=True) as pg:
        try:
            yield pg
        except psycopg.Error as error:
            raise SourceError(
                f"replication slot {slot_name(source)!r} of source {source.name!r}: {_advice(error)}"
                f"{without_secrets(str(error), dsn)}"
            ) from None


def _advice(error: psycopg.Error) -> str:
    import psycopg

    if isinstance(error, psycopg.errors.InsufficientPrivilege):
        return (
            "the role must own the table, may create in the database, and needs `alter role ... replication` "
            "(or let such a role run `biomem source slot create` once, and give this one REPLICATION): "
        )
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return "a slot waits for the transactions that run now to end; try again when the long ones are done: "
    if isinstance(error, psycopg.errors.ObjectInUse):
        return "another program reads from it; end that one: "
    return ""


def _state(pg: psycopg.Connection[tuple[Any, ...]], name: str) -> SlotState | None:
    row = pg.execute(
        """
        select wal_status, confirmed_flush_lsn::text,
            coalesce(case when not pg_is_in_recovery() then pg_current_wal_lsn() - restart_lsn end, 0)::bigint,
            (select case when setting::bigint < 0 then -1 else setting::bigint * 1024 * 1024 end
                from pg_settings where name = 'max_slot_wal_keep_size'),
            plugin, database = current_database()
        from pg_replication_slots where slot_name = %s
        """,
        [name],
    ).fetchone()
    if row is None:
        return None
    if row[4] != "pgoutput" or not row[5]:
        raise SourceError(
            f"replication slot {name!r} belongs to something else (another database or plugin); "
            "name another under `slot:` in source.yml"
        )
    return SlotState(name, *row[:4])


def _require_server(pg: psycopg.Connection[tuple[Any, ...]], unbounded: bool) -> None:
    wal_level, limit, is_standby = pg.execute(
        "select current_setting('wal_level'), current_setting('max_slot_wal_keep_size'), pg_is_in_recovery()"
    ).fetchone() or ("", "", False)
    if is_standby:
        raise SourceError("the source is a standby: make the slot on its primary, or use cursor xmin_window here")
    if wal_level != "logical":
        raise SourceError(
            f"the server writes its log at wal_level={wal_level}, and a slot needs logical: "
            "alter system set wal_level = logical, and restart it; or choose another cursor"
        )
    if limit == "-1" and not unbounded:
        raise SourceError(
            "nothing bounds the log that the server keeps for a slot (max_slot_wal_keep_size = -1): a pipeline that "
            "stops would fill its disk. Run: alter system set max_slot_wal_keep_size = '10GB'; select "
            "pg_reload_conf(); or pass --unbounded"
        )


def _require_identity(pg: psycopg.Connection[tuple[Any, ...]], reading: Reading) -> None:
    """The server must tell the id of a row that is changed or deleted, for the table and each of its partitions."""
    column = key_column(reading)
    row = pg.execute(
        """
        select c.oid::regclass::text, c.relreplident::text
        from pg_class t
        join pg_namespace n on n.oid = t.relnamespace
        cross join lateral (select t.oid as oid union select relid from pg_partition_tree(t.oid)) as tree
        join pg_class c on c.oid = tree.oid and c.relkind = 'r'
        where n.nspname = %s and t.relname = %s and c.relreplident <> 'f'
            and not exists (
                select from pg_index i join pg_attribute a on a.attrelid = c.oid and a.attnum = any(i.indkey)
                where i.indrelid = c.oid and a.attname = %s
                    and case c.relreplident when 'd' then i.indisprimary when 'i' then i.indisreplident end
            )
        order by 1 limit 1
        """,
        [reading.shape.schema, reading.shape.table, column],
    ).fetchone()
    if row:
        raise SourceError(
            f"the replica identity of {row[0]} does not hold column {column!r}, so the server could not tell which "
            f"memory was changed or deleted: make it part of the primary key, or run "
            f"alter table {row[0]} replica identity full"
        )


def _require_publication(pg: psycopg.Connection[tuple[Any, ...]], source: SourceTable, name: str) -> None:
    row = pg.execute(
        """
        select p.pubinsert and p.pubupdate and p.pubdelete and p.pubtruncate,
            exists (select from pg_publication_tables t
                where t.pubname = p.pubname and t.schemaname = %s and t.tablename = %s)
        from pg_publication p where p.pubname = %s
        """,
        [source.schema, source.table, name],
    ).fetchone()
    if row is None or not all(row):
        raise SourceError(
            f"publication {name!r} is missing or does not publish every change of {source.label}: "
            f"`biomem source slot drop --source {source.name}` and `slot create` make both anew"
        )
