"""The text that the parity tests run is the text that dbt puts into a model."""

from __future__ import annotations

from typing import Any

from rendered import Rendered
from test_macros import PARITIES

CALLS = {
    **{name: [f"a{index}" for index in range(len(parity.types))] for name, parity in PARITIES.items()},
    **{name: ["x"] for name in ("local_day", "night_after_us", "week_start_at_or_after", "window_start")},
    **{name: ["x"] for name in ("normalised_text", "shingles", "prefix_length", "stated_fact", "read_names")},
}


def test_dbt_renders_the_macros_as_the_parity_tests_do(scratch_project: Any) -> None:
    scratch_project.project["macro-paths"] = [str(Rendered().dbt_dir / "macros")]
    for name, arguments in CALLS.items():
        listed = ", ".join(repr(argument) for argument in arguments)
        scratch_project.add_model(name, f"{{{{ {name}({listed}) }}}}")
    compiled, rendered = scratch_project.compiled(), Rendered()
    different = [name for name, arguments in CALLS.items() if compiled[name].strip() != rendered(name, *arguments)]
    assert not different, f"dbt renders these in another way: {different}"
