"""Every spelling of a URL that is read, each that is refused, and that no password is ever shown."""

from __future__ import annotations

import json
import subprocess
from base64 import b64encode
from dataclasses import replace
from urllib.parse import quote

import psycopg2.extensions
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from migrate.core.redaction import Redactor
from migrate.core.target import Target
from migrate.core.url import DatabaseUrl, Fault, Host, MalformedUrl

HARD_PASSWORD = "p@:/?#% +&=é'\"\\"
QUOTED_HARD_PASSWORD = "p%40%3A%2F%3F%23%25%20%2B%26%3D%C3%A9%27%22%5C"

READ = [
    # text, driver, user, password, hosts, database, parameters
    ("postgresql://u:p@h:5433/d", None, "u", "p", [("h", 5433)], "d", {}),
    ("postgres://u:p@h/d", None, "u", "p", [("h", None)], "d", {}),
    ("POSTGRES://u:p@h/d", None, "u", "p", [("h", None)], "d", {}),
    ("  postgresql://u:p@h/d\r\n", None, "u", "p", [("h", None)], "d", {}),
    ("postgresql+psycopg2://u:p@h/d", "psycopg2", "u", "p", [("h", None)], "d", {}),
    ("postgresql+psycopg://u:p@h/d", "psycopg", "u", "p", [("h", None)], "d", {}),
    ("postgresql+psycopg_async://u:p@h/d", "psycopg_async", "u", "p", [("h", None)], "d", {}),
    ("postgresql+asyncpg://u:p@h/d", "asyncpg", "u", "p", [("h", None)], "d", {}),
    ("postgres+pg8000://u:p@h/d", "pg8000", "u", "p", [("h", None)], "d", {}),
    ("postgresql://", None, None, None, [], None, {}),
    ("postgresql://h", None, None, None, [("h", None)], None, {}),
    ("postgresql://h/", None, None, None, [("h", None)], None, {}),
    ("postgresql:///d", None, None, None, [], "d", {}),
    ("postgresql://:5433/d", None, None, None, [("", 5433)], "d", {}),
    ("postgresql://u@/d", None, "u", None, [], "d", {}),
    ("postgresql://u:@h/d", None, "u", None, [("h", None)], "d", {}),
    ("postgresql://:p@h/d", None, None, "p", [("h", None)], "d", {}),
    ("postgresql://h/my%20db", None, None, None, [("h", None)], "my db", {}),
    ("postgresql://h/a/b#c", None, None, None, [("h", None)], "a/b#c", {}),
    # the query
    ("postgresql://h/d?sslmode=require&", None, None, None, [("h", None)], "d", {"sslmode": "require"}),
    ("postgresql://h?sslmode=require", None, None, None, [("h", None)], None, {"sslmode": "require"}),
    ("postgresql://h/d?options=-c%20a%3Db+-c+e=f", None, None, None, [("h", None)], "d", {"options": "-c a=b -c e=f"}),
    ("postgresql://h/d?application_name=", None, None, None, [("h", None)], "d", {}),
    ("postgresql://h/d?application_name=a@b", None, None, None, [("h", None)], "d", {"application_name": "a@b"}),
    ("postgresql://x:y@z/w?user=u&password=p&dbname=d", None, "u", "p", [("z", None)], "d", {}),
    ("postgresql://h/w?database=d", None, None, None, [("h", None)], "d", {}),
    # sockets
    ("postgresql:///d?host=/tmp&port=5433", None, None, None, [("/tmp", 5433)], "d", {}),
    ("postgresql:///d?host=/tmp", None, None, None, [("/tmp", None)], "d", {}),
    ("postgresql://%2Ftmp/d", None, None, None, [("/tmp", None)], "d", {}),
    ("postgresql://%2Ftmp:5433/d", None, None, None, [("/tmp", 5433)], "d", {}),
    ("postgresql:///d?host=/cloudsql/p:r:i", None, None, None, [("/cloudsql/p:r:i", None)], "d", {}),
    ("postgresql:///d?host=%40abstract", None, None, None, [("@abstract", None)], "d", {}),
    # several hosts, and IPv6
    ("postgresql://a:1,b:2/d", None, None, None, [("a", 1), ("b", 2)], "d", {}),
    ("postgresql://u:p@a,b:2/d", None, "u", "p", [("a", None), ("b", 2)], "d", {}),
    ("postgresql:///d?host=a:1&host=b:2", None, None, None, [("a", 1), ("b", 2)], "d", {}),
    ("postgresql:///d?host=a,b&port=1,2", None, None, None, [("a", 1), ("b", 2)], "d", {}),
    ("postgresql:///d?host=a,b&port=7", None, None, None, [("a", 7), ("b", 7)], "d", {}),
    ("postgresql://x:1/d?host=a", None, None, None, [("a", None)], "d", {}),
    ("postgresql://a/d?port=7", None, None, None, [("a", 7)], "d", {}),
    ("postgresql:///d?port=7", None, None, None, [("", 7)], "d", {}),
    ("postgresql://u:p@[::1]:5433/d", None, "u", "p", [("::1", 5433)], "d", {}),
    ("postgresql://[fe80::1%25eth0]/d", None, None, None, [("fe80::1%eth0", None)], "d", {}),
    ("postgresql://[::1]:1,[::ffff:1.2.3.4]:2/d", None, None, None, [("::1", 1), ("::ffff:1.2.3.4", 2)], "d", {}),
    ("postgresql:///d?host=::1&port=7", None, None, None, [("::1", 7)], "d", {}),
    ("postgresql:///d?host=[::1]:7", None, None, None, [("::1", 7)], "d", {}),
    # passwords
    (f"postgresql://u:{QUOTED_HARD_PASSWORD}@h/d", None, "u", HARD_PASSWORD, [("h", None)], "d", {}),
    ("postgresql://u:p@ss#w@h/d", None, "u", "p@ss#w", [("h", None)], "d", {}),
    ("postgresql://u:100%sure@h/d", None, "u", "100%sure", [("h", None)], "d", {}),
    ("postgresql://u:a b:c@h/d", None, "u", "a b:c", [("h", None)], "d", {}),
    ("postgresql://u:a+b@h/d", None, "u", "a+b", [("h", None)], "d", {}),
    ("postgresql://u:p/w@h/d", None, "u", "p/w", [("h", None)], "d", {}),
    ("postgresql://u:p?w@h/d?sslmode=require", None, "u", "p?w", [("h", None)], "d", {"sslmode": "require"}),
    ("postgresql://u@server:p@h/d", None, "u@server", "p", [("h", None)], "d", {}),
]

