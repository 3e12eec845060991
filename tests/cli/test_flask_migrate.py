"""A stock Flask-Migrate project, as `flask db init` writes it: found, given its application's context, and run."""

from __future__ import annotations

import shutil
import subprocess
import sys

import pytest

from tests.support.process import minimal_environment

pytest.importorskip("flask_migrate", reason="the lowest versions are lower than Flask-SQLAlchemy's")

APPLICATION = """
import os
from flask import Flask
from flask_migrate import Migrate
from flask_sqlalchemy import SQLAlchemy

db = SQLAlchemy()


class Order(db.Model):
    id = db.Column(db.Integer, primary_key=True)
    number = db.Column(db.String(20), nullable=False)


def create_app():
    app = Flask(__name__)
    url = os.environ.get("DATABASE_URL", "postgresql://nowhere/x")
    app.config["SQLALCHEMY_DATABASE_URI"] = url.replace("postgresql:", "postgresql+psycopg2:")
    db.init_app(app)
    Migrate(app, db)
    return app
"""
UPGRADE = """
op.create_table("order",
    sa.Column("id", sa.Integer, primary_key=True), sa.Column("number", sa.String(20), nullable=False))
"""


@pytest.fixture
def flask_project(project):
    """The project without its Alembic files, as Flask-Migrate makes them; the application is in `shop.py`."""
    project.ini.unlink()
    shutil.rmtree(project.path / "migrations")
    (project.path / "shop.py").write_text(APPLICATION)
    command = [sys.executable, "-m", "flask", "--app", "shop", "db", "init"]
    subprocess.run(command, cwd=project.path, env=minimal_environment(), check=True, capture_output=True)
    project.revision("one", upgrade=UPGRADE, downgrade='op.drop_table("order")', message="orders")
    return project


@pytest.mark.parametrize("app", ["shop", "shop:create_app", "shop:create_app()"])
def test_up_finds_the_ini_file_and_pushes_the_context(flask_project, database, run_migrate, app):
    result = run_migrate("up", database=database, env={"FLASK_APP": app})
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["one"]), result.stdout
    assert run_migrate("up", database=database, env={"FLASK_APP": app}).finished["outcome"] == "noop"


def test_the_setting_names_the_application(flask_project, database, run_migrate):
    (flask_project.path / "pyproject.toml").write_text('[tool.migrate]\nflask_app = "shop:create_app"\n')
    assert run_migrate("up", database=database).exit_code == 0


@pytest.mark.parametrize("file", ["wsgi.py", "app.py"])
def test_without_any_name_it_is_found_where_flask_looks(flask_project, database, run_migrate, file):
    (flask_project.path / file).write_text("from shop import create_app\n\napp = create_app()\n")
    assert run_migrate("up", database=database).exit_code == 0


def test_without_an_application_the_error_says_so(flask_project, database, run_migrate):
    result = run_migrate("up", database=database)
    result.check_clean()
    assert (result.exit_code, result.finished["problem"]) == (11, "no-flask-app"), result.stdout
    assert result.finished["fix"].startswith("export FLASK_APP=")
    assert database.rows("SELECT 1 FROM pg_tables WHERE schemaname = 'public'") == []
    planned = run_migrate("plan", database=database)
    assert (planned.exit_code, planned.finished["problem"]) == (11, "no-flask-app"), planned.stdout
    assert run_migrate("status", database=database).finished["refusal"] == "no-flask-app"


def test_a_module_of_the_users_may_push_the_context(flask_project, database, run_migrate):
    (flask_project.path / "pushed.py").write_text("from shop import create_app\n\ncreate_app().app_context().push()\n")
    env_py = flask_project.path / "migrations" / "env.py"
    env_py.write_text(f"import pushed\n{env_py.read_text()}")
    assert run_migrate("plan", database=database).exit_code == 0
    assert run_migrate("up", database=database).exit_code == 0


def test_manifest_test_and_down_push_it_too(flask_project, database, run_migrate, server):
    env = {"FLASK_APP": "shop", "MIGRATE_SHADOW_URL": server.url()}
    assert run_migrate("manifest", env=env).exit_code == 0
    tried = run_migrate("test", env=env)
    tried.check_clean()
    assert tried.exit_code == 0, tried.stdout
    assert run_migrate("up", database=database, env=env).exit_code == 0
    assert run_migrate("down", "--to", "base", database=database, env=env).exit_code == 0


def test_an_env_py_that_pushes_a_context_of_its_own_needs_no_application(flask_project, database, run_migrate):
    (flask_project.path / "shop.py").rename(flask_project.path / "core_shop.py")
    own = "from core_shop import create_app\ncreate_app().app_context().push()\n"
    flask_project.env.write_text(own + flask_project.env.read_text())
    assert run_migrate("up", database=database, env={"PYTHONPATH": str(flask_project.path)}).exit_code == 0


def test_an_alembic_ini_of_the_projects_own_comes_first(flask_project, database, run_migrate):
    (flask_project.path / "alembic.ini").write_text("[alembic]\nscript_location = elsewhere\n")
    result = run_migrate("up", database=database, env={"FLASK_APP": "shop"})
    assert (result.exit_code, result.finished["problem"]) == (10, "bad-alembic-config")
