"""Writers that race with the pull: whatever they commit, and nothing else, is in the warehouse in the end."""

from __future__ import annotations

import time

import pytest
from biomem.source.mapping import CURSORS


@pytest.mark.timeout(600)
@pytest.mark.parametrize("cursor", CURSORS)
@pytest.mark.parametrize(
    ("seconds", "longest_s"), [(5, 2), pytest.param(60, 10, marks=pytest.mark.slow)], ids=["short", "long"]
)
def test_nothing_that_twelve_writers_commit_is_lost(cluster, pull, write, cursor, seconds, longest_s, monkeypatch):
    # deletions are found by the cursor, or by the comparison at its turn, and not at every pull
    monkeypatch.setattr("biomem.source.staging.SMALL_SOURCE_ROWS", -1)
    pull.prepare(cursor, cluster.dsn())
    finish = write(cluster.dsn(), seconds, longest_s=longest_s)
    pulls, windows = 0, 0
    while not finish.is_over():
        result = pull(cluster.dsn())
        pulls += 1
        windows += not result.is_full
        time.sleep(max(0.0, 1 - result.seconds) if seconds > 10 else 0)
    transactions = finish()
    last = pull(cluster.dsn(), reconcile=True)
    assert not last.is_full, last.full_because
    assert pull.differences(cluster.dsn()) == []
    assert windows >= 2
    assert transactions > 5 * seconds
    print(f"{cursor}: {transactions} transactions, {pulls} pulls")
