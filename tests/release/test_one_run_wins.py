"""Many runs at once on one empty database: exactly one applies, the others find nothing left to do."""

from __future__ import annotations

import threading
import time

import pytest


@pytest.mark.parametrize("runners", [2, 10, 50])
@pytest.mark.timeout(240)
def test_one_applies(project, database, start_migrate, runners):
    ids = project.linear(3)
    admin = database.as_superuser
    most = 0
    ended = threading.Event()

    def watch():
        nonlocal most
        connection = admin.connect()
        connection.autocommit = True
        with connection.cursor() as cursor:
            while not ended.is_set():
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE usename = %s", [database.user])
                most = max(most, cursor.fetchone()[0])
                time.sleep(0.01)

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = [start_migrate("up", database=database) for _ in range(runners)]
    results = [process.finish(200) for process in started]
    ended.set()
    watcher.join()
    for result in results:
        result.check_clean()
        assert result.exit_code == 0, result.stdout
    outcomes = sorted(result.finished["outcome"] for result in results)
    assert outcomes == ["applied"] + ["noop"] * (runners - 1)
    assert [r.finished["applied"] for r in results if r.finished["outcome"] == "applied"] == [ids]
    assert database.rows("SELECT count(*) FROM migrate.run") == [(1,)]
    assert 1 <= most <= runners + 3