REFUSED = [
    ("", Fault.EMPTY),
    (" \n", Fault.EMPTY),
    ("postgresql://u:\udce9@h/d", Fault.NOT_UTF8),
    ("postgresql://u:p@h\n/d", Fault.CONTROL_CHARACTER),
    ("postgresql://u:p\x7f@h/d", Fault.CONTROL_CHARACTER),
    ('"postgresql://u:p@h/d"', Fault.QUOTED),
    ("'postgresql://u:p@h/d'", Fault.QUOTED),
    ("“postgresql://u:p@h/d”", Fault.QUOTED),
    ("${{Postgres.DATABASE_URL}}", Fault.UNFILLED_REFERENCE),
    ("$DATABASE_URL", Fault.UNFILLED_REFERENCE),
    ("DATABASE_URL=postgresql://u:p@h/d", Fault.ASSIGNMENT),
    ("psql 'postgresql://u:p@h/d'", Fault.COMMAND),
    ("export DATABASE_URL=postgresql://u:p@h/d", Fault.COMMAND),
    ("host=h dbname=d password=p", Fault.KEYWORD_STRING),
    ("h:5432/d", Fault.NO_SCHEME),
    ("postgresql:/u:p@h/d", Fault.NO_SCHEME),
    ("jdbc:postgresql://h/d", Fault.NO_SCHEME),
    ("mysql://u:p@h/d", Fault.OTHER_SCHEME),
    ("sqlite:///file.db", Fault.OTHER_SCHEME),
    ("postgresql+://u:p@h/d", Fault.BAD_DRIVER),
    ("postgresql+a.b://u:p@h/d", Fault.BAD_DRIVER),
    # Read as a host and a database by one of libpq and SQLAlchemy, as a user and a password by the other.
    ("postgresql://u:123/w@h/d", Fault.AMBIGUOUS),
    ("postgresql://u:123?s=w@h/d", Fault.AMBIGUOUS),
    ("postgresql://localhost:5432/d?application_name=a@b", Fault.AMBIGUOUS),
    ("postgresql://u:p/w@x@h/d", Fault.AMBIGUOUS),
    ("postgresql://u:p@h/d@e", Fault.AMBIGUOUS),
    ("postgresql://h/d@e", Fault.AMBIGUOUS),
    ("postgresql://u:p@w?y=z@h/d", Fault.AMBIGUOUS),
    ("postgresql://u:p@a b/d", Fault.BAD_HOST),
    ("postgresql://u:p@[::1/d", Fault.BAD_HOST),
    ("postgresql://u:p@[h]/d", Fault.BAD_HOST),
    ("postgresql://u:p@a,/d", Fault.BAD_HOST),
    ("postgresql://u:p@a%2Cb/d", Fault.BAD_HOST),
    ("postgresql:///d?host=%2Ft%0Ap", Fault.BAD_HOST),
    ("postgresql:///d?host=[a]b", Fault.BAD_HOST),
    ("postgresql://u:p@h:x/d", Fault.BAD_PORT),
    ("postgresql://u:p@h:0/d", Fault.BAD_PORT),
    ("postgresql://u:p@h:65536/d", Fault.BAD_PORT),
    ("postgresql://u:p@::1/d", Fault.BAD_PORT),
    ("postgresql:///d?host=a,b,c&port=1,2", Fault.PORTS_DIFFER),
    ("postgresql:///d?host=a:1&port=1", Fault.PORTS_DIFFER),
    ("postgresql://h/d?sslmode", Fault.BAD_PARAMETER),
    ("postgresql://h/d?=require", Fault.BAD_PARAMETER),
    ("postgresql://h/d?sslmode=require&sslmode=disable", Fault.REPEATED_PARAMETER),
    ("postgresql://u:p%ff@h/d", Fault.BAD_ESCAPE),
    ("postgresql://u:p%00@h/d", Fault.BAD_ESCAPE),
    ("postgresql://h/a%3Fb", Fault.BAD_DATABASE),
    ("postgresql://h/a%40b", Fault.BAD_DATABASE),
    ("postgresql://h/a%2541b", Fault.BAD_DATABASE),
    ("postgresql://h/a%0Ab", Fault.BAD_DATABASE),
    ("postgresql://h/%20a", Fault.BAD_DATABASE),
]


