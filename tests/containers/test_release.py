"""The release on a real engine: the job ends, and only then the service starts."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from tests.containers.conftest import BEFORE_HEAD, HEAD, MIGRATE_IMAGE, VERSIONS, WEB_IMAGE, docker, must
from tests.support.waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.containers.conftest import Ended, Release

pytestmark = pytest.mark.timeout(600)

FAILING = """op.execute("CREATE TABLE half_way (id integer)"); op.execute("SELECT 1 / 0")"""
FIXED = """op.execute("CREATE TABLE half_way (id integer)")"""
SLOW = """op.execute("CREATE TABLE half_way (id integer)"); op.execute("SELECT pg_sleep(120)")"""


def exists(release: Release, table: str) -> bool:
    return release.sql(f"SELECT to_regclass('{table}') IS NOT NULL") == ["t"]


def in_background(release: Release, name: str, image: str) -> None:
    """Start the job as a container of that name."""
    options = ("run", "-d", "--name", name, "migrate")
    must(release.compose(*options, env={"MIGRATE_IMAGE": image}))


def wait_for_event(container: str, event: str, **fields: object) -> None:
    """Wait until the container, which may still have to be made, has written the event."""

    def said() -> bool:
        logged = docker("logs", container).events
        return any(each["event"] == event and fields.items() <= each.items() for each in logged)

    until(said, seconds=60, otherwise=lambda: f"{container} did not say {event}: {docker('logs', container)}")


def ended(container: str) -> tuple[int, dict[str, object]]:
    """Wait for the container's end: its exit code and its last line."""
    code = int(must(docker("wait", container)).stdout)
    output = must(docker("logs", container))
    assert output.stderr == ""
    last: dict[str, object] = json.loads(output.stdout.splitlines()[-1])
    return code, last


def test_a_fresh_database_is_migrated_and_then_the_service_starts(release: Release) -> None:
    must(release.compose("up", "--wait", "web"))
    assert release.state("migrate") == "exited"
    (container,) = must(release.compose("ps", "--all", "--quiet", "migrate")).stdout.split()
    code, last = ended(container)
    assert (code, last["outcome"], last["applied_count"]) == (0, "applied", 8)
    assert release.versions() == [HEAD]
    assert release.request("/health") == (200, {"status": "ok"})
    status, made = release.request("/articles", {"url": "https://example.org/1", "content": "text", "source": "wire"})
    assert status == 201, made
    status, listed = release.request("/articles")
    assert (status, [article["url"] for article in listed]) == (200, ["https://example.org/1"])


def test_a_failing_revision_keeps_the_service_from_starting_until_it_is_fixed(
    with_database: Release, with_revision: Callable[[str], str]
) -> None:
    release = with_database
    failing = with_revision(FAILING)
    failed = release.migrate(image=failing)
    assert failed.exit_code == 30
    assert failed.finished["failed"] == "c0ffee000001"
    assert failed.finished["applied_count"] == 8
    assert release.versions() == [HEAD]
    assert not exists(release, "half_way"), "the failed revision was rolled back"

    up = release.compose("up", "--wait", "web", env={"MIGRATE_IMAGE": failing})
    assert up.exit_code != 0
    assert "exit 30" in up.stderr
    assert release.state("web") in {"", "created"}, "the service was never started"

    must(release.compose("up", "--wait", "web", env={"MIGRATE_IMAGE": with_revision(FIXED)}))
    assert release.state("web") == "running"
    assert release.versions() == ["c0ffee000001"]
    assert release.request("/health")[0] == 200


def test_ten_jobs_at_once_apply_each_revision_once(with_database: Release) -> None:
    release = with_database
    with ThreadPoolExecutor(10) as pool:
        jobs: list[Ended] = list(pool.map(lambda _: release.migrate(), range(10)))
    assert [job.exit_code for job in jobs] == [0] * 10, [job.stdout for job in jobs]
    outcomes = sorted(job.finished["outcome"] for job in jobs)
    assert outcomes == ["applied"] + ["noop"] * 9
    assert release.versions() == [HEAD]
    assert release.sql("SELECT count(*) FROM migrate.step WHERE kind = 'upgrade'") == ["8"]


