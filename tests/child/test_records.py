"""Alembic's, SQLAlchemy's and the user's records become ours, whatever env.py does to logging: in a real process."""

from __future__ import annotations

import json
import subprocess
import sys
from textwrap import dedent, indent
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

# What the child process of a run does with its log: Alembic runs the user's env.py, and the records go to a file.
PROGRAM = """
    import json, logging, sys, warnings
    from alembic.config import Config
    from alembic.runtime.environment import EnvironmentContext
    from alembic.script import ScriptDirectory
    from migrate.child import records

    told = open("records", "w", encoding="utf-8")
    records.capture(lambda record: print(json.dumps(record), file=told, flush=True))

    config = Config("alembic.ini")
    script = ScriptDirectory.from_config(config)
    script.get_revisions("heads")  # imports the revisions before env.py configures logging
    environment = EnvironmentContext(config, script, fn=lambda rows, context: script._upgrade_revs("head", rows))
    run_migrations = environment.run_migrations
    environment.run_migrations = lambda **options: [records.rearm(), run_migrations(**options)]
    with environment:
        environment.context_opts["destination_rev"] = "head"
        script.run_env()
"""

INI = """
    [alembic]
    script_location = .
    [loggers]
    keys = root,sqlalchemy,alembic
    [handlers]
    keys = console
    [formatters]
    keys = generic
    [logger_root]
    level = WARN
    handlers = console
    qualname =
    [logger_sqlalchemy]
    level = WARN
    handlers =
    qualname = sqlalchemy.engine
    [logger_alembic]
    level = INFO
    handlers =
    qualname = alembic
    [handler_console]
    class = StreamHandler
    args = (sys.stderr,)
    level = NOTSET
    formatter = generic
    [formatter_generic]
    format = %%(levelname)-5.5s [%%(name)s] %%(message)s
"""

ENV = """
    import logging, logging.config, sys
    from alembic import context
    from sqlalchemy import create_engine, pool
    {configure}
    engine = create_engine("sqlite://", poolclass=pool.StaticPool, echo={echo})
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""

REVISION = """
    import logging
    revision = "a1"
    down_revision = None
    log = logging.getLogger("app.migrations")
    def upgrade():
"""


def upgrade(folder: Path, *, configure: str = "", body: str = "pass", echo: bool = False) -> list[dict[str, Any]]:
    """Run one revision under Alembic; the records it and others made. Nothing may be printed."""
    (folder / "versions").mkdir()
    (folder / "alembic.ini").write_text(dedent(INI))
    (folder / "env.py").write_text(dedent(ENV).format(configure=configure, echo=echo))
    (folder / "versions" / "a1.py").write_text(dedent(REVISION) + indent(dedent(body), "    "))
    done = subprocess.run(
        [sys.executable, "-c", dedent(PROGRAM)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stderr == ""
    assert (done.returncode, done.stdout) == (0, "")
    return [json.loads(line) for line in (folder / "records").read_text("utf-8").splitlines()]


CONFIGURATIONS = {
    "nothing": "",
    "fileConfig": "logging.config.fileConfig(context.config.config_file_name)",
    "fileConfig that keeps loggers": (
        "logging.config.fileConfig(context.config.config_file_name, disable_existing_loggers=False)"
    ),
    "dictConfig": """logging.config.dictConfig({
        "version": 1, "disable_existing_loggers": True,
        "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout"}},
        "loggers": {"alembic": {"level": "INFO", "handlers": ["out"], "propagate": False}},
        "root": {"level": "INFO", "handlers": ["out"]}})""",
    "basicConfig": "logging.basicConfig(level='INFO', stream=sys.stdout, force=True)",
    "disable": "logging.disable(logging.CRITICAL)",
    "no handlers": "logging.getLogger().handlers.clear()",
    "disabled logger": "logging.getLogger('alembic').disabled = True",
    "own record factory": (
        "old = logging.getLogRecordFactory(); logging.setLogRecordFactory(lambda *a, **k: old(*a, **k))"
    ),
    "plain record factory": "logging.setLogRecordFactory(logging.LogRecord)",
}


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
def test_no_logging_configuration_silences_or_doubles_us(tmp_path: Path, configuration: str) -> None:
    body = "log.warning('from the revision'); logging.getLogger('alembic.runtime.migration').info('from Alembic')"
    records = upgrade(tmp_path, configure=CONFIGURATIONS[configuration], body=f"import logging; {body}")
    said = [(record["logger"], record["level"], record["message"]) for record in records]
    assert said.count(("alembic.runtime.migration", "info", "from Alembic")) == 1
    assert not any(message.startswith("Running") for *_, message in said)  # our own event says that
    assert said.count(("app.migrations", "warn", "from the revision")) == 1


@pytest.mark.parametrize("configuration", ["fileConfig", "dictConfig", "no handlers", "nothing"])
def test_what_is_said_while_env_py_runs_is_captured_too(tmp_path: Path, configuration: str) -> None:
    records = upgrade(tmp_path, configure=CONFIGURATIONS[configuration])
    assert [record["message"] for record in records].count("Context impl SQLiteImpl.") == 1


def test_the_echo_of_an_engine_is_captured(tmp_path: Path) -> None:
    records = upgrade(tmp_path, configure=CONFIGURATIONS["fileConfig"], echo=True)
    created = [record for record in records if "CREATE TABLE alembic_version" in record["message"]]
    assert [record["logger"] for record in created] == ["sqlalchemy.engine.Engine"]


def test_a_level_that_the_user_chose_stays(tmp_path: Path) -> None:
    records = upgrade(tmp_path, configure="logging.getLogger('alembic').setLevel('ERROR')")
    assert records == []


def test_every_kind_of_record_is_told_in_one_piece(tmp_path: Path) -> None:
    records = upgrade(
        tmp_path,
        body="""
            import warnings, structlog
            log.setLevel(1)
            log.debug("debug"); log.info("info %s", 1); log.error("error"); log.critical("critical"); log.log(25, "own")
            log.info("%d apples", "no number")
            log.info("extra", extra={"rows": 5, "path": __import__("pathlib").Path("/x"), "deep": {"a": [1]}})
            try:
                raise ValueError("first\\nsecond")
            except ValueError:
                log.exception("broken")
            warnings.warn("careful", UserWarning)
            structlog.get_logger("ours").warning("structured", rows=7)
            class Silent:
                def __str__(self): raise RuntimeError
            log.info(Silent())
        """,
    )
    told = {record.pop("message"): record for record in records if record["logger"] != "alembic.runtime.migration"}
    assert [told[message]["level"] for message in ("debug", "info 1", "own", "error", "critical")] == [
        "debug",
        "info",
        "info",
        "error",
        "error",
    ]
    assert "%d apples ('no number',)" in told
    assert told["extra"] == {"logger": "app.migrations", "level": "info", "rows": 5, "path": "/x", "deep_a": [1]}
    assert told["broken"]["exception"].startswith("ValueError: first second (a1.py, line ")
    assert any(message.endswith("UserWarning: careful") for message in told)
    assert told["structured"] == {"logger": "structlog", "level": "warn", "rows": 7}
    assert any("<Silent>" in message for message in told)


def test_structlog_is_imported_only_where_it_has_something_to_add(tmp_path: Path) -> None:
    there = "import sys; log.warning('there: %s', 'structlog' in sys.modules)"
    records = upgrade(tmp_path, body=f"{there}; log.warning('done', extra={{'rows': 3}}); {there}")
    assert [record["message"] for record in records if "there" in record["message"]] == ["there: False", "there: True"]
    assert [record["rows"] for record in records if record["message"] == "done"] == [3]
