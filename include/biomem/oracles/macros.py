"""Renders the shipped dbt macros without a dbt run: they are plain Jinja over `var`, so one environment is enough."""

from __future__ import annotations

from typing import Any

from jinja2 import Environment, StrictUndefined

from biomem.errors import ConfigurationError
from biomem.parameters import load_parameters
from biomem.settings import Settings


class EquationMacros:
    """The macros of `dbt/macros/equations` as functions from SQL expressions to a SQL expression.

    `equations("retention", "elapsed_days", "stability_days")` is the text that dbt puts into a model.
    `overrides` replaces parameters, also by column names, which frees them for a fit.
    """

    def __init__(self, settings: Settings, **overrides: Any) -> None:
        values = {name: parameter.value for name, parameter in load_parameters(settings).items()}
        folder = settings.dbt_dir / "macros" / "equations"
        sources = [path.read_text(encoding="utf-8") for path in sorted(folder.glob("*.sql"))]
        if not sources:
            raise ConfigurationError(f"no equations in {folder}; restore the dbt project beside biomem")
        environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - the output is SQL, not HTML
        environment.globals["var"] = {**values, **overrides}.__getitem__
        self._module = environment.from_string("\n".join(sources)).module

    def __call__(self, name: str, *arguments: str) -> str:
        """The SQL of macro `name`. Raises ConfigurationError when there is no such macro."""
        macro = getattr(self._module, name, None)
        if macro is None:
            raise ConfigurationError(f"the dbt project has no macro {name}; restore dbt/macros/equations")
        return str(macro(*arguments)).strip()