def test_stop_rolls_back_and_says_143(with_database: Release, with_revision: Callable[[str], str]) -> None:
    release = with_database
    assert release.migrate().exit_code == 0
    name = f"{release.project}-stopped"
    in_background(release, name, with_revision(SLOW))
    wait_for_event(name, "revision.started", revision="c0ffee000001")
    time.sleep(1)  # into the sleep on the server
    must(docker("stop", "--time", "60", name))
    code, last = ended(name)
    assert code == 143
    assert last["event"] == "run.finished"
    assert (last["outcome"], last["exit_code"], last["pending"]) == ("interrupted", 143, ["c0ffee000001"])
    assert release.versions() == [HEAD]
    assert not exists(release, "half_way")
    assert release.migrate().exit_code == 0


def test_a_killed_job_leaves_no_lock_behind(with_database: Release, with_revision: Callable[[str], str]) -> None:
    release = with_database
    name = f"{release.project}-killed"
    in_background(release, name, with_revision(SLOW))
    wait_for_event(name, "revision.started", revision="c0ffee000001")
    must(docker("kill", name))
    assert ended(name)[0] == 137
    again = release.migrate("up", "--guard-timeout", "60s", image=with_revision(FIXED))
    assert again.exit_code == 0, again.stdout
    assert release.versions() == ["c0ffee000001"]


def test_an_interrupt_is_130(with_database: Release, with_revision: Callable[[str], str]) -> None:
    release = with_database
    image = with_revision(SLOW)
    name = f"{release.project}-interrupted"
    in_background(release, name, image)
    wait_for_event(name, "revision.started", revision="c0ffee000001")
    must(docker("kill", "--signal", str(signal.SIGINT.value), name))
    assert ended(name)[0] == 130
    assert not exists(release, "half_way")


def test_an_arbitrary_uid_on_a_read_only_system_without_capabilities(with_database: Release) -> None:
    # Compose's file sets read_only, cap_drop: ALL and no-new-privileges; this uid has no passwd entry and no home.
    job = with_database.migrate(options=("--user", "1234567:0"))
    assert job.exit_code == 0, job.stdout + job.stderr
    assert job.finished["applied_count"] == 8


def test_the_doubled_word_is_accepted(with_database: Release) -> None:
    assert with_database.migrate("migrate", "up").exit_code == 0
    assert with_database.migrate("migrate", "status", "--exit-code").exit_code == 0


def test_a_terminal_gets_json_lines_too(with_database: Release) -> None:
    must(with_database.migrate())
    job = with_database.compose("run", "--rm", "migrate", "status")  # with a terminal: no -T
    for line in job.stdout.splitlines():
        assert json.loads(line)["service"] == "migrate"
    assert job.finished["outcome"] == "noop"


def test_without_a_url_it_is_10(with_database: Release) -> None:
    job = with_database.migrate(options=("--no-deps", "-e", "DATABASE_URL="))
    assert (job.exit_code, job.finished["problem"]) == (10, "no-database-url")


def test_the_services_own_image_migrates_before_the_deployment(with_database: Release) -> None:
    release = with_database
    assert release.web("migrate", "plan", "--exit-code").exit_code == 3
    job = release.web("migrate", "up")
    assert job.exit_code == 0
    assert job.finished["applied_count"] == 8
    assert release.web("migrate", "plan", "--exit-code").exit_code == 0


def test_wait_holds_the_service_until_the_other_container_migrated(with_database: Release) -> None:
    release = with_database
    early = release.web("migrate", "wait", "--timeout", "1s", "--", "true")
    assert (early.exit_code, early.finished["problem"]) == (25, "not-ready")

    name = f"{release.project}-waiting"
    server = "uvicorn --factory newsifier.app:create_app --port 8000"
    options = ("run", "-d", "--no-deps", "--name", name, "web", "migrate", "wait", "--", *server.split())
    must(release.compose(*options))
    wait_for_event(name, "state.observed", position="empty")
    must(release.migrate())
    until(
        lambda: "Uvicorn running" in docker("logs", name).stderr,
        seconds=60,
        otherwise=lambda: docker("logs", name),
    )
    first = must(docker("exec", name, "cat", "/proc/1/cmdline")).stdout.split("\0")
    assert "newsifier.app:create_app" in first, "the server is process 1 itself"
    must(docker("stop", "--time", "30", name))
    assert int(must(docker("wait", name)).stdout) in {0, 143}, "the server got the signal and ended by itself"


