"""A process that hangs ends by itself, whatever it hangs in."""

from __future__ import annotations

import subprocess
import sys

import pytest

START = "from biomem import watchdog; watchdog.start(1.5, 60); "
IN_PYTHON = "import threading; threading.Event().wait()"
# the only thread is in DuckDB's code; signals are not heard there, for they are handled between two of Python's steps
IN_COMPILED_CODE = (
    "import signal, duckdb; signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals()); "
    "duckdb.sql('select sum(a.range * b.range) from range(10000000) a, range(10000000) b').fetchall()"
)


def run(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize("hang", [IN_PYTHON, IN_COMPILED_CODE], ids=["python", "compiled code"])
def test_what_hangs_ends_and_says_where(hang: str) -> None:
    done = run(START + hang)
    assert done.returncode == 1
    assert "Timeout" in done.stderr
    assert 'File "<string>", line 1' in done.stderr


@pytest.mark.parametrize(
    "code",
    [
        "import time\nfor _ in range(5): time.sleep(.5); watchdog.restart()",
        "watchdog.relax(); import time; time.sleep(2.5)",
        "watchdog.stop(); watchdog.restart(); watchdog.relax(); import time; time.sleep(2.5)",
    ],
    ids=["waits for its turn", "has much to do", "is no longer watched"],
)
def test_what_is_well_goes_on(code: str) -> None:
    assert run(START.rstrip("; ") + "\n" + code).returncode == 0


def test_waiting_for_the_warehouse_does_not_count(tmp_path) -> None:
    wait = (
        "from pathlib import Path; from biomem.warehouse.lock import warehouse_lock; "
        f"home = Path({str(tmp_path)!r}); "
        "import subprocess, sys, time; "
        "holder = subprocess.Popen([sys.executable, '-c', 'import sys, time; from pathlib import Path; "
        "from biomem.warehouse.lock import warehouse_lock; "
        "lock = warehouse_lock(Path(sys.argv[1])); lock.__enter__(); print(1, flush=True); time.sleep(4)', str(home)], "
        "stdout=subprocess.PIPE); holder.stdout.readline(); "
    )
    done = run(
        wait + START + "began = time.monotonic(); warehouse_lock(home).__enter__(); print(time.monotonic() - began)"
    )
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) > 3
