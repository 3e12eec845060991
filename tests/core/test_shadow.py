"""A replay's process finds the shadow on every route, and a shadow on the target's server is noticed."""

from __future__ import annotations

import pytest

from migrate.core.shadow import environment, is_lacking, missing_role, same_server, strangers
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


TARGET = DatabaseUrl.parse("postgresql://svc:s3cret@prod.db.example:6432/shop")
PARTS = {"host": "shadow", "port": "5433", "user": "me", "password": "hidden", "dbname": "throwaway"}


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("APP__DATABASE__SERVER", "host"),
        ("APP__DATABASE__NAME", "dbname"),
        ("APP__DATABASE__PASSWORD", "password"),
        ("DATABASE_HOSTNAME", "host"),
        ("DATABASE_USERNAME", "user"),
        ("SVC__DB_NAME", "dbname"),
        ("SVC_DB_PASS", "password"),
        ("MYAPP_POSTGRES_PORT", "port"),
        ("db_host", "host"),
        ("SQLALCHEMY_DATABASE_HOST", "host"),
        ("RDS_HOSTNAME", "host"),
        ("RDS_DB_NAME", "dbname"),
    ],
)
def test_a_part_is_found_by_its_name_whatever_its_value_is(name, part):
    assert environment({name: "elsewhere"}, SHADOW)[name] == PARTS[part]


def test_a_part_is_found_by_its_value_where_its_name_tells_nothing():
    real = {"STORE_HOST": "prod.db.example", "STORE_PORT": "6432", "STORE_USER": "svc", "STORE_NAME": "shop"}
    found = environment({**real, "STORE_KEY_FILE": "k", "SIGNING": "s3cret"}, SHADOW, target=TARGET)
    assert (found["STORE_HOST"], found["STORE_PORT"], found["STORE_USER"], found["STORE_NAME"]) == (
        "shadow", "5433", "me", "throwaway",
    )  # fmt: skip
    assert found["STORE_KEY_FILE"] == "k"
    assert found["SIGNING"] == "hidden", "the target's password is nobody else's"


@pytest.mark.parametrize(
    "real",
    [
        {"REDIS_HOST": "localhost", "REDIS_PORT": "6379", "REDIS_DB": "0", "REDIS_PASSWORD": "r"},
        {"MONGO_DB_HOST": "m", "MONGO_DB_NAME": "shop"},
        {"MYSQL_DATABASE_HOST": "m"},
        {"APP_NAME": "shop", "APP_HOST": "0.0.0.0", "APP_PORT": "8000"},
        {"USER": "svc", "HOME": "/home/svc", "HOSTNAME": "pod-1", "LOGNAME": "svc"},
        {"DB_SCHEMA_NAME": "sales", "DATABASE_APPLICATION_NAME": "x", "DB_POOL_SIZE": "5"},
        {"SERVER_NAME": "prod.example", "SMTP_HOST": "mail", "SMTP_USER": "svc"},
    ],
    ids=lambda real: next(iter(real)),
)
def test_what_is_no_part_of_the_databases_url_stays(real):
    found = environment(real, SHADOW, target=TARGET)
    assert {name: found[name] for name in real} == real


def test_the_operator_names_what_is_left():
    more = ("APP_STORE={host}:{port}/{database}", "APP_KEY={password}", "APP_DSN={url}", "APP_MODE={what}")
    found = environment({"APP_STORE": "prod"}, SHADOW, more=more)
    assert found["APP_STORE"] == "shadow:5433/throwaway"
    assert (found["APP_KEY"], found["APP_DSN"], found["APP_MODE"]) == ("hidden", SHADOW.raw, "{what}")


def test_what_an_application_reads_from_a_file_is_overruled():
    written = {"DATABASE_URL": "postgresql+psycopg://a:b@prod/x", "CORE_DB_HOST": "prod", "DEBUG": "1", "DB_HOST": "y"}
    found = environment({"DB_HOST": "prod"}, SHADOW, written=written)
    assert found["DATABASE_URL"] == "postgresql+psycopg://me:hidden@shadow:5433/throwaway"
    assert found["CORE_DB_HOST"] == found["DB_HOST"] == "shadow"
    assert "DEBUG" not in found


@pytest.mark.parametrize(
    ("hosts", "ports", "allowed", "expected"),
    [
        ("shadow", "5433", (), []),
        ("SHADOW", "5433", (), []),
        ("shadow", "", (), ["shadow:5432"]),
        ("shadow,prod", "5433", (), ["prod:5433"]),
        ("shadow,prod", "5433,6432", (), ["prod:6432"]),
        ("prod", "6432", ("prod",), []),
        ("prod", "6432", ("prod:6432",), []),
        ("prod", "6432", ("prod:5432",), ["prod:6432"]),
        ("", "5433", (), ["localhost:5433"]),
        ("/var/run/postgresql", "5432", (), ["/var/run/postgresql:5432"]),
        ("service live", "", (), ["service live"]),
        ("prod", "x", (), ["prod:5432"]),
    ],
)
def test_a_server_that_is_not_the_shadows_is_a_stranger(hosts, ports, allowed, expected):
    assert strangers(hosts, ports, SHADOW, allowed) == expected


def test_this_machine_has_several_names():
    url = DatabaseUrl.parse("postgresql://127.0.0.1:5555/x")
    assert strangers("localhost", "5555", url, ()) == strangers("/tmp", "5555", url, ()) == []


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


@pytest.mark.parametrize(
    ("sqlstate", "said", "role"),
    [
        ("42704", 'revision a (x.py, line 3): role "app" does not exist', "app"),
        ("22023", 'role "App Owner" does not exist', "App Owner"),
        ("42704", 'type "app" does not exist', None),
        ("42P01", 'relation "role" does not exist', None),
        (None, 'role "app" does not exist', None),
    ],
)
def test_a_role_that_is_missed_is_named(sqlstate, said, role):
    assert missing_role(sqlstate, said) == role


@pytest.mark.parametrize(
    ("sqlstate", "said", "expected"),
    [
        ("0A000", 'extension "vector" is not available', True),
        ("0A000", "cannot drop column id of view v", False),
        ("42704", 'type "mood" does not exist', False),
        (None, "", False),
    ],
)
def test_what_a_server_lacks_is_told_from_what_a_revision_does_wrong(sqlstate, said, expected):
    assert is_lacking(sqlstate, said) is expected
