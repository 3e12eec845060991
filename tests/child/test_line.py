"""The line between parent and child: each end refuses at once what it does not understand, and ends where the other is gone."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from migrate.child import parent
from migrate.child.parent import Ended, Worker
from migrate.child.protocol import Failed, Go, Ready, encode

if TYPE_CHECKING:
    from pathlib import Path

AT_ONCE_S = 10.0  # on a busy machine; what is not refused is waited for without end
RESET = """
import socket
from migrate.child.channel import Channel
from migrate.child.protocol import Ready
ours, parents = socket.socketpair()
channel = Channel(ours.detach())
channel.tell(Ready())
parents.close()  # with something unread: the next read is a ConnectionResetError
channel.receive()
"""
# A child that says one thing, and would then wait for an answer.
SAYS = """
import socket, sys, time
with socket.socket(fileno=int(sys.argv[2])) as line:
    line.sendall({line!r})
    time.sleep(600)
"""
# What a revision writes to the line behind the child's back.
MEDDLES = """
    op.execute("CREATE TABLE half (id int)")
    import gc
    from migrate.child.channel import Channel
    [line] = [each for each in gc.get_objects() if isinstance(each, Channel)]
    line._socket.sendall({line!r})
    op.execute("SELECT pg_sleep(600)")
"""


def worker(folder: Path) -> Worker:
    return Worker(environ=os.environ, cwd=folder, emit=[].append)


def said_by(child: Worker, until: type) -> object:
    end = time.monotonic() + 6 * AT_ONCE_S  # its start
    while time.monotonic() < end:
        message = child.receive(0.5)
        if isinstance(message, until | Ended):
            return message
    return None


def test_a_line_that_is_reset_has_ended():
    done = subprocess.run([sys.executable, "-c", RESET], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "")


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'["Dance", "secret"]\n', "it is not a message of this version of migrate"),
        (b'{"do": "secret"}\n', "it is not a message of this version of migrate"),
        (b'["LoadHistory", "secret"]\n', "its message LoadHistory has not the fields that this version of migrate gives it"),
        (encode(Ready()), "it is not a message of this version of migrate"),
        (encode(Go()), "its message Go is not an answer here"),
    ],
    ids=["an unknown name", "an object", "other fields", "what only the child says", "an answer without a question"],
)  # fmt: skip
def test_the_child_refuses_an_order_that_it_does_not_understand(tmp_path, line, why):
    with worker(tmp_path) as child:
        assert said_by(child, Ready) == Ready()
        child._socket.sendall(line)
        sent_s = time.monotonic()
        failed = said_by(child, Failed)
        assert isinstance(failed, Failed)
        assert failed.phase == "protocol"
        assert failed.error.message == f"what the parent said was not understood: {why}"
        assert said_by(child, Ended) == Ended(1)
        assert time.monotonic() - sent_s < AT_ONCE_S


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'["Dance", "secret"]\n', "it is not a message of this version of migrate"),
        (b"\xff\n", "it is not a message of this version of migrate"),
        (b'["Began", "secret"]\n', "its message Began has not the fields that this version of migrate gives it"),
        (encode(Go()), "it is not a message of this version of migrate"),
    ],
    ids=["an unknown name", "no text", "other fields", "what only the parent says"],
)
def test_the_parent_ends_a_child_that_it_does_not_understand(tmp_path, monkeypatch, line, why):
    monkeypatch.setattr(parent, "_CHILD", SAYS.format(line=line))
    with worker(tmp_path) as child:
        started_s = time.monotonic()
        ended = said_by(child, Ready)
        assert isinstance(ended, Ended)
        assert ended.why == f"what the process that ran the revisions said was not understood: {why}"
        assert not ended.is_killed
        assert not child.is_alive
        assert time.monotonic() - started_s < AT_ONCE_S


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b'["Dance"]\n', "it is not a message of this version of migrate"),
        (b'["Began", 1]\n', "its message Began has not the fields that this version of migrate gives it"),
        (encode(Ready()), "its message Ready has no place here"),
    ],
    ids=["an unknown name", "other fields", "a message of another time"],
)
def test_a_run_ends_at_once_where_the_child_is_not_understood(project, database, run_migrate, line, why):
    project.revision("a1", upgrade=MEDDLES.format(line=line))
    done = run_migrate("up", database=database)
    assert done.exit_code == 30
    last = done.finished
    assert last["problem"] == "revision-failed"
    assert last["why"].endswith(f"what the process that ran the revisions said was not understood: {why}")
    assert last["duration_ms"] < 3 * AT_ONCE_S * 1000
    assert database.scalar("SELECT to_regclass('half') IS NULL")


def test_a_history_that_computes_its_ids_is_refused_where_the_child_is_not_understood(project, database, run_migrate):
    head, *body = MEDDLES.format(line=b'["Dance"]\n').strip().splitlines()
    assert head.startswith("op.execute")
    code = ["revision = ''.join(['a1'])", "down_revision = None", *(each.strip() for each in body[:-1])]
    project.versions.joinpath("a1.py").write_text("\n".join(code))
    done = run_migrate("up", database=database)
    assert done.finished["problem"] == "bad-history"
    assert "said was not understood: it is not a message of this version of migrate" in done.finished["why"]
