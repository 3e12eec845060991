"""The example is what it says: a service whose eight revisions work both ways and end at what its models declare."""

import importlib
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from tests.support.process import minimal_environment
from tests.support.server import Database

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "newsifier"
WRONG_REVISION = ROOT / "tests/fixtures/newsifier_wrong_constraint/1a51ab641644_fix_apify_webhook_unique_constraint.py"
REVISIONS = {
    "d3d111e9579d": "initial_schema",
    "d6d7f6c7b282": "add_rss_feed_models",
    "a6b9cd123456": "add_apify_models",
    "a8c61d1f7283": "add_apify_webhook_raw_table",
    "1a51ab641644": "fix_apify_webhook_unique_constraint",
    "13e391b8dbdc": "add_schedule_id_to_apify_config",
    "dbc1bc75a79e": "rename_tables_to_plural",
    "e8f921b5c3d1": "make_article_title_optional",
}

# Without PostgreSQL 18's catalogued NOT NULL constraints (contype n): older servers have none.
SCHEMA = """
WITH relation AS (
    SELECT * FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic_version'
)
SELECT 'column ' || relname || '.' || attname,
       format_type(atttypid, atttypmod) || CASE WHEN attnotnull THEN ' not null' ELSE '' END
       || coalesce(' default ' || pg_get_expr(adbin, adrelid), '')
FROM relation JOIN pg_attribute ON attrelid = relation.oid
LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
WHERE relkind = 'r' AND attnum > 0 AND NOT attisdropped
UNION ALL
SELECT 'constraint ' || relname || '.' || conname, pg_get_constraintdef(pg_constraint.oid)
FROM relation JOIN pg_constraint ON conrelid = relation.oid WHERE contype <> 'n'
UNION ALL
SELECT 'index ' || relname, pg_get_indexdef(relation.oid) FROM relation WHERE relkind = 'i'
UNION ALL
SELECT 'sequence ' || relname, refobjid::regclass || '.' || attname
FROM relation LEFT JOIN pg_depend ON objid = relation.oid AND deptype = 'a'
LEFT JOIN pg_attribute ON attrelid = refobjid AND attnum = refobjsubid
WHERE relkind = 'S'
UNION ALL
SELECT 'enum ' || typname, string_agg(enumlabel, ', ' ORDER BY enumsortorder)
FROM pg_type JOIN pg_enum ON enumtypid = pg_type.oid
WHERE typnamespace = 'public'::regnamespace GROUP BY typname
"""

LEFT_BEHIND = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname !~ '^alembic_version'
UNION ALL
SELECT typname FROM pg_type WHERE typnamespace = 'public'::regnamespace AND typname !~ '^_?alembic_version$'
UNION ALL
SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conname !~ '^alembic_version'
"""

UNIQUE_KEYS = """
SELECT string_agg(attname, ', ' ORDER BY array_position(indkey::int2[], attnum))
FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY (indkey)
WHERE indrelid = 'apify_webhook_raw'::regclass AND indisunique AND NOT indisprimary
GROUP BY indexrelid
"""


def schema(database: Database) -> dict[str, str]:
    """Return the definition of every object of the example in `database`, by kind and name."""
    return dict(database.rows(SCHEMA))


def alembic(database: Database, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the `alembic` command as the example's README says."""
    return subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=EXAMPLE,
        env=minimal_environment() | {"DATABASE_URL": database.url},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


@pytest.fixture
def configure(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Config]:
    """Return a function that makes a configuration without a file, for Alembic inside this process.

    Without a file env.py leaves this process's logging alone, and has only `sqlalchemy.url` to find the database by.
    """
    monkeypatch.syspath_prepend(EXAMPLE)
    monkeypatch.delenv("DATABASE_URL", raising=False)

    def configure(database: Database, history: Path = EXAMPLE / "alembic") -> Config:
        config = Config()
        config.set_main_option("script_location", str(history))
        config.set_main_option("sqlalchemy.url", database.url.replace("%", "%%"))
        return config

    return configure


@pytest.fixture
def wrong_history(tmp_path: Path) -> Path:
    """Return a copy of the example's history in which one revision is the wrong variant."""
    history = tmp_path / "alembic"
    shutil.copytree(EXAMPLE / "alembic", history, ignore=shutil.ignore_patterns("__pycache__"))
    replaced = history / "versions" / WRONG_REVISION.name
    assert replaced.exists()
    shutil.copyfile(WRONG_REVISION, replaced)
    return history