@pytest.mark.parametrize(("text", "driver", "user", "password", "hosts", "database", "parameters"), READ)
def test_a_url_is_read(
    text: str,
    driver: str | None,
    user: str | None,
    password: str | None,
    hosts: list[tuple[str, int | None]],
    database: str | None,
    parameters: dict[str, str],
) -> None:
    url = DatabaseUrl.parse(text)
    assert (url.driver, url.user, url.password, url.database) == (driver, user, password, database)
    assert url.hosts == tuple(Host(*host) for host in hosts)
    assert dict(url.parameters) == parameters
    assert url.raw == text.strip()


@pytest.mark.parametrize(("text", "fault"), REFUSED)
def test_a_malformed_url_is_refused_with_its_fault(text: str, fault: Fault) -> None:
    with pytest.raises(MalformedUrl) as caught:
        DatabaseUrl.parse(text)
    assert caught.value.fault is fault
    assert str(caught.value) == str(fault)
    # A chained UnicodeError would carry the value itself.
    assert caught.value.__context__ is None or caught.value.__suppress_context__


def test_every_fault_has_a_case() -> None:
    assert {fault for _, fault in REFUSED} == set(Fault)


@given(st.text() | st.text("up:@/?#%&=,[]10a.+ ", max_size=40))
def test_any_text_is_read_or_refused_with_one_of_the_sentences(text: str) -> None:
    for candidate in (text, f"postgresql://{text}"):
        refused: MalformedUrl | None = None
        try:
            url = DatabaseUrl.parse(candidate)
        except MalformedUrl as error:
            refused = error
        if refused is not None:
            # Nothing of the value can be in it: neither in the sentence, nor in a chained exception.
            assert str(refused) in set(Fault)
            assert refused.__context__ is None or refused.__suppress_context__
            continue
        # What was read is read again from our own spelling.
        again = DatabaseUrl.parse(url.sqlalchemy)
        assert (again.user, again.password, again.hosts) == (url.user, url.password, url.hosts)
        assert again.database == url.database
        assert again.libpq == url.libpq


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgres://u:p@h/d", "postgresql+psycopg2://u:p@h/d"),
        ("postgresql://", "postgresql+psycopg2://"),
        ("postgresql+asyncpg://u:p@h/d?ssl=require", "postgresql+asyncpg://u:p@h/d?ssl=require"),
        ("postgres://u:p@h/d?ssl=require&pgbouncer=true", "postgresql+psycopg2://u:p@h/d?sslmode=require"),
        ("postgresql://u:p@ss@h/d", "postgresql+psycopg2://u:p%40ss@h/d"),
        ("postgresql://:p@h/d", "postgresql+psycopg2://:p@h/d"),
        ("postgresql://u@h?sslmode=require", "postgresql+psycopg2://u@h/?sslmode=require"),
        ("postgresql://h/my%20db", "postgresql+psycopg2://h/my db"),
        ("postgresql://[::1]:5433/d", "postgresql+psycopg2://[::1]:5433/d"),
        ("postgresql://a:1,b:2/d", "postgresql+psycopg2:///d?host=a,b&port=1,2"),
        ("postgresql://a,b:2/d", "postgresql+psycopg2:///d?host=a,b&port=,2"),
        ("postgresql://a,b/d", "postgresql+psycopg2:///d?host=a,b"),
        ("postgresql://%2Ftmp:5433/d", "postgresql+psycopg2:///d?host=/tmp&port=5433"),
    ],
)
def test_the_spelling_for_sqlalchemy(text: str, expected: str) -> None:
    assert DatabaseUrl.parse(text).sqlalchemy == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("postgresql://", {}),
        (
            "postgresql+asyncpg://u:p%40@h:5433/d?application_name=x",
            {"user": "u", "password": "p@", "host": "h", "port": "5433", "dbname": "d", "application_name": "x"},
        ),
        ("postgresql://a:1,b:2/", {"host": "a,b", "port": "1,2"}),
        ("postgresql://a,b:2/", {"host": "a,b", "port": ",2"}),
        ("postgresql://:7/", {"port": "7"}),
        ("postgresql+asyncpg:///?ssl=verify-full", {"sslmode": "verify-full"}),
        ("postgresql:///?ssl=true", {"sslmode": "require"}),
        ("postgresql:///?ssl=False", {"sslmode": "disable"}),
        ("postgresql:///?ssl=false&sslmode=verify-full", {"sslmode": "verify-full"}),
        # Not dropped: libpq refuses them, and TLS is not lost in silence.
        ("postgresql:///?ssl=yes-please", {"sslmode": "yes-please"}),
        ("postgresql:///?sslmod=verify-full", {"sslmod": "verify-full"}),
        ("postgresql+asyncpg:///?prepared_statement_cache_size=0&async_fallback=true", {}),
        ("postgresql:///?pgbouncer=true&connection_limit=1&schema=x&supa=y", {}),
    ],
)
def test_the_keywords_for_libpq(text: str, expected: dict[str, str]) -> None:
    assert DatabaseUrl.parse(text).libpq == expected


