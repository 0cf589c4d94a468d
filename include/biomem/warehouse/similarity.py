"""`memory.similarity` as fast as the server can: by pgvector where that is installed, by plain SQL where it is not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import psycopg

FOUND = """
select
    (select n.nspname from pg_extension as e join pg_namespace as n on n.oid = e.extnamespace where extname = 'vector'),
    (select prosrc from pg_proc where pronamespace = 'memory'::regnamespace and proname = 'similarity')
"""
PLAIN = "select coalesce(sum(x::double precision * y), 0) from unnest(a, b) as both_values (x, y)"
# <#> is the inner product with its sign turned; the vectors have length 1
BY_EXTENSION = "select -(a::{schema}.vector operator({schema}.<#>) b::{schema}.vector)"
CREATE = """
create or replace function memory.similarity(a real[], b real[]) returns double precision
language sql immutable parallel safe as {body}
"""


def use_pgvector(pg: psycopg.Connection[tuple[Any, ...]]) -> None:
    """Let `memory.similarity` follow whether pgvector is installed, in the transaction of `pg`; mostly it does already.

    The extension itself is never installed here: a server's extensions are its owner's business.
    """
    from psycopg import sql

    row = pg.execute(FOUND).fetchone()
    assert row is not None
    schema, body = row
    wanted = BY_EXTENSION.format(schema=sql.Identifier(schema).as_string(pg)) if schema else PLAIN
    if body != wanted:
        pg.execute(sql.SQL(CREATE).format(body=sql.Literal(wanted)))
