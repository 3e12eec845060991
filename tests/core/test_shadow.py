"""A replay's process finds the shadow on every route, and a shadow on the target's server is noticed."""

from __future__ import annotations

import pytest

from migrate.core.shadow import environment, same_server
from migrate.core.url import DatabaseUrl

SHADOW = DatabaseUrl.parse("postgresql://me:hidden@shadow:5433/throwaway")


def test_every_route_leads_to_the_shadow():
    real = {
        "DATABASE_URL": "postgresql+asyncpg://app:s3cret@db/app",
        "ANALYTICS_DSN": "postgres://app:s3cret@db/analytics",
        "REDIS_URL": "redis://cache/0",
        "DIRECT_DATABASE_URL_FILE": "/run/secrets/url",
        "MIGRATE_DATABASE_URL": "postgresql://app:s3cret@db/app",
        "MIGRATE_SHADOW_URL": "postgresql://me:hidden@shadow:5433/postgres",
        "POSTGRES_PASSWORD_FILE": "/run/secrets/password",
        "PGHOST": "db",
        "PGSSLMODE": "verify-full",
        "PGSERVICE": "production",
        "PG_BIN_DIR": "/usr/lib/postgresql/17/bin",
        "POSTGRES_SERVER": "db",
        "HOME": "/root",
        "SETTINGS_FILE": "settings.toml",
        "BROKEN": "postgres is our database",
    }
    found = environment(real, SHADOW)
    assert found["DATABASE_URL"] == "postgresql+asyncpg://me:hidden@shadow:5433/throwaway"
    assert found["ANALYTICS_DSN"] == "postgres://me:hidden@shadow:5433/throwaway"
    for name in ("DIRECT_DATABASE_URL_FILE", "POSTGRES_PASSWORD_FILE", "PGSSLMODE", "PGSERVICE"):
        assert name not in found
    assert not [name for name in found if name.startswith("MIGRATE_")]
    assert found["PGHOST"] == found["POSTGRES_SERVER"] == found["DB_HOST"] == "shadow"
    assert (found["PGDATABASE"], found["PGUSER"], found["PGPASSWORD"], found["PGPORT"]) == (
        "throwaway", "me", "hidden", "5433",
    )  # fmt: skip
    for name in ("REDIS_URL", "PG_BIN_DIR", "HOME", "SETTINGS_FILE", "BROKEN"):
        assert found[name] == real[name]
    assert not [name for name, value in found.items() if "s3cret" in value]


def test_without_any_variable_there_are_still_the_usual_ones():
    found = environment({}, DatabaseUrl.parse("postgresql://shadow/throwaway"))
    assert found["DATABASE_URL"] == "postgresql://shadow/throwaway"
    assert found["PGHOST"] == "shadow"
    assert "PGPASSWORD" not in found


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("postgresql://db/app", "postgresql://db/shadow", True),
        ("postgresql://DB:5432/app", "postgresql://me@db", True),
        ("postgresql://db/app", "postgresql://db:5433/app", False),
        ("postgresql://db/app", "postgresql://other/app", False),
        ("postgresql:///app?host=/var/run/postgresql", "postgresql://localhost/app", True),
        ("postgresql://127.0.0.1/app", "postgresql:///app", True),
        ("postgresql://a,b/app", "postgresql://b/app", True),
    ],
)
def test_one_server_under_two_names(one, other, same):
    assert same_server(DatabaseUrl.parse(one), DatabaseUrl.parse(other)) is same


def test_a_url_is_spelled_like_another():
    asyncpg = SHADOW.spelled_as(DatabaseUrl.parse("postgresql+asyncpg://x"))
    assert asyncpg.raw == "postgresql+asyncpg://me:hidden@shadow:5433/throwaway"
    assert asyncpg.sqlalchemy == asyncpg.raw
    assert asyncpg.libpq == SHADOW.libpq