def test_a_rollback_to_the_older_image_starts(with_database: Release, build: Callable[..., str]) -> None:
    release = with_database
    must(release.migrate())
    # The older release: the same build without the last revision, its manifest as it was then.
    script = (
        "import json, pathlib; p = pathlib.Path('/app/alembic/manifest.json'); "
        "m = json.loads(p.read_text()); "
        f"m['heads'] = ['{BEFORE_HEAD}']; "
        f"m['revisions'] = [r for r in m['revisions'] if r['id'] != '{HEAD}']; "
        "p.write_text(json.dumps(m, indent=1, sort_keys=True) + chr(10))"
    )
    older = f'USER 0\nRUN rm {VERSIONS}/{HEAD}_*.py && python -c "{script}"\nUSER 65532:65532\n'
    job = release.migrate(image=build(f"FROM {MIGRATE_IMAGE}\n{older}"))
    assert job.exit_code == 0, job.stdout
    assert job.finished["outcome"] == "ahead"
    assert release.versions() == [HEAD], "nothing was changed"
    gate = release.compose(
        "run", "--rm", "-T", "--no-deps", "web", "migrate", "wait", "--timeout", "1s", "--", "true",
        env={"WEB_IMAGE": build(f"FROM {WEB_IMAGE}\n{older}")},
    )  # fmt: skip
    assert gate.exit_code == 0, gate.stdout


def test_a_rollback_that_would_break_is_refused(with_database: Release, with_revision: Callable[[str], str]) -> None:
    release = with_database
    must(release.migrate(image=with_revision("""op.execute("ALTER TABLE articles RENAME TO stories")""")))
    job = release.migrate()
    assert (job.exit_code, job.finished["problem"]) == (16, "ahead")
    assert release.versions() == ["c0ffee000001"]


def test_the_client_of_docker_run_forwards_the_signal(
    with_database: Release, with_revision: Callable[[str], str]
) -> None:
    # Not so Compose's: `docker compose run` (2.26) ends with 130 at once, and the container runs on.
    release = with_database
    name = f"{release.project}-client"
    url = "postgresql://newsifier:for-tests-only@db:5432/newsifier"
    options = ("--name", name, "--network", f"{release.project}_default", "--env", f"DATABASE_URL={url}")
    client = subprocess.Popen(
        ["docker", "run", "--rm", *options, with_revision(SLOW)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_for_event(name, "revision.started", revision="c0ffee000001")
        client.terminate()
        output, _ = client.communicate(timeout=60)
    finally:
        client.kill()
    assert client.returncode == 143
    assert json.loads(output.splitlines()[-1])["outcome"] == "interrupted"
    assert not exists(release, "half_way")


def test_four_shards_of_a_fleet_apply_each_tenant_exactly_once(with_database: Release) -> None:
    """As an indexed job of Kubernetes tells its pods: each knows its own number, and all of them how many there are."""
    names = [f"tenant_{number:02}" for number in range(12)]
    with_database.sql(" ".join(f"CREATE SCHEMA {name};" for name in names))
    told = {"MIGRATE_TENANTS_SCHEMAS": "tenant_%", "MIGRATE_TENANTS_SEARCH_PATH": "true", "MIGRATE_TENANTS_SHARDS": "4"}

    def shard(index: int) -> Ended:
        variables = {**told, "JOB_COMPLETION_INDEX": str(index)}
        return with_database.migrate(
            "up", options=tuple(part for name, value in variables.items() for part in ("-e", f"{name}={value}"))
        )

    with ThreadPoolExecutor(4) as pool:
        ends = list(pool.map(shard, range(4)))
    assert [each.exit_code for each in ends] == [0] * 4, ends
    taken = [said["tenant"] for each in ends for said in each.events if said["event"] == "tenant.finished"]
    assert sorted(taken) == names
    versions = " UNION ALL ".join(f"SELECT '{name}', version_num FROM {name}.alembic_version" for name in names)
    assert with_database.sql(f"{versions} ORDER BY 1") == [f"{name}|{HEAD}" for name in names]
    # from anywhere, without a number, all shards are seen
    options = tuple(part for name, value in told.items() for part in ("-e", f"{name}={value}"))
    seen = must(with_database.migrate("status", "--exit-code", options=options)).finished
    assert (seen["tenants"], seen["tenants_by_outcome_noop"]) == (12, 12)