@pytest.mark.parametrize(
    ("text", "host", "port", "address"),
    [
        ("postgresql://h:5433/d", "h", 5433, "h:5433"),
        ("postgresql://[::1]:5433/d", "::1", 5433, "[::1]:5433"),
        ("postgresql://a:1,b/d", "a,b", 1, "a:1,b"),
        ("postgresql:///d?host=/cloudsql/p:r:i", "/cloudsql/p:r:i", None, "/cloudsql/p:r:i"),
        ("postgresql:///d", None, None, ""),
    ],
)
def test_where_it_leads(text: str, host: str | None, port: int | None, address: str) -> None:
    url = DatabaseUrl.parse(text)
    assert (url.host, url.port, url.address) == (host, port, address)


def test_people_see_the_url_without_its_secrets() -> None:
    url = DatabaseUrl.parse("postgres://u:tops%65cret@h:5433/d?sslmode=require&sslpassword=hidden%2B1&sslkey=/k")
    assert url.redacted == "postgres://u:***@h:5433/d?sslmode=require&sslpassword=***&sslkey=/k"
    assert str(url) == url.redacted
    assert f"{url!r}" == f"DatabaseUrl({url.redacted!r})"


def test_all_secrets_in_every_spelling_are_told_to_the_redactor() -> None:
    url = DatabaseUrl.parse("postgres://u:tops%65cret%2f@h/d?sslpassword=hidden+1&oauth_client_secret=o")
    assert set(url.secrets) == {
        "topsecret/",
        "tops%65cret%2f",
        "topsecret%2F",
        "hidden 1",
        "hidden+1",
        "hidden%201",
        "o",
    }
    assert DatabaseUrl.parse("postgresql://h/d").secrets == ()


