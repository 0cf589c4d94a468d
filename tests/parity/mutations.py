"""Changes one number of the dbt macros at a time and says which test notices: `make mutations`.

Every numeral in dbt/macros is changed, on a copy of the tree: a whole number by one, a fraction by a tenth. The tests
of its folder of macros run first, the rest for what those let pass. Exits 1 when a change goes unnoticed that is not in
WITHOUT_EFFECT. `make mutations ARGS="fold/"` takes only the files whose path contains that.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
MACROS = Path("dbt/macros")
PARITY = "tests/parity"
QUICK = {
    "equations": ["test_macros.py"],
    "fold": ["test_lives.py"],
    "repeats": ["test_text_macros.py", "test_lives.py"],
    "salience": ["test_text_macros.py"],
    "semantic": ["test_time_macros.py", "test_text_macros.py", "test_lives.py"],
    "time": ["test_time_macros.py"],
    "warehouse": ["test_lives.py"],
}
LATER = [
    *(f"{PARITY}/test_{name}.py" for name in ("lives", "text_macros", "parameters", "fsrs_reference", "oracles")),
    "tests/integration/dbt/test_unit_tests.py",
]
# not numerals of SQL or Jinja: comments, places in a format string, groups of a regular expression, parts of a word
HIDDEN = re.compile(r"\{#.*?#\}|--[^\n]*|\{\d+\}|\\\d|\\x\{[0-9a-f]+\}", re.DOTALL)
NUMERAL = re.compile(r"(?<![\w.])(?:\d+\.?\d*|\.\d+)(?:e-?\d+)?(?![\w.])")

WITHOUT_EFFECT = {
    ("kept_within.sql", "1e-9"): "a guard against the last bits of a product",
    ("prefix_length.sql", "1e-9"): "a guard against the last bits of a product",
    ("retrieval_latency.sql", "700e0"): "a guard against overflow: exp(-700) is nothing beside the intercept",
    ("synaptic_homeostasis.sql", "(coalesce("): "beside a missing trace the numerator is 0, whatever divides it",
    ("fold.sql", "stride=8"): "how the work is divided, not what comes of it",
    ("fold.sql", "0::bigint as code"): "the first event of a stride writes both",
    ("slept.sql", "stride = 8"): "how the work is divided, not what comes of it",
    ("changed_memories.sql", "then -1 else"): "any number below those of all runs and pulls",
    ("reopen_", "select 1"): "any value will do for exists",
    ("reopen_associations.sql", "coalesce(clock.completed_sequence"): "completed_sequence is never null",
    ("reopen_concept_associations.sql", "coalesce(clock.completed_sequence"): "completed_sequence is never null",
}
"""(file, a part of the line): why no test can notice."""


@dataclass(frozen=True)
class Mutation:
    path: Path
    start: int
    old: str
    new: str
    line: int
    text: str

    @property
    def reason(self) -> str | None:
        """Why nothing can notice it, if it is known to have no effect."""
        known = (why for (file, part), why in WITHOUT_EFFECT.items() if file in str(self.path) and part in self.text)
        return next(known, None)

    def applied(self, source: str) -> str:
        return source[: self.start] + self.new + source[self.start + len(self.old) :]


def changed(numeral: str) -> str:
    """Another number: a whole one plus one, a fraction a tenth more (of 1 where it is 0)."""
    if re.fullmatch(r"\d+", numeral):
        return f"{int(numeral) + 1:0{len(numeral)}d}"
    return f"{float(numeral) * 1.1 or 0.1!r}".replace("e-0", "e-") + ("" if "e" in repr(float(numeral) * 1.1) else "e0")


def mutations(root: Path, wanted: str = "") -> Iterator[Mutation]:
    for path in sorted((root / MACROS).rglob("*.sql")):
        name = path.relative_to(root / MACROS)
        if wanted not in str(name):
            continue
        source = path.read_text(encoding="utf-8")
        visible = HIDDEN.sub(lambda hidden: " " * len(hidden[0]), source)
        for found in NUMERAL.finditer(visible):
            line = source.count("\n", 0, found.start()) + 1
            yield Mutation(
                name, found.start(), found[0], changed(found[0]), line, source.splitlines()[line - 1].strip()
            )


def noticed_by(root: Path, tests: list[str]) -> str | None:
    """The first test that fails, run in a child of this process, which has imported what they need; or None."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        import pytest

        output = io.StringIO()
        with redirect_stdout(output), redirect_stderr(output):
            code = pytest.main(["-x", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", "--no-header", *tests])
        found = re.search(r"^(?:FAILED|ERROR) \S+::([^\s\[]+)", output.getvalue(), re.MULTILINE)
        answer = "" if code == 0 else found[1] if found else output.getvalue()[-300:].replace("\n", " ")
        os.write(writing, (answer or ("" if code == 0 else f"pytest exit {code}")).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    return answer or None


def try_all(root: Path, wanted: str) -> int:
    """Try them in the copy `root`; prints a row of a table each; returns how many went unnoticed."""
    os.chdir(root)
    # children inherit what is imported and compiled here
    for module in ("dbt.cli.main", "duckdb", "fsrs", "hypothesis", "psycopg", "pyarrow", "biomem.oracles.report"):
        import_module(module)
    import_module("rendered").Rendered()
    quick = {folder: [f"{PARITY}/{test}" for test in tests] for folder, tests in QUICK.items()}
    for folder in sorted({mutation.path.parts[0] for mutation in mutations(root, wanted)}):
        if broken := noticed_by(root, quick.get(folder, LATER)):
            raise SystemExit(f"fails before anything is changed: {broken}")
    print("| macro | line | number | became | noticed by |\n|---|---|---|---|---|", flush=True)
    unnoticed = 0
    for mutation in mutations(root, wanted):
        path = root / MACROS / mutation.path
        source = path.read_text(encoding="utf-8")
        path.write_text(mutation.applied(source), encoding="utf-8")
        test = noticed_by(root, quick.get(mutation.path.parts[0], LATER))
        if test is None and not mutation.reason:
            test = noticed_by(root, LATER)
        path.write_text(source, encoding="utf-8")
        unnoticed += test is None and not mutation.reason
        verdict = test or (f"nothing: {mutation.reason}" if mutation.reason else "**NO TEST**")
        print(f"| {mutation.path} | {mutation.line} | {mutation.old} | {mutation.new} | {verdict} |", flush=True)
    return unnoticed


def main() -> int:
    """Copy the tree and try there, in a process that imports from the copy; returns the exit code."""
    wanted = sys.argv[1] if len(sys.argv) > 1 else ""
    if os.environ.get("BIOMEM_MUTATED_COPY"):
        return int(try_all(Path.cwd(), wanted) > 0)
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="biomem-mutations-") as folder:
        copy = Path(folder)
        for part in ("include", "dbt", "tests", "plugins", "pyproject.toml"):
            source = ROOT / part
            if source.is_file():
                shutil.copy(source, copy / part)
            else:
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("target", "logs", "__pycache__"))
        paths = f"{copy / 'include'}{os.pathsep}{copy / 'plugins'}"
        environment = {**os.environ, "PYTHONPATH": paths, "BIOMEM_MUTATED_COPY": "1", "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, str(copy / PARITY / "mutations.py"), wanted]
        code = subprocess.run(command, cwd=copy, env=environment, check=False).returncode
    print(f"\n{time.monotonic() - started:.0f} s", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
