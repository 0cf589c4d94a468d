"""The dbt project rendered without dbt: its macros and models are Jinja over `var`, `ref` and `source`.

dbt takes seconds to start; the equations are held against Python thousands of times, and once for each constant that
`mutations.py` changes. That dbt renders the same text is a test of its own (test_rendering.py). Models come out as a
full build has them.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any

from biomem.parameters import load_parameters
from biomem.settings import load_settings
from jinja2 import Environment, StrictUndefined, Template

if TYPE_CHECKING:
    import duckdb


MACRO = re.compile(r"\{%-?\s*macro\s+(\w+)")
# dbt's own tag: how a model is written, not what is computed
MATERIALIZATION = re.compile(r"\{%-?\s*materialization\b.*?endmaterialization\s*-?%\}", re.DOTALL)


@lru_cache(maxsize=1)
def shipped_vars() -> dict[str, Any]:
    return {name: parameter.value for name, parameter in load_parameters(load_settings(environ={})).items()}


@lru_cache(maxsize=512)
def _compiled(source: str) -> Any:
    return Environment(undefined=StrictUndefined, extensions=["jinja2.ext.do"]).compile(source)


class Refused(Exception):
    """What dbt raises when a macro stops the build."""


class _Exceptions:
    @staticmethod
    def raise_compiler_error(message: str) -> None:
        raise Refused(message)


class Rendered:
    """Macros as functions from SQL expressions to SQL, and models as SQL; `overrides` replaces parameters."""

    def __init__(self, **overrides: Any) -> None:
        self.dbt_dir = load_settings(environ={}).dbt_dir
        self.vars = {**shipped_vars(), **overrides}
        self.macros: dict[str, Any] = {}
        self.environment = Environment(undefined=StrictUndefined, extensions=["jinja2.ext.do"])
        files = sorted((self.dbt_dir / "macros").rglob("*.sql"))
        sources = [MATERIALIZATION.sub("", path.read_text(encoding="utf-8")) for path in files]
        self.environment.globals |= {
            # a macro may call one of a file that is read later
            **{name: partial(self, name) for source in sources for name in MACRO.findall(source)},
            "var": self.vars.__getitem__,
            "ref": lambda name: f'main."{name}"',
            "source": lambda schema, name: f'{schema}."{name}"',
            "is_incremental": lambda: False,
            "should_full_refresh": lambda: True,
            "load_relation": lambda relation: relation,
            "execute": True,
            "config": lambda **_: "",
            "exceptions": _Exceptions,
        }
        for source in sources:
            self.macros.update(vars(self._template(source).module))
        self.paths = {path.stem: path for path in (self.dbt_dir / "models").rglob("*.sql")}

    def _template(self, source: str) -> Template:
        return Template.from_code(self.environment, _compiled(source), self.environment.make_globals(None))

    def __call__(self, macro: str, *arguments: Any, **named: Any) -> str:
        return str(self.macros[macro](*arguments, **named)).strip()

    def model(self, name: str) -> str:
        return self._template(self.paths[name].read_text(encoding="utf-8")).render()

    def build(self, con: duckdb.DuckDBPyConnection, *wanted: str) -> None:
        """Build models and what they read, from the raw tables of `con`, once each, as a full refresh does."""
        for name in self._in_order(wanted):
            con.execute(f'create or replace table main."{name}" as {self.model(name)}')

    def _in_order(self, wanted: tuple[str, ...]) -> list[str]:
        order: list[str] = []

        def add(name: str) -> None:
            # a later stage that is read where it was built already: here it never was
            for parent in re.findall(r'main\."(\w+)"', self.model(name)):
                if parent in self.paths and parent not in order and parent != name and parent not in waiting:
                    waiting.add(parent)
                    add(parent)
            if name not in order:
                order.append(name)

        waiting = set(wanted)
        for name in wanted:
            add(name)
        return order
