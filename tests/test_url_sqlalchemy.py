"""SQLAlchemy, whichever version is installed, reads from our spelling the parts that we read from the user's."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import psycopg2.extensions
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2
from sqlalchemy.engine import make_url

from migrate.child import config as child_config
from migrate.child.protocol import Setup
from migrate.core.url import DatabaseUrl, Host, MalformedUrl
from tests.core.test_url import READ

if TYPE_CHECKING:
    from pathlib import Path

_text = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
_names = st.from_regex(r"[a-zA-Z0-9._-]{1,20}", fullmatch=True)
_ports = st.none() | st.integers(1, 65535)
_hosts = st.builds(Host, _names | st.sampled_from(["::1", "fe80::1%eth0", "/tmp", "/cloudsql/p:r:i", "@s"]), _ports)
_databases = _text.filter(lambda name: not set(name) & set("?@%") and name.isprintable() and name == name.strip())
_parameters = st.dictionaries(
    st.sampled_from(["sslmode", "options", "application_name", "target_session_attrs"]),
    _text,
)
_urls = st.builds(
    DatabaseUrl,
    raw=st.just("unused"),
    driver=st.sampled_from([None, "psycopg2"]),
    user=st.none() | _text,
    password=st.none() | _text,
    hosts=st.lists(_hosts, max_size=3).map(tuple),
    database=st.none() | _databases,
    parameters=_parameters.map(lambda found: tuple(found.items())),
)


def what_sqlalchemy_gives_psycopg2(url: DatabaseUrl) -> dict[str, str]:
    """The keywords that `psycopg2.connect` would get for ``sqlalchemy.url``, spelled as libpq spells them."""
    dialect: Any = PGDialect_psycopg2()  # type: ignore[no-untyped-call]
    arguments, keywords = dialect.create_connect_args(make_url(url.sqlalchemy))
    assert arguments in ((), [], [""])
    found = {("dbname" if name == "database" else name): str(value) for name, value in keywords.items()}
    # SQLAlchemy 2.1 writes a comma for each port that is not given, which libpq takes as no port at all.
    return {name: value for name, value in found.items() if value.strip("," if name == "port" else "")}


@given(_urls)
def test_sqlalchemy_connects_as_we_do(url: DatabaseUrl) -> None:
    assert what_sqlalchemy_gives_psycopg2(url) == url.libpq


@given(_urls)
def test_libpq_itself_accepts_the_keywords(url: DatabaseUrl) -> None:
    written = psycopg2.extensions.make_dsn(**url.libpq)
    assert psycopg2.extensions.parse_dsn(written) == url.libpq


@given(_urls)
def test_sqlalchemy_reads_the_same_parts(url: DatabaseUrl) -> None:
    read = make_url(url.sqlalchemy)
    assert read.drivername == "postgresql+psycopg2"
    assert (read.username or None, read.password or None) == (url.user, url.password)
    assert (read.database or None) == url.database
    if len(url.hosts) == 1 and url.hosts[0].name[0] not in "/@":
        assert (read.host, read.port) == url.hosts[0]
    assert {name: value for name, value in read.query.items() if name not in {"host", "port"}} == dict(url.parameters)


@pytest.mark.parametrize("text", [case[0] for case in READ])
def test_it_does_so_for_each_spelling_of_the_unit_tests(text: str) -> None:
    url = DatabaseUrl.parse(text)
    read = make_url(url.sqlalchemy)
    assert read.drivername == f"postgresql+{url.driver or 'psycopg2'}"
    assert (read.username or None, read.password or None) == (url.user, url.password)
    if url.driver is None:
        assert what_sqlalchemy_gives_psycopg2(url) == url.libpq


@given(st.text("up:@/?&=,[]10a.+%", max_size=40))
def test_where_libpq_reads_a_url_and_we_do_they_agree(body: str) -> None:
    """But for a raw "@" in a password: libpq ends the password at the first and takes the rest for a host."""
    assume(body.count("@") <= 1)
    text = f"postgresql://{body}".strip()
    try:
        url = DatabaseUrl.parse(text)
        theirs = psycopg2.extensions.parse_dsn(text)
    except (MalformedUrl, psycopg2.ProgrammingError):
        return
    # A raw "@" after the first "/" makes it a password for us, as for SQLAlchemy; libpq reads a database's name.
    assume("@" not in theirs.get("dbname", ""))
    assert url.libpq.get("user") == theirs.get("user")
    assert url.libpq.get("host") == theirs.get("host")


def test_what_asyncpg_is_given_it_knows() -> None:
    asyncpg: Any = pytest.importorskip("asyncpg")
    from sqlalchemy.dialects.postgresql.asyncpg import PGDialect_asyncpg

    names = ["sslmode", "passfile", "target_session_attrs", "options"]
    if "krbsrvname" in inspect.signature(asyncpg.connect).parameters:  # since asyncpg 0.30
        names.append("krbsrvname")
    everything = "&".join(f"{name}=1" for name in names)
    url = DatabaseUrl.parse(f"postgresql://u:p@h:1/d?{everything}").driven_by("asyncpg")
    dialect: Any = PGDialect_asyncpg()  # type: ignore[no-untyped-call]
    _, keywords = dialect.create_connect_args(make_url(url.sqlalchemy))
    assert keywords.keys() <= inspect.signature(asyncpg.connect).parameters.keys()
    assert keywords["ssl"] == "1"


@pytest.mark.parametrize(
    ("written", "driver", "installed", "expected"),
    [
        ("postgresql+asyncpg://h/d", None, True, "postgresql+asyncpg://shop/d?ssl=require"),
        ("postgres+psycopg_async://h/d", None, True, "postgresql+psycopg://shop/d?sslmode=require"),
        ("postgresql+asyncpg://h/d", None, False, "postgresql+psycopg2://shop/d?sslmode=require"),
        ("postgresql+asyncpg://h/d", "psycopg2", True, "postgresql+psycopg2://shop/d?sslmode=require"),
        ("postgresql+psycopg2://h/d", None, True, "postgresql+psycopg2://shop/d?sslmode=require"),
        ("postgresql://h/%(d)s", None, True, "postgresql+psycopg2://shop/d?sslmode=require"),
        ("driver://user:pass@localhost/dbname", None, True, "postgresql+psycopg2://shop/d?sslmode=require"),
        ("", None, True, None),
    ],
)
def test_the_driver_of_the_ini_serves_where_the_url_names_none(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    written: str,
    driver: str | None,
    installed: bool,
    expected: str | None,
) -> None:
    monkeypatch.setattr(child_config, "find_spec", lambda name: name if installed else None)
    ini = tmp_path / "alembic.ini"
    ini.write_text("[alembic]\nscript_location = x\n" + (f"sqlalchemy.url = {written}\n" if written else ""))
    url = DatabaseUrl.parse("postgresql://shop/d?sslmode=require").sqlalchemy
    setup = Setup(str(ini), None, "alembic", (), url, driver)
    config = child_config.load_config(setup, "upgrade", "head")
    assert config.get_main_option("sqlalchemy.url") == expected