@pytest.mark.parametrize(
    ("url", "password"),
    [
        ("postgresql://postgres:postgres@localhost:5432/shop", "postgres"),
        ("postgresql://pg2:postgres@localhost/shop", "postgres"),
        ("postgresql://app:postgresql@localhost/shop", "postgresql"),
        ("postgresql://app:shop@localhost/shop", "shop"),
        ("postgresql://app:localhost@localhost/shop", "localhost"),
        ("postgresql://app:%61pp@localhost/shop", "app"),
        ("postgresql+psycopg2://app:psycopg2@localhost/shop", "psycopg2"),
        ("postgresql://app@localhost/shop?password=app", "app"),
        ("postgresql://:shop@localhost/shop", "shop"),
        ("postgresql://%E2%82%AC:%E2%82%AC@localhost/shop", "€"),
    ],
)
def test_a_password_that_is_a_name_is_hidden_only_where_it_stands_as_a_password(url: str, password: str) -> None:
    parsed = DatabaseUrl.parse(url)
    redactor = Redactor(parsed.secrets)
    names = [name for name in (parsed.user, parsed.host, parsed.database, parsed.driver) if name]
    command = f"psql 'postgresql://h' GRANT ALL ON SCHEMA migrate TO {', '.join(names)}; cat /b/{password}-a1.dump"
    assert redactor.text(command) == command
    quoted = quote(password, safe="")
    pair = f"{parsed.user or ''}:{password}"
    for said in (
        f"connecting to {parsed.raw}",
        f"postgresql://someone:{password}@h/d",
        f"postgres://{quote(parsed.user or '')}:{quoted}@h/d",
        f"password={password} host=h",
        f"PGPASSWORD={password} psql",
        f"PASSWORD '{password}'",
        json.dumps({"password": password}),
        quote(f"postgresql://{pair}@h/d", safe=""),
        b64encode(f"x postgresql://{pair}@h/d".encode()).decode(),
    ):
        clean = redactor.text(said)
        assert clean != said
        assert not any(f"{mark}{secret}" in clean for mark in ":='\"" for secret in (password, quoted))
    strict = Redactor(DatabaseUrl.parse("postgresql://other:hunter22@elsewhere/else").secrets)
    assert strict.text("hunter22") == "***"


@given(st.text("abpostgres1@:/ %é", min_size=1, max_size=12), st.text("abpostgres1@:/ %é", min_size=1, max_size=12))
@example("app", "app")
@example("app", "postgres")
def test_no_other_password_is_left_to_guessing(user: str, password: str) -> None:
    url = DatabaseUrl.parse(f"postgresql://{quote(user, safe='')}:{quote(password, safe='')}@h/d")
    is_name = password in {user, "postgres", "postgresql", "h", "d"}
    assert (password in url.secrets) is not is_name
    assert Redactor(url.secrets).text(f"x {url.raw} y").count("***") >= 1
    if is_name:
        assert f"{user}:{password}@" in url.secrets


def test_a_password_in_the_query_is_a_secret_too() -> None:
    url = DatabaseUrl.parse("postgresql://u:first@h/d?password=second%21")
    assert url.password == "second!"
    assert {"first", "second!", "second%21"} == set(url.secrets)
    assert "second" not in str(url)


@given(password=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1))
def test_no_password_is_ever_shown(password: str) -> None:
    assume(not password.isspace())
    url = DatabaseUrl("unused", user="u", password=password, hosts=(Host("h", None),), database="d")
    shown = f"{url} {url!r} {url.redacted}"
    assert shown == "postgresql://u:***@h/d DatabaseUrl('postgresql://u:***@h/d') postgresql://u:***@h/d"
    again = DatabaseUrl.parse(url.sqlalchemy)
    assert again.password == password
    assert again.libpq["password"] == password


def test_another_database_of_the_same_server() -> None:
    url = DatabaseUrl.parse("postgres://u:p%40@a:1,b:2/d?sslmode=require")
    other = url.replace(database="shadow")
    assert other.database == "shadow"
    assert other.raw == "postgres://u:p%40@/shadow?sslmode=require&host=a,b&port=1,2"
    assert DatabaseUrl.parse(other.raw).libpq == url.libpq | {"dbname": "shadow"}
    assert other.secrets == url.secrets
    with pytest.raises(MalformedUrl):
        url.replace(database="a?b")


