"""SQL expressions in a mapping: read word by word here, then parsed and typed by PostgreSQL, all before any is run.

An expression reads one row and gives one value, the same whenever it is asked. So it holds no subquery, no second
statement, no clock, and no function that is volatile, aggregates or returns a set.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from biomem.errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

# Where PostgreSQL's own lexer would leave this one's path (dollar quotes, comments, string continuation, numbers that
# run into a word), the text is refused rather than read like PostgreSQL.
TOKEN = re.compile(
    r"""
    (?P<space>[ \t\n\r\f\v]+)
  | (?P<string>[eE]'(?:[^'\\\0]|\\[^\0]|'')*' | '(?:[^'\0]|'')*')
  | (?P<quoted>"(?:[^"\0]|"")+")
  | (?P<word>[A-Za-z_\x80-\U0010ffff][A-Za-z0-9_$\x80-\U0010ffff]*)
  | (?P<number>(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?(?![\w$'"\x80-\U0010ffff]))
  | (?P<bracket>[()\[\]])
  | (?P<mark>[.,:])
  | (?P<operator>[-+*/<>=~!@\#%^&|`?]+)
    """,
    re.VERBOSE,
)
SUBQUERIES = frozenset({"select", "values", "table", "with", "into"})
CLOCK_WORDS = frozenset({"current_date", "current_time", "current_timestamp", "localtime", "localtimestamp"})
CLOCK_FUNCTIONS = frozenset({"now", "transaction_timestamp", "statement_timestamp", "clock_timestamp", "timeofday"})
PAIRS = {")": "(", "]": "["}


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str  # an identifier as PostgreSQL knows it: folded, or without its quotes


def check_expression(text: str, where: str) -> None:
    """Raise ConfigurationError when `text` is not a single expression over one row, or asks the clock."""
    tokens = _tokens(text, where)
    if not tokens:
        raise ConfigurationError(f"{where}: the expression is empty")
    opened: list[str] = []
    for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False):
        if token.kind == "word" and token.text in SUBQUERIES:
            raise ConfigurationError(
                f"{where}: the expression {text!r} holds a subquery ({token.text}); it may only read its own row"
            )
        is_call = token.kind in ("word", "quoted") and after is not None and after.text == "("
        is_clock_word = token.kind == "word" and token.text in CLOCK_WORDS
        if is_clock_word or (is_call and token.text in CLOCK_FUNCTIONS):
            raise ConfigurationError(
                f"{where}: the expression {text!r} asks the clock ({token.text}), so it would change from pull to pull"
            )
        if token.kind == "string" and before is not None and before.kind == "string":
            raise ConfigurationError(f"{where}: the expression {text!r} has two strings in a row; join them with ||")
        if token.text in ("(", "[") and token.kind == "bracket":
            opened.append(token.text)
        elif token.kind == "bracket" and (not opened or opened.pop() != PAIRS[token.text]):
            raise ConfigurationError(f"{where}: a {token.text} of the expression {text!r} closes nothing")
    if opened:
        raise ConfigurationError(f"{where}: a {opened[-1]} of the expression {text!r} is not closed")


def names_in(text: str) -> set[str]:
    """Every identifier in an expression: columns, functions and types alike."""
    return {token.text for token in _tokens(text, "") if token.kind in ("word", "quoted")}


def describe_expressions(
    con: psycopg.Connection[tuple[Any, ...]], schema: str, table: str, expressions: Mapping[str, str]
) -> dict[str, int]:
    """The type (its oid) of each expression over the table, by our names. They are prepared, never executed.

    Raises SourceError that names the column and the expression when PostgreSQL cannot parse it, or it calls a function
    whose result is no fixed, single value of the row.
    """
    return {ours: _describe(con, schema, table, ours, text) for ours, text in expressions.items()}


def _describe(con: psycopg.Connection[tuple[Any, ...]], schema: str, table: str, ours: str, text: str) -> int:
    from psycopg.pq import ExecStatus
    from psycopg.sql import SQL, Identifier

    where = f"{schema}.{table}: the expression for {ours}, {text!r},"
    _refuse_unsteady(con, text, where)
    # the expression stays within the parentheses: check_expression saw to that
    query = b"select (" + text.encode() + b") " + SQL("from {}").format(Identifier(schema, table)).as_bytes(con)
    result = con.pgconn.prepare(b"", query)
    if result.status == ExecStatus.COMMAND_OK:
        result = con.pgconn.describe_prepared(b"")
    if result.status != ExecStatus.COMMAND_OK:
        reason = " ".join(result.get_error_message().split())
        raise SourceError(f"{where} is not understood by PostgreSQL: {reason}; correct it in source.yml")
    return result.ftype(0)


def _refuse_unsteady(con: psycopg.Connection[tuple[Any, ...]], text: str, where: str) -> None:
    tokens = [token for token in _tokens(text, where) if token.kind in ("word", "quoted")]
    names = [token.text for token in tokens]
    operators = [token.text for token in _tokens(text, where) if token.kind == "operator"]
    # any identifier may be a call: f(x) can also be written x.f
    rows = con.execute(
        """
        select distinct p.proname::text, case when p.prokind in ('a', 'w') then 'combines several rows'
            when p.proretset then 'returns several rows' else 'is volatile' end
        from pg_proc p join pg_namespace n on n.oid = p.pronamespace
        where (
            p.proname = any(%(called)s) and (pg_function_is_visible(p.oid) or n.nspname = any(%(names)s))
            or p.oid in (select oprcode from pg_operator where oprname = any(%(operators)s))
        ) and (p.provolatile = 'v' or p.proretset or p.prokind <> 'f')
        order by 1 limit 1
        """,
        {"called": _called(text, where), "names": names, "operators": operators},
    ).fetchall()
    for name, reason in rows:
        raise SourceError(f"{where} calls {name}, which {reason}; an expression gives one fixed value per row")


def _called(text: str, where: str) -> list[str]:
    """What may be a function's name: whatever stands before a parenthesis or behind a dot."""
    tokens = _tokens(text, where)
    return [
        token.text
        for before, token, after in zip([None, *tokens], tokens, [*tokens[1:], None], strict=False)
        if token.kind in ("word", "quoted")
        and ((after is not None and after.text == "(") or (before is not None and before.text == "."))
    ]


def _tokens(text: str, where: str) -> list[_Token]:
    found, position = [], 0
    while position < len(text):
        match = TOKEN.match(text, position)
        if match is None or (match.lastgroup == "operator" and re.search(r"--|/\*", match[0])):
            raise ConfigurationError(
                f"{where}: the expression {text!r} cannot be read from {text[position : position + 10]!r} on; it must "
                "be one SQL expression without comments, semicolons, dollar quotes and parameters"
            )
        position = match.end()
        if match.lastgroup != "space":
            found.append(_Token(str(match.lastgroup), _identifier(match)))
    return found


def _identifier(match: re.Match[str]) -> str:
    if match.lastgroup == "quoted":
        return match[0][1:-1].replace('""', '"')
    # PostgreSQL folds ASCII only
    return match[0].encode().lower().decode() if match.lastgroup == "word" else match[0]
