"""What starts a service where no shell reads the command."""

from __future__ import annotations

import shlex
import subprocess

import pytest

from migrate.core.start_command import gated, without_shell


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("uvicorn app:app --port 8080", "uvicorn app:app --port 8080"),
        ("uvicorn app:app --port $PORT", "sh -c 'exec uvicorn app:app --port $PORT'"),
        ("gunicorn 'a b' --bind :$PORT", "sh -c 'exec gunicorn '\"'\"'a b'\"'\"' --bind :$PORT'"),
        ("sh -c 'exec uvicorn app:app --port $PORT'", "sh -c 'exec uvicorn app:app --port $PORT'"),
        ("/bin/bash -lc 'uvicorn --port $PORT'", "/bin/bash -lc 'uvicorn --port $PORT'"),
        ("cd api && uvicorn app:app", "sh -c 'cd api && uvicorn app:app'"),
        ("collect && uvicorn app:app --port $PORT", "sh -c 'collect && uvicorn app:app --port $PORT'"),
        ("PORT=8080 uvicorn app:app", "sh -c 'PORT=8080 uvicorn app:app'"),
        ("exec uvicorn --port $PORT", "sh -c 'exec uvicorn --port $PORT'"),
        ("uvicorn 'open", "uvicorn 'open"),
        ("", ""),
    ],
)
def test_a_shell_is_called_where_one_is_needed(command: str, expected: str) -> None:
    assert without_shell(command) == expected
    assert gated(command) == f"migrate wait -- {expected}"


@pytest.mark.parametrize("command", ["printf %s:%s 'a b' $PORT", "cd / && printf %s:%s 'a b' $PORT"])
def test_split_into_words_it_means_the_same(command: str) -> None:
    done = subprocess.run(
        shlex.split(without_shell(command)),
        env={"PATH": "/usr/bin:/bin", "PORT": "81"},
        capture_output=True,
        check=True,
    )
    assert done.stdout == b"a b:81"
