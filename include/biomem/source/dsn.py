"""Connection strings: one form (libpq's) from the several that people and Airflow write, and none ever shown whole."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from biomem.errors import ConfigurationError, SourceError

if TYPE_CHECKING:
    from collections.abc import Mapping

    import psycopg

APPLICATION_NAME = "biomem"
CONNECT_TIMEOUT_S = 10
KNOCK_TIMEOUT_S = 3
# what our sessions may take of the source: a leaked or stuck one must not block its owners' DDL
SESSION_LIMITS = {
    "statement_timeout": "600000",
    "lock_timeout": "10000",
    "idle_in_transaction_session_timeout": "60000",
    "TimeZone": "UTC",
    # a text like 01/02/2025 is an error rather than a guess
    "DateStyle": "ISO,YMD",
    "IntervalStyle": "postgres",
    "bytea_output": "hex",
    "extra_float_digits": "1",
    "client_encoding": "UTF8",
    "standard_conforming_strings": "on",
}
# a peer that has fallen silent (a cut without a reset) is given up after a minute, not after the system's two hours
KEEPALIVES = {
    "keepalives": "1",
    "keepalives_idle": "30",
    "keepalives_interval": "10",
    "keepalives_count": "3",
    "tcp_user_timeout": "60000",
}
# settings that Airflow keeps in a PostgreSQL connection beside libpq's
AIRFLOW_EXTRAS = frozenset(
    {
        "__extra__",
        "aws_conn_id",
        "cluster-identifier",
        "cursor",
        "enable_log_db_messages",
        "iam",
        "redshift",
        "sqlalchemy_query",
        "sqlalchemy_scheme",
        "workgroup-name",
    }
)
SECRETS = ("password", "sslpassword", "oauth_client_secret")


def normalise(text: str) -> str:
    """`text` as a libpq keyword string.

    Takes a keyword string, a `postgresql://` or `postgres://` URL (SQLAlchemy's `+driver` is dropped), and an Airflow
    connection as URI or JSON. Raises ConfigurationError, without quoting the text, when it is none of these.
    """
    text = text.strip()
    if text.startswith("{"):
        return _from_airflow_json(text)
    if "://" in text:
        return _from_url(text)
    return _make(_parse(text))


def conninfo_from_parts(
    *,
    host: str | None,
    port: int | None,
    user: str | None,
    password: str | None,
    dbname: str | None,
    extra: Mapping[str, Any],
) -> str:
    """A libpq keyword string from the fields of an Airflow connection; `extra` may hold any libpq keyword.

    A unix socket goes into `extra` as `{"host": "/run/postgresql"}` or into `host` itself.
    Raises ConfigurationError for a keyword that neither libpq nor Airflow knows.
    """
    parts = {"host": host, "port": port, "user": user, "password": password, "dbname": dbname}
    given = {key: str(value) for key, value in parts.items() if value not in (None, "")}
    return _make({**given, **_libpq_only(extra)})


def redact(dsn: str) -> str:
    """`dsn` without its secrets, for messages; a text that is no connection string is not shown at all."""
    try:
        parts = _parse(normalise(dsn))
    except ConfigurationError:
        return "<malformed connection string>"
    return _make({key: value for key, value in parts.items() if key not in SECRETS})


def secrets_of(dsn: str) -> list[str]:
    """The secret values in `dsn`: what must never appear in a message."""
    parts = _parse(dsn)
    return [str(parts[key]) for key in SECRETS if parts.get(key)]


def place(dsn: str) -> str:
    """Where `dsn` leads, as `database "d" at host:port`, for messages."""
    parts = _parse(dsn)
    host = parts.get("host") or parts.get("hostaddr") or "localhost"
    return f'database "{parts.get("dbname") or parts.get("user") or "default"}" at {host}:{parts.get("port") or 5432}'


def with_session_limits(dsn: str) -> dict[str, str]:
    """The keywords of `dsn` plus our name, limits and keepalives; what the user set wins."""
    parts = {**KEEPALIVES, **{key: str(value) for key, value in _parse(dsn).items()}}
    limits = " ".join(f"-c {name}={value}" for name, value in SESSION_LIMITS.items())
    parts["options"] = f"{limits} {parts.get('options', '')}".strip()
    parts.setdefault("application_name", APPLICATION_NAME)
    parts.setdefault("connect_timeout", str(CONNECT_TIMEOUT_S))
    return parts


def connect(dsn: str, *, autocommit: bool = False) -> psycopg.Connection[tuple[Any, ...]]:
    """Connect under our name and limits. Raises SourceError in plain words, never with a secret in it."""
    import psycopg

    try:
        return psycopg.connect(_make(with_session_limits(dsn)), autocommit=autocommit)
    except psycopg.Error as error:
        raise SourceError(explain_refusal(str(error), dsn)) from None


def knock(dsn: str, timeout_s: int = KNOCK_TIMEOUT_S) -> None:
    """Find out soon whether the server answers, for who holds something that others wait for. Raises SourceError."""
    from psycopg.conninfo import make_conninfo

    connect(make_conninfo(dsn, connect_timeout=timeout_s)).close()


def explain_refusal(message: str, dsn: str) -> str:
    """A failed connection in plain words: what, where, and what to change."""
    parts = _parse(dsn)
    where = f"PostgreSQL ({place(dsn)})"
    user = parts.get("user") or "the default user"
    if "password authentication failed" in message:
        return f"{where} refused the password of user {user!r}: check the password and the user name"
    if "no password supplied" in message:
        return f"{where} wants a password for user {user!r}: add one to the connection"
    if re.search(r'database "[^"]*" does not exist', message):
        return f"{where}: there is no such database; create it or name another one"
    if re.search(r'role "[^"]*" does not exist', message):
        return f"{where} has no user {user!r}: create it or name another one"
    if "no pg_hba.conf entry" in message:
        return f"{where} does not let user {user!r} in from here: see its pg_hba.conf"
    if "unsupported startup parameter" in message:
        return (
            f"{where} is a connection pooler that takes no session settings: add `ignore_startup_parameters = options` "
            "to PgBouncer's configuration, or connect to PostgreSQL itself"
        )
    if re.search(r"could not translate host name|resolve host|Name or service", message):
        return f"{where}: no host is known by that name; check the spelling and the network"
    if re.search(r"refused|No such file|timeout|timed out|unreachable|No route", message):
        return f"{where} does not answer: check that it runs and that host and port are right"
    return f"{where}: {without_secrets(message, dsn)}"


def without_secrets(message: str, dsn: str) -> str:
    """`message` on one line, with every secret of `dsn` blotted out."""
    for secret in secrets_of(dsn):
        message = message.replace(secret, "***")
    return " ".join(message.split())


def _from_airflow_json(text: str) -> str:
    try:
        fields = json.loads(text)
        extra = fields.get("extra") or {}
        extra = json.loads(extra) if isinstance(extra, str) else extra
        if fields.get("conn_type", "postgres") not in ("postgres", "postgresql"):
            raise ConfigurationError(f"the connection is of type {fields['conn_type']!r}; it must be a PostgreSQL one")
        return conninfo_from_parts(
            host=fields.get("host"),
            port=fields.get("port"),
            user=fields.get("login"),
            password=fields.get("password"),
            dbname=fields.get("schema"),
            extra=extra,
        )
    except (ValueError, AttributeError):
        # the cause would quote the text, and the text holds a password
        raise ConfigurationError("the connection starts like JSON but is not an Airflow connection in JSON") from None


def _from_url(text: str) -> str:
    try:
        url = urlsplit(text)
        query = dict(parse_qsl(url.query, keep_blank_values=True))
        extra: dict[str, Any] = json.loads(query.get("__extra__") or "{}")
    except ValueError:
        raise ConfigurationError("the connection looks like a URL but cannot be read as one") from None
    if url.scheme.split("+")[0] not in ("postgres", "postgresql"):
        raise ConfigurationError(f"the connection URL begins with {url.scheme}://; it must be postgresql://")
    # libpq reads the rest of the URL (several hosts, IPv6, escapes); its keywords in the query are passed on
    base = urlunsplit(("postgresql", url.netloc, url.path, "", ""))
    return _make({**_parse(base), **_libpq_only({**query, **extra})})


def _libpq_only(extra: Mapping[str, Any]) -> dict[str, str]:
    from psycopg.pq import Conninfo

    known = {option.keyword.decode() for option in Conninfo.get_defaults()}
    unknown = sorted(set(extra) - known - AIRFLOW_EXTRAS)
    if unknown:
        raise ConfigurationError(f"the connection has settings that PostgreSQL does not know: {', '.join(unknown)}")
    return {key: str(value) for key, value in extra.items() if key in known and value not in (None, "")}


def _parse(text: str) -> dict[str, Any]:
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    try:
        return conninfo_to_dict(text)
    except psycopg.Error:
        # the cause would quote the text, and the text may hold a password
        raise ConfigurationError(
            "the connection string is malformed; write it like postgresql://user:password@host:5432/database"
        ) from None


def _make(parts: Mapping[str, Any]) -> str:
    from psycopg.conninfo import make_conninfo

    return make_conninfo("", **parts)
