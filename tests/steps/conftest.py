"""A run under the guard of a real database, as the steps are handed it."""

from __future__ import annotations

import os
import time
from contextlib import closing
from pathlib import Path

import pytest

from migrate.context import Context
from migrate.core.decide.policy import Limits, Policy
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.interruption import Interruption
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl
from migrate.postgres.connection import connect
from migrate.postgres.guard import GuardKey, guarded
from migrate.postgres.ledger import Ledger
from migrate.postgres.observe import observe
from migrate.steps.order import Order, Project
from migrate.steps.run import Run

LIMITS = Limits(connect_s=5.0, guard_s=5.0)


def revision(id_: str, *down: str) -> Revision:
    return Revision(id_, down, (), (), f"the {id_} change", f"versions/{id_}.py", "0" * 64)


@pytest.fixture
def said():
    return []


@pytest.fixture
def run(database, said):
    """A run of the history a1 <- b2 <- c3; what it says is in `said`."""
    read, write = os.pipe()
    context = Context(
        verb="up",
        run_id="0123456789ab",
        limits=LIMITS,
        started_s=time.monotonic(),
        interruption=Interruption(read),
        emit=said.append,
        beat=lambda: None,
        bind=lambda **_: None,
        redact=str,
    )
    order = Order(
        context=context,
        target=Target(DatabaseUrl.parse(database.url), "DATABASE_URL"),
        image=Image(Graph((revision("a1"), revision("b2", "a1"), revision("c3", "b2")))),
        project=Project(Path("/app"), None, None, "alembic", "alembic/env.py", ("/app/versions",)),
        policy=Policy(),
        environ={},
        source_of=lambda _revision: "",
        faults_in=lambda _revisions: (),
    )
    key = GuardKey.of("public", "alembic_version")
    with (
        closing(connect(order.target, application_name="migrate:guard", interruption=None)) as holder,
        closing(connect(order.target, application_name="migrate:control", interruption=None)) as control,
        guarded(holder, key, context) as guard,
    ):
        before = observe(control, order.target, LIMITS, hashes={}, with_schema=False)
        ledger = Ledger(control, context, key="public.alembic_version", fence=guard.fence)
        said.clear()
        yield Run(order=order, control=control, guard=guard, ledger=ledger, before=before)
    os.close(read)
    os.close(write)
