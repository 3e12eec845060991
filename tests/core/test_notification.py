"""What is told, and what of an address is a secret."""

from __future__ import annotations

import pytest

from migrate.core.decide.outcome import Outcome, Result
from migrate.core.notification import Occasion, notification, occasion_of, secrets_in
from migrate.core.problems import problem


@pytest.mark.parametrize("result", Result)
def test_every_outcome_is_an_occasion(result):
    unhappy = {Result.FAILED: Occasion.FAILURE, Result.INTERRUPTED: Occasion.FAILURE, Result.UNKNOWN: Occasion.FAILURE}
    assert occasion_of(result) is {**unhappy, Result.REFUSED: Occasion.REFUSAL}.get(result, Occasion.SUCCESS)


def last(outcome):
    return {"verb": "up", "run_id": "abc", "duration_ms": 5, **outcome.fields()}


def test_success():
    applied = [f"r{number}" for number in range(12)]
    found = notification(
        last(Outcome(Result.APPLIED, to_revision=("r11",), applied=applied)), {"service": "shop", "x": None}
    )
    assert found.title == "migrate up: applied (shop)"
    assert found.body.splitlines() == [
        "where: shop",
        "state: applied, exit code 0 ok",
        "from: base",
        "to: r11",
        "applied: 12: r0, r1, r2, r3, r4, r5, r6, r7, r8, r9 and 2 more",
        "run: abc",
        "took: 5 ms",
    ]


def test_service_and_database_are_named():
    about = {
        "verb": "up", "service": "shop", "platform": "railway", "environment": "production",
        "db_name": "shop_db", "server_address": "10.0.0.5:5432", "db_user": "app",
    }  # fmt: skip
    found = notification(last(Outcome(Result.APPLIED)), about)
    assert found.title == "migrate up: applied (shop, shop_db)"
    assert found.body.splitlines()[:2] == ["where: shop, railway, production", "database: shop_db at 10.0.0.5:5432"]


def test_a_problem():
    found = problem("blocked", "t is locked", fix="wait")
    told = notification(last(Outcome(Result.FAILED, found.exit_code, found, pending=("r1",), failed="r1")), {})
    assert told.title == "migrate up: A lock was not granted in time"
    assert told.body.splitlines() == [
        "state: failed, exit code 22 blocked; the same run may succeed later",
        "from: base",
        "to: base",
        "failed: r1",
        "pending: 1: r1",
        "problem: blocked: t is locked",
        "fix: wait",
        "run: abc",
        "took: 5 ms",
    ]


@pytest.mark.parametrize(
    ("address", "secrets"),
    [
        (
            "slack://T1JJ3T3L2/A1BRTD4JD/TIiajkdnlazkcOXrIdevi7FQ",
            ["T1JJ3T3L2", "A1BRTD4JD", "TIiajkdnlazkcOXrIdevi7FQ"],
        ),
        ("json://127.0.0.1:8080/hook", []),
        ("json://localhost:8080/hook", []),
        ("mailto://me:pw@example.com?to=a@example.com", ["pw", "a@example.com"]),
        ("tgram://123456789:AAbbCCdd@x/12345678/", ["AAbbCCdd", "123456789", "12345678"]),
    ],
)
def test_secrets(address, secrets):
    assert sorted(secrets_in([address])) == sorted([address, *secrets])
