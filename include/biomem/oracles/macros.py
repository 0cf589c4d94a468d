"""Renders the shipped dbt macros without a dbt run: they are plain Jinja over `var`, so one environment is enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from jinja2 import Environment, StrictUndefined

from biomem.errors import ConfigurationError
from biomem.parameters import load_parameters

if TYPE_CHECKING:
    from biomem.settings import Settings


class EquationMacros:
    """The macros of `dbt/macros/equations` as functions from SQL expressions to a SQL expression.

    `equations("retention", "elapsed_days", "stability_days")` is the text that dbt puts into a model.
    `overrides` replaces parameters by other values.
    """

    def __init__(self, settings: Settings, **overrides: Any) -> None:
        values = {name: parameter.value for name, parameter in load_parameters(settings).items()}
        folder = settings.dbt_dir / "macros" / "equations"
        sources = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))]
        if not sources:
            raise ConfigurationError(f"no equations in {folder}; restore the dbt project beside biomem")
        environment = Environment(undefined=StrictUndefined, autoescape=False)
        self._values = {**values, **overrides}
        self._read: set[str] = set()
        environment.globals["var"] = self._var
        self._module = environment.from_string("\n".join(sources)).module

    def __call__(self, name: str, *arguments: str) -> str:
        """The SQL of macro `name`. Raises ConfigurationError when there is no such macro."""
        return str(self._macro(name)(*arguments)).strip()

    def parameters_of(self, *names: str) -> dict[str, Any]:
        """Name and value of every parameter that these macros read."""
        self._read.clear()
        for name in names:
            self(name, *("x" for _ in self._macro(name).arguments))
        return {name: self._values[name] for name in sorted(self._read)}

    def _var(self, name: str) -> Any:
        self._read.add(name)
        return self._values[name]

    def _macro(self, name: str) -> Any:
        macro = getattr(self._module, name, None)
        if macro is None:
            raise ConfigurationError(f"the dbt project has no macro {name}; restore dbt/macros/equations")
        return macro
