"""Wake-up: a trigger on the source's table tells, by NOTIFY, that something was committed, and a window starts at once.

It only saves time. A notification that nobody hears costs a wait until the next window, which reads the table itself.
PostgreSQL sends none for what is rolled back, and one for a whole transaction.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from biomem.source.ddl import commented, object_name
from biomem.warehouse.connection import qualified_name, quote_identifier, quote_literal

if TYPE_CHECKING:
    import psycopg

    from biomem.source.mapping import SourceTable

# pg_trigger.tgtype
_ROW, _INSERT, _DELETE, _UPDATE = 1, 4, 8, 16


def channel(source: SourceTable) -> str:
    """The channel on which the source's table tells; tables of one name in two schemas share it, which does no harm."""
    return object_name(source, "written")


def ddl(source: SourceTable) -> str:
    """What makes the source tell, to be run once by the table's owner; safe to repeat.

    One call a statement, not a row, and with the rights of whoever writes. The message is empty: nothing of the
    memories leaves the table.
    """
    table = qualified_name(source.schema, source.table)
    function = qualified_name(source.schema, object_name(source, "tell"))
    trigger = quote_identifier(object_name(source, "wake_up"))
    return f"""\
-- wake-up of source {commented(source.name)}: {commented(source.label)}
-- (to remove it: drop the function with `cascade`)
begin;
create or replace function {function}() returns trigger
    language plpgsql security invoker set search_path = pg_catalog as $biomem$
begin
    perform pg_notify({quote_literal(channel(source))}, '');
    return null;
end
$biomem$;
drop trigger if exists {trigger} on {table};
create trigger {trigger} after insert or update or delete or truncate on {table}
    for each statement execute function {function}();
commit;
"""


def find_problem(con: psycopg.Connection[tuple[Any, ...]], source: SourceTable) -> str | None:
    """Why nothing will be told, in plain words; None when it will."""
    row = con.execute(
        """
        select pg_is_in_recovery(), bit_or(t.tgtype), bit_or(t.tgtype) filter (where t.tgenabled in ('O', 'A'))
        from pg_trigger t
        where t.tgrelid = to_regclass(%(table)s)
            and t.tgtype & %(row)s = 0
            and position(%(channel)s in pg_get_functiondef(t.tgfoid)) > 0
        """,
        {"table": qualified_name(source.schema, source.table), "row": _ROW, "channel": quote_literal(channel(source))},
    ).fetchone()
    assert row is not None
    is_standby, events, enabled = row
    wanted = _INSERT | _UPDATE | _DELETE
    if is_standby:
        return "the server is a standby, where nobody can listen"
    if (events or 0) & wanted != wanted:
        return "the table has no trigger that tells of what is inserted, updated and deleted"
    if (enabled or 0) & wanted != wanted:
        return "the table's trigger is disabled"
    return None
