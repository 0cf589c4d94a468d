"""From a PostgreSQL type to the SQL that brings a value over exactly, or a refusal that names the column and the fix.

Nothing here can fail on a single odd value, except text that is no time: what a role cannot hold (a time beyond the
years 1 to 9999, an importance that is no number) becomes an infinite time or null, so that one row never stops a pull.
"""

from __future__ import annotations

from dataclasses import dataclass

from biomem.errors import SourceError

INTEGERS = ("smallint", "integer", "bigint")
NUMBERS = (*INTEGERS, "numeric", "real", "double precision")
TEXTS = ("text", "character varying", "character", "citext", "name")
JSONS = ("json", "jsonb")
VECTORS = ("vector", "halfvec")
# what has no text of its own that one would want to remember or to tell memories apart by
NO_TEXT = (*VECTORS, "sparsevec", "composite", "range", "tsvector", "bytea")
NO_LABEL = (*NO_TEXT, *JSONS, "xml", "hstore")
# what Python, DuckDB and PostgreSQL all can hold
FIRST_INSTANT, LAST_INSTANT = "0001-01-01 00:00:00+00", "9999-12-31 00:00:00+00"
FIRST_SECOND, LAST_SECOND = -62_135_596_800, 253_402_214_400  # the same, since 1970
LARGEST_DOUBLE, LARGEST_REAL, SMALLEST_REAL = "1.7976931348623157e308", "3.4028234663852886e38", "1.4e-45"


@dataclass(frozen=True)
class Value:
    """One of our columns in SQL, its type (`biomem.source.table.kinds`), and what to call it in a message."""

    sql: str
    kind: str
    label: str


def text(value: Value) -> str:
    """The memory's words. char(n) comes without its padding, which SQL does not count as content either."""
    if value.kind.endswith("[]") or value.kind in NO_TEXT:
        raise SourceError(
            f"{value.label} is {value.kind}; content must be a text. Map another column, or say how it reads: "
            'content: {expression: "..."}'
        )
    return f"{value.sql}::text"


def label(value: Value) -> str:
    """An id, an agent, a session, a speaker: a short value, told apart by its text."""
    if value.kind.endswith("[]") or value.kind in NO_LABEL:
        raise SourceError(
            f"{value.label} is {value.kind}; an id or a name must be a single value. Map another column, or an "
            'expression that gives one: {expression: "..."}'
        )
    return f"{value.sql}::text"


def instant(value: Value) -> str:
    """A time as timestamptz; what lies beyond the years 1 to 9999 becomes infinite rather than an error."""
    if value.kind == "timestamp with time zone":
        return value.sql
    if value.kind == "timestamp without time zone":
        return f"({value.sql} at time zone 'UTC')"
    if value.kind == "date":
        as_date = f"{value.sql}::timestamp at time zone 'UTC'"
        return _bounded(value.sql, f"date '{FIRST_INSTANT[:10]}'", f"date '{LAST_INSTANT[:10]}'", as_date)
    if value.kind in NUMBERS:
        return _bounded(value.sql, str(FIRST_SECOND), str(LAST_SECOND), f"to_timestamp({value.sql}::float8)")
    if value.kind in TEXTS:
        return f"nullif(trim({value.sql}::text), '')::timestamptz"
    raise SourceError(
        f"{value.label} is {value.kind}; a time must be a timestamp, a date, seconds since 1970, or ISO text"
    )


def is_holdable(sql: str) -> str:
    """Whether a timestamptz lies in the years that everything here can hold."""
    return f"({sql} >= '{FIRST_INSTANT}'::timestamptz and {sql} < '{LAST_INSTANT}'::timestamptz)"


def deletion(sql: str, occurred_at: str) -> str:
    """Infinity means never; a time too early to hold means ever since."""
    if sql == "null":
        return "null"
    return (
        f"case when {sql} >= '{LAST_INSTANT}'::timestamptz then null "
        f"when {sql} < '{FIRST_INSTANT}'::timestamptz then {occurred_at} else {sql} end"
    )


def number(value: Value) -> str:
    """A double precision; NaN, the infinities and what is beyond a double are no number, hence null."""
    if value.kind not in NUMBERS:
        raise SourceError(
            f"{value.label} is {value.kind}; it must be a number (importance, arousal). Map another, or null"
        )
    if value.kind in INTEGERS:
        return f"{value.sql}::float8"
    # rounded, because what is too small for a double would be an error
    narrow = f"round({value.sql}, 300)::float8" if value.kind == "numeric" else f"{value.sql}::float8"
    return f"case when abs({value.sql}) <= {LARGEST_DOUBLE} then {narrow} end"


def tags(value: Value) -> str:
    """A list of texts: from an array of any shape, a JSON array or string, or words between commas or semicolons."""
    if value.kind.endswith("[]"):
        # DuckDB takes no array of arrays; unnest is dear, so it is for those alone
        flat = f"array(select unnest({value.sql})::text)"
        return f"case when array_ndims({value.sql}) > 1 then {flat} else {value.sql}::text[] end"
    if value.kind in JSONS:
        array = f"{value.sql}::jsonb"
        return (
            f"case jsonb_typeof({array}) when 'array' then array(select jsonb_array_elements_text({array})) "
            f"when 'string' then array[{array} #>> '{{}}'] end"
        )
    if value.kind in (*TEXTS, "enum"):
        words = f"regexp_split_to_array(trim({value.sql}::text), '\\s*[,;]\\s*')"
        return f"case when {value.sql} is not null then array_remove({words}, '') end"
    raise SourceError(
        f"{value.label} is {value.kind}; tags must be an array, a JSON array, or words between commas. Map another, "
        "an expression, or null"
    )


def metadata(value: Value) -> str:
    """JSON as text: the source's own, or what to_jsonb makes of the value."""
    return f"{value.sql}::text" if value.kind in JSONS else f"to_jsonb({value.sql})::text"


def embedding(value: Value) -> str:
    """An array of single precision; one with a hole, an infinity or a second dimension is no vector, hence null."""
    if value.kind in VECTORS:
        return f"{value.sql}::real[]"
    if not is_vector(value.kind):
        raise SourceError(
            f"{value.label} is {value.kind}; an embedding must be a vector, a halfvec or an array of numbers. Map "
            "another, null, or cast it: {expression: \"translate(embedding::text, '[]', '{}')::real[]\"} for JSON"
        )
    is_whole = f"bool_and(coalesce(abs(number) <= {LARGEST_REAL}, false))"
    # what is too small for a single is nothing rather than an error
    is_small, is_large = f"abs(number) < {SMALLEST_REAL}", f"abs(number) > {LARGEST_REAL}"
    single = f"case when {is_small} then 0 when {is_large} then null else number::real end"
    return (
        f"(select case when array_ndims({value.sql}) = 1 and {is_whole} then array_agg({single} order by place) end "
        f"from unnest({value.sql}) with ordinality as element (number, place))"
    )


def is_vector(kind: str) -> bool:
    return kind in VECTORS or (kind.endswith("[]") and kind[:-2] in NUMBERS)


def _bounded(sql: str, first: str, last: str, otherwise: str) -> str:
    return (
        f"case when {sql} < {first} then '-infinity'::timestamptz when {sql} >= {last} then 'infinity'::timestamptz "
        f"else {otherwise} end"
    )