@contextmanager
def served(database: Database) -> Iterator[httpx.Client]:
    """Run the service on `database` as its README says, on a Unix socket instead of a port, and yield a client."""
    # Not pytest's tmp_path: the path of a Unix socket may have some 100 characters only.
    with tempfile.TemporaryDirectory() as folder:
        address = str(Path(folder) / "http")
        # It listens before the service starts: the first request waits for it instead of being tried again and again.
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(address)
            listening.listen()
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "uvicorn",
                    "--factory",
                    "newsifier.app:create_app",
                    "--fd",
                    f"{listening.fileno()}",
                ],
                cwd=EXAMPLE,
                env=minimal_environment() | {"DATABASE_URL": database.url},
                pass_fds=[listening.fileno()],
            )
        # A connection for each request: uvicorn closes one, without saying so, after an unhandled error.
        transport = httpx.HTTPTransport(uds=address, limits=httpx.Limits(max_keepalive_connections=0))
        try:
            with httpx.Client(transport=transport, base_url="http://newsifier", timeout=60) as client:
                yield client
        finally:
            process.terminate()
            process.wait(timeout=60)


def webhook(status: str, run_id: str = "run-1") -> dict[str, Any]:
    """Return what Apify sends when a run changes its status."""
    return {
        "eventType": f"ACTOR.RUN.{status}",
        "eventData": {"actorRunId": run_id},
        "resource": {"id": run_id, "actId": "actor-1", "status": status, "exitCode": 0},
    }


def test_the_history_is_the_eight_revisions_in_order() -> None:
    config = Config()
    config.set_main_option("script_location", str(EXAMPLE / "alembic"))
    walked = [
        (script.revision, Path(script.path).name) for script in ScriptDirectory.from_config(config).walk_revisions()
    ]
    assert walked[::-1] == [(revision, f"{revision}_{slug}.py") for revision, slug in REVISIONS.items()]


def test_the_models_match_the_head(database: Database) -> None:
    upgraded = alembic(database, "upgrade", "head")
    assert upgraded.returncode == 0, upgraded.stderr
    checked = alembic(database, "check")
    assert (checked.returncode, checked.stdout.strip()) == (0, "No new upgrade operations detected."), checked.stderr


def test_the_models_create_what_the_history_creates(database: Database, configure: Callable[..., Config]) -> None:
    config = configure(database)
    command.upgrade(config, "head")
    migrated = schema(database)
    command.downgrade(config, "base")
    engine = sqlalchemy.create_engine(importlib.import_module("newsifier.settings").with_driver(database.url))
    importlib.import_module("newsifier.models").Base.metadata.create_all(engine)
    engine.dispose()
    assert schema(database) == migrated


def test_each_revision_goes_up_down_and_up_again(database: Database, configure: Callable[..., Config]) -> None:
    config = configure(database)
    before = schema(database)
    for revision in REVISIONS:
        command.upgrade(config, revision)
        after = schema(database)
        assert after != before, f"{revision} changes nothing"
        command.downgrade(config, "-1")
        assert schema(database) == before, f"{revision} does not undo what it did"
        command.upgrade(config, revision)
        assert schema(database) == after, f"{revision} does something else the second time"
        before = after


def test_downgrade_to_base_leaves_nothing(database: Database, configure: Callable[..., Config]) -> None:
    config = configure(database)
    command.upgrade(config, "head")
    assert database.rows(LEFT_BEHIND)
    command.downgrade(config, "base")
    assert database.rows(LEFT_BEHIND) == []


def test_downgrades_keep_the_rows_that_the_older_schema_can_hold(
    database: Database,
    configure: Callable[..., Config],
) -> None:
    config = configure(database)
    command.upgrade(config, "head")
    database.execute(
        """
        INSERT INTO articles (title, url, source, content) VALUES
            (NULL, 'https://news.test/1', 'news', ''), ('Titled', 'https://news.test/2', 'news', '');
        INSERT INTO apify_webhook_raw (run_id, actor_id, status, data) VALUES
            ('run-1', 'a', 'RUNNING', '{}'), ('run-2', 'a', 'RUNNING', '{}'), ('run-1', 'a', 'SUCCEEDED', '{}');
        """,
    )
    command.downgrade(config, "a8c61d1f7283")
    assert database.rows("SELECT title FROM articles ORDER BY url") == [("",), ("Titled",)]
    assert database.rows("SELECT run_id, status FROM apify_webhook_raw ORDER BY run_id") == [
        ("run-1", "SUCCEEDED"),
        ("run-2", "RUNNING"),
    ]


