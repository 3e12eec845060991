"""Passwords that are tokens: `url_command` makes a URL for each connection, and one that is missing is named as such."""

from __future__ import annotations

import shlex
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import RunMigrate
    from tests.support.project import Project
    from tests.support.server import Database

# As an IAM service does it: every token is another one, and the last one ends when there is a new one.
PRINTS = """
import secrets, sys
import psycopg2
from psycopg2 import sql

admin, role, url = sys.argv[1:]
token = "token_" + secrets.token_hex(20)
connection = psycopg2.connect(admin)
with connection, connection.cursor() as cursor:
    cursor.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(sql.Identifier(role), sql.Literal(token)))
open("tokens", "a").write(token + "\\n")
print(url.replace("//", f"//{role}:{token}@", 1))
"""


@pytest.fixture
def url_command(project: Project, database: Database) -> str:
    script = project.path / "make_token.py"
    script.write_text(PRINTS)
    url = f"postgresql://{database.connect_info('host')}:{database.connect_info('port')}/{database.name}"
    return shlex.join([sys.executable, str(script), database.server.admin_url, database.user, url])


def tokens(folder: Path) -> list[str]:
    return (folder / "tokens").read_text().split()


def test_each_connection_gets_a_url_of_its_own(
    project: Project, database: Database, run_migrate: RunMigrate, url_command: str
) -> None:
    project.linear(2)
    without = f"postgresql://{database.connect_info('host')}:{database.connect_info('port')}/{database.name}"
    result = run_migrate("up", env={"MIGRATE_URL_COMMAND": url_command, "DATABASE_URL": without})
    assert result.exit_code == 0, result.stdout
    made = tokens(project.path)
    assert len(made) == len(set(made)) >= 3  # the control connection's, the guard's, env.py's
    assert not any(token in result.stdout.decode() for token in made)
    assert database.as_superuser.scalar("SELECT count(*) FROM alembic_version") == 1
    assert result.events[-1]["outcome"] == "applied"


def test_a_url_without_a_password_is_named_as_the_reason(
    project: Project, database: Database, run_migrate: RunMigrate
) -> None:
    project.linear(1)
    host, port = database.connect_info("host"), database.connect_info("port")
    url = f"postgresql://{database.user}@{host}:{port}/{database.name}"
    result = run_migrate("up", env={"DATABASE_URL": url})
    assert result.exit_code == 14
    assert result.finished is not None
    assert "DATABASE_URL, which has no password" in result.finished["why"]
    for way in ("PGPASSWORD", "PGPASSFILE", "DATABASE_URL_FILE", "MIGRATE_URL_COMMAND"):
        assert way in result.finished["fix"]


@pytest.mark.parametrize(
    ("program", "said"),
    [
        ("print('s3cr3t-token-0123'); raise SystemExit(3)", "ended with code 3"),
        ("print('s3cr3t-token-0123')", "printed no PostgreSQL URL"),
    ],
)
def test_what_a_program_prints_in_vain_is_not_shown(
    project: Project, run_migrate: RunMigrate, program: str, said: str
) -> None:
    project.linear(1)
    result = run_migrate("up", env={"MIGRATE_URL_COMMAND": shlex.join([sys.executable, "-c", program])})
    assert result.exit_code == 10
    assert result.finished is not None
    assert said in result.finished["why"]
    assert "s3cr3t" not in result.stdout.decode().replace(shlex.quote(program), "")
    gone = run_migrate("up", env={"MIGRATE_URL_COMMAND": "/nonexistent/program"})
    assert gone.exit_code == 10
    assert "No such file" in gone.stdout.decode()
