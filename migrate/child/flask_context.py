"""The application context that the env.py of Flask-Migrate needs, as `flask db upgrade` would push it."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class NoApplication(Exception):  # noqa: N818 - a finding, for an env.py that may have a context of its own
    """Flask finds no application; its own sentence."""


def application_context(env_py: Path, named: str | None) -> AbstractContextManager[object]:
    """The context of the application that Flask finds, for an env.py that speaks of `current_app`; else an empty one.

    Found as the `flask` command does: ``named`` or FLASK_APP (`.flaskenv` included), else `wsgi.py` or `app.py`, and in
    them `app`, or a factory (flask.palletsprojects.com, "Application Discovery"). Raises NoApplication.
    """
    if "current_app" not in env_py.read_text("utf-8", "replace"):
        return nullcontext()
    try:
        from flask.cli import NoAppException, ScriptInfo, load_dotenv
    except ImportError:
        return nullcontext()  # env.py imports it itself, and says what is missing
    load_dotenv()
    try:
        application = ScriptInfo(app_import_path=named or os.environ.get("FLASK_APP")).load_app()
    except NoAppException as error:
        raise NoApplication(" ".join(str(error).split())) from None
    context: AbstractContextManager[object] = application.app_context()
    return context