def test_the_renamed_tables_leave_no_singular_name(database: Database, configure: Callable[..., Config]) -> None:
    command.upgrade(configure(database), "head")
    described = [f"{name}: {definition}" for name, definition in schema(database).items()]
    assert [line for line in described if "rss_feed_" in line or "feed_processing_log_" in line] == []
    assert any("rss_feeds_id_seq" in line for line in described)


def test_health_does_not_ask_the_database(database: Database) -> None:
    with served(database) as client:
        assert client.get("/articles").status_code == httpx.codes.INTERNAL_SERVER_ERROR  # no table
        assert client.get("/health").status_code == httpx.codes.OK


def test_the_service_serves_the_rows_of_a_migrated_database(
    database: Database,
    configure: Callable[..., Config],
) -> None:
    command.upgrade(configure(database), "head")
    article = {"url": "https://news.test/1", "source": "news", "content": "Ada met Bob.", "title": None}
    feed = {"url": "https://news.test/rss", "name": "News"}
    source = {"name": "crawler", "actor_id": "actor-1", "input_configuration": {"depth": 2}}
    with served(database) as client:
        assert client.post("/articles", json=article).status_code == httpx.codes.CREATED
        assert client.post("/articles", json=article).status_code == httpx.codes.CONFLICT
        assert client.post("/feeds", json=feed).status_code == httpx.codes.CREATED
        assert client.post("/apify/sources", json=source).status_code == httpx.codes.CREATED
        database.execute(
            """
            INSERT INTO entities (name, kind) VALUES ('Ada', 'person');
            INSERT INTO entity_mentions (article_id, entity_id, position, sentence)
            SELECT articles.id, entities.id, 0, 'Ada met Bob.' FROM articles, entities;
            INSERT INTO feed_processing_logs (feed_id, status, articles_found) SELECT id, 'succeeded', 7 FROM rss_feeds;
            """,
        )

        assert [(row["url"], row["title"]) for row in client.get("/articles").json()] == [(article["url"], None)]
        assert client.get("/articles", params={"source": "other"}).json() == []
        mentions = client.get("/articles/1").json()["mentions"]
        assert [(row["entity"]["name"], row["entity"]["kind"]) for row in mentions] == [("Ada", "person")]
        assert [row["name"] for row in client.get("/feeds").json()] == ["News"]
        readings = client.get("/feeds/1/readings").json()
        assert [(row["status"], row["articles_found"]) for row in readings] == [("succeeded", 7)]
        assert [row["input_configuration"] for row in client.get("/apify/sources").json()] == [{"depth": 2}]
        assert client.get("/articles/2").status_code == httpx.codes.NOT_FOUND
        assert client.get(f"/articles/{2**31}").status_code == httpx.codes.UNPROCESSABLE_ENTITY


def test_each_status_of_a_run_is_stored_once(database: Database, configure: Callable[..., Config]) -> None:
    command.upgrade(configure(database), "head")
    assert database.rows(UNIQUE_KEYS) == [("run_id, status",)]
    with served(database) as client:
        answers = [client.post("/apify/webhook", json=webhook(s)) for s in ("RUNNING", "SUCCEEDED", "RUNNING")]
    assert [answer.json() for answer in answers] == [{"stored": True}, {"stored": True}, {"stored": False}]
    stored = database.rows("SELECT data FROM apify_webhook_raw ORDER BY id")
    assert stored == [(webhook("RUNNING"),), (webhook("SUCCEEDED"),)]


def test_the_wrong_revision_leaves_the_unique_index_in_force(
    database: Database,
    configure: Callable[..., Config],
    wrong_history: Path,
) -> None:
    command.upgrade(configure(database, wrong_history), "head")
    assert database.rows("SELECT version_num FROM alembic_version") == [("e8f921b5c3d1",)]
    assert sorted(database.rows(UNIQUE_KEYS)) == [("run_id",), ("run_id, status",)]
    with served(database) as client:
        first = client.post("/apify/webhook", json=webhook("RUNNING"))
        second = client.post("/apify/webhook", json=webhook("SUCCEEDED"))
    assert [first.status_code, second.status_code] == [httpx.codes.OK, httpx.codes.INTERNAL_SERVER_ERROR]