@pytest.mark.parametrize(
    ("driver", "expected"),
    [
        ("asyncpg", "postgresql+asyncpg://u:p%40@h:1/d?ssl=require&target_session_attrs=any"),
        ("psycopg", "postgresql+psycopg://u:p%40@h:1/d?sslmode=require&connect_timeout=3&target_session_attrs=any"),
    ],
)
def test_another_driver_for_the_same_database(driver: str, expected: str) -> None:
    url = DatabaseUrl.parse("postgres://u:p%40@h:1/d?sslmode=require&connect_timeout=3&target_session_attrs=any")
    other = url.driven_by(driver)
    assert (other.sqlalchemy, other.raw, other.driver, other.secrets) == (expected, expected, driver, url.secrets)


@pytest.mark.parametrize(
    ("variable", "raw", "expected"),
    [
        ("DATABASE_URL", "postgres://u:p@h/d", '"$DATABASE_URL"'),
        ("DATABASE_URL_FILE", "postgresql://h/d", '"$(cat "$DATABASE_URL_FILE")"'),
        ("MIGRATE_URL_COMMAND", "postgres://u:p@h/d", '"$($MIGRATE_URL_COMMAND)"'),
        ("MIGRATE_URL_COMMAND", "postgresql+asyncpg://h/d", """"$($MIGRATE_URL_COMMAND | sed 's/+[a-z0-9_]*:/:/')\""""),
        ("X", "postgresql+asyncpg://h/d", """"$(printf %s "$X" | sed 's/+[a-z0-9_]*:/:/')\""""),
        (
            "X",
            "postgresql+pg8000:///d?unix_sock=/run/.s.PGSQL.5433",
            """"$(printf %s "$X" | sed 's/+[a-z0-9_]*:/:/;s,unix_sock=\\([^&]*\\)\\(/\\|%2[Ff]\\)\\.s\\.PGSQL\\.\\([0-9]*\\),host=\\1\\&port=\\3,')\"""",
        ),
        ("X_FILE", "postgresql+psycopg_async://h/d", """"$(cat "$X_FILE" | sed 's/+[a-z0-9_]*:/:/')\""""),
    ],
)
def test_a_shell_gets_it_from_its_variable(variable, raw, expected):
    assert Target(DatabaseUrl.parse(raw), variable).url_in_shell == expected


@pytest.mark.parametrize(
    "spelled",
    ["/cloudsql/p:r:i/.s.PGSQL.5433", "%2Fcloudsql%2Fp:r:i%2F.s.PGSQL.5433", "/cloudsql/p%3Ar%3Ai/.s.PGSQL.5433"],
)
def test_the_socket_of_pg8000_is_a_folder_and_a_port_to_the_others(spelled: str) -> None:
    url = DatabaseUrl.parse(f"postgresql+pg8000://u:p@/d?unix_sock={spelled}&sslmode=disable")
    expected = {"user": "u", "password": "p", "host": "/cloudsql/p:r:i", "port": "5433", "dbname": "d"}
    assert url.libpq == expected | {"sslmode": "disable"}
    assert url.sqlalchemy == "postgresql+pg8000://u:p@/d?sslmode=disable&unix_sock=/cloudsql/p:r:i/.s.PGSQL.5433"
    assert DatabaseUrl.parse(url.sqlalchemy) == replace(url, raw=url.sqlalchemy)
    assert url.driven_by("psycopg").libpq == url.libpq
    done = subprocess.run(
        ["bash", "-c", f"printf %s {url.in_shell('X')}"], env={"X": url.raw}, capture_output=True, check=True
    )
    assert psycopg2.extensions.parse_dsn(done.stdout.decode()) == url.libpq


def test_another_driver_s_socket_is_given_to_pg8000_as_its_file() -> None:
    url = DatabaseUrl.parse("postgresql:///d?host=/tmp").driven_by("pg8000")
    assert url.sqlalchemy == "postgresql+pg8000:///d?unix_sock=/tmp/.s.PGSQL.5432"


def test_a_socket_that_no_libpq_finds_is_left_to_libpq_to_refuse() -> None:
    assert DatabaseUrl.parse("postgresql+pg8000:///d?unix_sock=/tmp/mine").libpq == {
        "unix_sock": "/tmp/mine",
        "dbname": "d",
    }


def test_another_database_of_the_same_server_is_spelled_as_the_first():
    url = DatabaseUrl.parse("postgresql+asyncpg://app:a%40b@db.example:6432/one?sslmode=require")
    other = url.with_database("two")
    assert other.raw == "postgresql+asyncpg://app:a%40b@db.example:6432/two?sslmode=require"
    assert (other.database, other.libpq["dbname"]) == ("two", "two")
