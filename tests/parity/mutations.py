"""Changes one constant of the equations at a time and says which test notices: `python tests/parity/mutations.py`.

Works on a copy of the tree. Exits 1 when a change goes unnoticed.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
EQUATIONS = "dbt/macros/equations"
TESTS = ["test_macros.py", "test_fsrs_reference.py", "test_oracles.py"]

MUTATIONS = [
    # file, what is there, what replaces it (each once)
    (f"{EQUATIONS}/retention_factor.sql", "0.9 **", "0.8 **"),
    (f"{EQUATIONS}/short_term_decay.sql", "5e0", "4e0"),
    (f"{EQUATIONS}/raw_first_difficulty.sql", "+ 1e0", "+ 2e0"),
    (f"{EQUATIONS}/next_difficulty.sql", "/ 9e0", "/ 8e0"),
    (f"{EQUATIONS}/recall_stability.sql", "11e0", "10e0"),
    (f"{EQUATIONS}/same_day_stability.sql", "- 3 +", "- 2 +"),
    (f"{EQUATIONS}/next_stability.sql", "< 1 then", "< 2 then"),
    (f"{EQUATIONS}/base_level.sql", "'.05e0'", "'.5e0'"),
    (f"{EQUATIONS}/accessibility.sql", "'1e-9'", "'1e-6'"),
    (f"{EQUATIONS}/working_memory_capacity.sql", "4 if", "5 if"),
    (f"{EQUATIONS}/replay_need.sql", "- 1e0)", "- 2e0)"),
    (f"{EQUATIONS}/synaptic_homeostasis.sql", "1e0 -", "2e0 -"),
    (f"{EQUATIONS}/salience_grade.sql", "is null then 3", "is null then 2"),
    ("dbt/dbt_project.yml", "1.8722", "1.8723"),
    ("dbt/dbt_project.yml", "ebbinghaus_scale_per_s: 0.0772", "ebbinghaus_scale_per_s: 0.0773"),
]


def noticed_by(copy: Path) -> str | None:
    """The first test that fails in a copy of the tree, or None."""
    outcome = subprocess.run(
        [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *(f"tests/parity/{t}" for t in TESTS)],
        cwd=copy,
        env={**os.environ, "PYTHONPATH": str(copy / "include")},
        capture_output=True,
        text=True,
        check=False,
    )
    if outcome.returncode == 0:
        return None
    found = re.search(r"^(?:FAILED|ERROR) \S+::(\S+)", outcome.stdout, re.MULTILINE)
    return found[1] if found else outcome.stdout[-2000:] + outcome.stderr[-2000:]


def main() -> int:
    """Try them all; returns the exit code."""
    unnoticed = 0
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder)
        for part in ("include", "dbt", "tests", "plugins", "pyproject.toml"):
            source = ROOT / part
            if source.is_file():
                shutil.copy(source, copy / part)
            else:
                shutil.copytree(source, copy / part, ignore=shutil.ignore_patterns("target", "logs", "__pycache__"))
        if broken := noticed_by(copy):
            print(f"fails before anything is changed: {broken}")
            return 1
        for name, old, new in MUTATIONS:
            path = copy / name
            text = path.read_text(encoding="utf-8")
            assert old in text, f"{name} no longer holds {old!r}: renew this list"
            path.write_text(text.replace(old, new, 1), encoding="utf-8")
            test = noticed_by(copy)
            path.write_text(text, encoding="utf-8")
            unnoticed += test is None
            print(f"{Path(name).name}: {old} -> {new}: {test or 'NOTICED BY NO TEST'}", flush=True)
    return int(unnoticed > 0)


if __name__ == "__main__":
    sys.exit(main())
