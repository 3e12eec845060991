"""What the text of env.py gives away."""

from __future__ import annotations

import warnings
from pathlib import Path

import alembic
import pytest

from migrate.history import env_py, guess_version_table, may_run_several_times, missing_driver

ONLINE = "context.configure(connection=connection, target_metadata=metadata, {})"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", (None, None)),
        (ONLINE.format(""), (None, None)),
        (ONLINE.format("version_table='v'"), ("v", None)),
        (ONLINE.format("version_table='v', version_table_schema=\"s\""), ("v", "s")),
        ("configure(version_table='v')", ("v", None)),
        (
            "def run():\n    with x:\n        context.configure(\n            version_table_schema='s',\n        )",
            (None, "s"),
        ),
        (
            "TABLE = 'v'\nSCHEMA: str = 's'\n" + ONLINE.format("version_table=TABLE, version_table_schema=SCHEMA"),
            ("v", "s"),
        ),
        ("TABLE = 'v'\nTABLE = 'w'\n" + ONLINE.format("version_table=TABLE"), (None, None)),
        ("TABLE = 'v'\nif x:\n    TABLE = 'w'\n" + ONLINE.format("version_table=TABLE"), (None, None)),
        ("TABLE = name()\n" + ONLINE.format("version_table=TABLE"), (None, None)),
        (ONLINE.format("version_table=settings.table, version_table_schema='s'"), (None, "s")),
        (ONLINE.format("version_table=f'v_{x}'"), (None, None)),
        (ONLINE.format("version_table=None"), (None, None)),
        (ONLINE.format("version_table=1"), (None, None)),
        ("options = {'version_table': 'v'}\n" + ONLINE.format("**options"), (None, None)),
        (ONLINE.format("version_table='v'") + "\ncontext.configure(url=url)", ("v", None)),
        (ONLINE.format("version_table='v'") + "\ncontext.configure(url=url, version_table='w')", ("v", None)),
        ("structlog.configure(x=1)\ncontext.configure(connection, version_table='v')", ("v", None)),
        ("context.configure(url=url, version_table='v')\ncontext.configure(version_table='v')", ("v", None)),
        ("context.configure(url=url, version_table='v')\n" + ONLINE.format(""), (None, None)),
        (ONLINE.format("version_table='v'") + "\n" + ONLINE.format("version_table='w'"), (None, None)),
        ("# version_table='v'\n" + ONLINE.format(""), (None, None)),
        ("version_table = '\\d'\n" + ONLINE.format("version_table=version_table"), ("\\d", None)),
        ("version_table = (", (None, None)),
        ("version_table\0", (None, None)),
        ("setup(version_table='v')", (None, None)),
    ],
)
def test_the_version_table(text: str, expected: tuple[str | None, str | None]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert guess_version_table(text) == expected


@pytest.mark.parametrize(
    ("text", "driver", "expected"),
    [
        ('config.get_main_option("sqlalchemy.url")', None, None),  # names psycopg2
        ("engine_from_config(config.get_section(x))", None, None),
        ('create_engine(os.environ["DATABASE_URL"])', None, "psycopg"),
        ('config.set_main_option("sqlalchemy.url", os.environ["DATABASE_URL"])', None, "psycopg"),
        ("create_engine(settings.url)", None, "psycopg"),
        ('os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")', None, None),
        ('os.environ["DATABASE_URL"].replace("postgresql:", "postgresql+psycopg2:")', "asyncpg", None),
        ('config.get_main_option("sqlalchemy.url")', "asyncpg", "asyncpg"),
        ("create_engine(settings.url)", "psycopg_async", "psycopg"),
        ("create_engine(settings.url)", "psycopg2", None),
    ],
)
def test_a_driver_that_is_not_installed_is_named(monkeypatch, text, driver, expected):
    monkeypatch.setattr(env_py, "find_spec", lambda name: name if name == "psycopg2" else None)
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "2.1.0b1")
    assert missing_driver(text, driver) == expected
    monkeypatch.setattr("importlib.metadata.version", lambda _name: "2.0.49")
    assert missing_driver(text, driver) == (expected if driver else None)
    monkeypatch.setattr(env_py, "find_spec", lambda name: name)
    assert missing_driver(text, driver) is None


# How often run_migrations() may be called

TEMPLATES = Path(alembic.__file__).parent / "templates"
RUN = "def run(tenant):\n    context.run_migrations()\n"


@pytest.mark.parametrize("template", ["generic", "async", "pyproject", "pyproject_async"])
def test_alembics_own_templates_run_once(template):
    assert not may_run_several_times((TEMPLATES / template / "env.py").read_text())


@pytest.mark.parametrize(
    ("text", "often"),
    [
        ((TEMPLATES / "multidb" / "env.py").read_text(), True),
        (f"{RUN}run(1)", False),
        (f"{RUN}run(1)\nrun(2)", True),
        (f"{RUN}for t in ts:\n    run(t)", True),
        (f"{RUN}[run(t) for t in ts]", True),
        (f"{RUN}{{t: run(t) for t in ts}}", True),
        (f"{RUN}list(map(run, ts))", True),
        (f"{RUN}asyncio.run(connection.run_sync(run))", False),
        (f"{RUN}run(1) if a else run(2)", False),
        (f"{RUN}match a:\n    case 1:\n        run(1)\n    case _:\n        run(2)", False),
        (f"{RUN}try:\n    run(1)\nexcept E:\n    run(1)", True),
        ("def run(n):\n    context.run_migrations()\n    run(n - 1)\nrun(3)", True),
        (
            "class A:\n    def go(self):\n        context.run_migrations()\n    def all(self):\n        for t in ts:\n            self.go()\n",
            False,
        ),
        ("def run_migrations():\n    context.run_migrations()\nrun_migrations()", False),
        ("original = context.run_migrations", True),
        ("for t in ts:\n    print(t)\ncontext.run_migrations()", False),
        ("no python at all", False),
    ],
)
def test_how_often_migrations_may_run(text, often):
    assert may_run_several_times(text) is often
