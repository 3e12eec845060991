"""A PostgreSQL URL as people spell it, and the spellings that libpq and every supported SQLAlchemy read alike.

Never shows a password: not in `repr`, not in `str`, and no error quotes any part of the value.

psycopg2's own `parse_dsn` and `make_dsn` cannot stand in for it: they know no `+driver`, no parameters of other drivers and
no pg8000, refuse a stray "%", read a raw "@" of a password in one way only, quote the value in their errors, ask the libpq of
this machine, and write keyword strings, which SQLAlchemy does not take.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple, Self
from urllib.parse import quote, unquote, unquote_to_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Where a URL is looked for, in this order; each also as ..._FILE. Direct connections come before those that providers
# lead through a pooler (DATABASE_UNPOOLED_URL: Railway and Neon, DIRECT_DATABASE_URL: Fly).
URL_COMMAND: Final = "MIGRATE_URL_COMMAND"  # a program that prints one
URL_VARIABLES: Final = ("MIGRATE_DATABASE_URL", "DATABASE_UNPOOLED_URL", "DIRECT_DATABASE_URL", "DATABASE_URL")

_MASK: Final = "***"
_DEFAULT_PORT: Final = 5432
_HIGHEST_PORT: Final = 65535

# libpq's keywords (PostgreSQL 18, "Parameter Key Words"). Others are handed on all the same, so that libpq refuses a
# misspelt `sslmode` instead of connecting without it; the list only settles what a raw @ in the query can be part of.
_LIBPQ_NAMES: Final = """
    application_name channel_binding client_encoding connect_timeout database dbname fallback_application_name
    gssdelegation gssencmode gsslib host hostaddr keepalives keepalives_count keepalives_idle keepalives_interval
    krbsrvname load_balance_hosts max_protocol_version min_protocol_version oauth_client_id oauth_client_secret
    oauth_issuer oauth_scope options passfile password port replication require_auth requirepeer scram_client_key
    scram_server_key service servicefile sslcert sslcertmode sslcompression sslcrl sslcrldir sslkey sslkeylogfile
    sslmode sslnegotiation sslpassword sslrootcert sslsni ssl_max_protocol_version ssl_min_protocol_version
    target_session_attrs tcp_user_timeout user
"""
_LIBPQ_KEYWORDS: Final = frozenset(_LIBPQ_NAMES.split())

# Parameters of other programs that read the same URL; libpq would refuse the whole URL for one of them.
_FOREIGN_NAMES: Final = (
    # asyncpg.connect and SQLAlchemy's dialect for it
    "async_fallback command_timeout direct_tls max_cacheable_statement_size max_cached_statement_lifetime"
    " prepared_statement_cache_size ssl statement_cache_size timeout"
    # psycopg 3 and pg8000
    " prepare_threshold tcp_keepalive"
    # Prisma, and the poolers that hand out URLs for it
    " connection_limit pgbouncer pool_timeout schema socket_timeout sslaccept sslidentity supa"
)
_FOREIGN_PARAMETERS: Final = frozenset(_FOREIGN_NAMES.split())

# `ssl=` is asyncpg's name for sslmode; `true` is what JDBC writes, and libpq itself takes it as `require`.
_SSL_SWITCH: Final = {"true": "require", "false": "disable"}

# pg8000 is given a socket's file where libpq is given its folder and port.
_PG8000_SOCKET: Final = re.compile(r"(/.*)/\.s\.PGSQL\.([0-9]+)", re.DOTALL)
_SOCKET_FOR_LIBPQ: Final = r"s,unix_sock=\([^&]*\)\(/\|%2[Ff]\)\.s\.PGSQL\.\([0-9]*\),host=\1\&port=\3,"  # for sed

# The words before "://": every command and sentence has them.
SCHEMES: Final = frozenset({"postgresql", "postgres"})
_SECRET_PARAMETER: Final = re.compile(r"password|secret|token|_key\b|apikey", re.IGNORECASE)

# Of libpq's keywords those that asyncpg.connect has too, by the same name; `sslmode` it calls `ssl`.
_ASYNCPG_PARAMETERS: Final = frozenset({"krbsrvname", "passfile", "target_session_attrs"})


class Fault(StrEnum):
    """Why a value is no database URL: a closed set of whole sentences, so that none can carry a part of the value."""

    EMPTY = "It is empty."
    NOT_UTF8 = "It is not UTF-8 text."
    CONTROL_CHARACTER = "It contains a line break or another control character."
    QUOTED = "It begins with a quotation mark: the quotes belong to the shell or the file, not to the value."
    UNFILLED_REFERENCE = "It begins with $: a reference that the platform or the shell should have replaced."
    ASSIGNMENT = "It begins with a variable's name and '=': give only what follows."
    COMMAND = "It begins with a command (psql, export): give only the URL."
    KEYWORD_STRING = "It is a keyword string (host=... dbname=...): write it as postgresql://USER:PASSWORD@HOST/NAME."
    NO_SCHEME = "It does not begin with postgresql:// or postgres://."
    OTHER_SCHEME = "Its scheme is neither postgresql nor postgres: migrate speaks to PostgreSQL only."
    BAD_DRIVER = "What follows '+' in its scheme is not the name of a driver."
    AMBIGUOUS = "It can be read in two ways: write @ / ? of the user, password or database as %40 %2F %3F."
    BAD_HOST = "Its host is not a host name, an address (IPv6 in [brackets]) or a socket's folder."
    BAD_PORT = "Its port is not a number from 1 to 65535 (or an IPv6 address is not in [brackets])."
    PORTS_DIFFER = "It does not give one port for each host."
    BAD_PARAMETER = "A parameter after '?' is not of the form name=value."
    REPEATED_PARAMETER = "A parameter after '?' is given twice."
    BAD_ESCAPE = "Its percent escapes do not spell UTF-8 text, or they spell a NUL."
    BAD_DATABASE = "Its database name holds ? @ % or white space in a way that SQLAlchemy cannot carry in a URL."


class MalformedUrl(ValueError):  # noqa: N818 - the name says what the value is, as the problem's code does
    """The value is no PostgreSQL URL; `str()` is the fault's sentence and nothing of the value."""

    def __init__(self, fault: Fault) -> None:
        """Keep the fault beside its sentence."""
        super().__init__(str(fault))
        self.fault = fault


class Host(NamedTuple):
    """One place to connect to: a name, an address or a socket's folder; `""` and None leave it to libpq's default."""

    name: str
    port: int | None


@dataclass(frozen=True, slots=True, repr=False)
class DatabaseUrl:
    """The parts of a PostgreSQL URL, decoded.

    `raw` is the user's own spelling without surrounding white space; `driver` is what the scheme names after "+";
    `parameters` are the query's, less those that name the user, password, host, port or database.
    """

    raw: str
    driver: str | None = None
    user: str | None = None
    password: str | None = None
    hosts: tuple[Host, ...] = ()
    database: str | None = None
    parameters: tuple[tuple[str, str], ...] = ()
    _scheme: str = "postgresql"
    _spelled_secrets: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URL in any spelling that libpq or SQLAlchemy accepts; raises MalformedUrl.

        Where the two read one text differently, and a raw ``@ / ?`` in a password is the usual reason, the reading
        must be the only possible one; otherwise the URL is refused.
        """
        raw = text.strip()
        scheme, body = _scheme_and_body(raw)
        dialect, plus, driver = scheme.lower().partition("+")
        if dialect not in SCHEMES:
            raise MalformedUrl(Fault.OTHER_SCHEME)
        if plus and not re.fullmatch(r"[a-z][a-z0-9_]*", driver):
            raise MalformedUrl(Fault.BAD_DRIVER)
        credentials, rest = _divide(body)
        spelled_user, _, spelled_password = credentials.partition(":")
        location, _, query = rest.partition("?")
        authority, _, path = location.partition("/")
        spelled = _parameters(query)
        if "@" in query and not spelled.keys() <= _LIBPQ_KEYWORDS:
            raise MalformedUrl(Fault.AMBIGUOUS)
        # An empty value is none, as in SQLAlchemy, which also takes "+" for a space here.
        parameters = {name: _decode(value.replace("+", " ")) for name, value in spelled.items() if value}
        # As in libpq and in SQLAlchemy, the query has the last word on each of these.
        hosts = _hosts_of_query(parameters.pop("host", None), parameters.pop("port", None), _hosts(authority))
        if found := _PG8000_SOCKET.fullmatch(parameters.get("unix_sock", "")):
            del parameters["unix_sock"]
            hosts = _checked_hosts([Host(found[1], _port(found[2]))])
        user = parameters.pop("user", _decode(spelled_user))
        password = parameters.pop("password", _decode(spelled_password))
        database = parameters.pop("database", _decode(path))
        database = parameters.pop("dbname", database)
        secret_names = [name for name in spelled if _SECRET_PARAMETER.search(name)]
        return cls(
            raw=raw,
            driver=driver or None,
            user=user or None,
            password=password or None,
            hosts=hosts,
            database=_checked_database(database) or None,
            parameters=tuple(parameters.items()),
            _scheme=scheme,
            _spelled_secrets=(spelled_password, *(spelled[name] for name in secret_names)),
        )

    @property
    def sqlalchemy(self) -> str:
        """The URL for ``sqlalchemy.url``: SQLAlchemy 1.4, 2.0 and 2.1 read the same parts from it.

        It names psycopg2 unless the user named a driver (a bare ``postgresql://`` is psycopg 3 from SQLAlchemy 2.1 on,
        and ``postgres://`` is rejected since 1.4); parameters that psycopg2 would refuse are left out only then.
        """
        parameters = _for_libpq(self.parameters) if self.driver is None else self.parameters
        return self._render(f"postgresql+{self.driver or 'psycopg2'}", self.password, parameters)

    @property
    def libpq(self) -> dict[str, str]:
        """The keywords for ``psycopg2.connect(**...)``; what another driver alone knows is dropped or translated."""
        found = dict(_for_libpq(self.parameters))
        names = ",".join(host.name for host in self.hosts)
        ports = _joined_ports(self.hosts)
        given = {"user": self.user, "password": self.password, "host": names, "port": ports, "dbname": self.database}
        return found | {name: value for name, value in given.items() if value}

    @property
    def host(self) -> str | None:
        """The host's name, several with commas; None where libpq's default decides (PGHOST, else a local socket)."""
        return ",".join(host.name for host in self.hosts) or None

    @property
    def port(self) -> int | None:
        """The first host's port; None where libpq's default decides (PGPORT, else 5432)."""
        return self.hosts[0].port if self.hosts else None

    @property
    def address(self) -> str:
        """Where the URL leads, for people: ``db.example:5432``; several with commas; empty for libpq's default."""
        return ",".join(_netloc(host) for host in self.hosts)

    @property
    def secrets(self) -> tuple[str, ...]:
        """Every text that must not leave the process: each secret decoded, as the user spelled it and as we do.

        A password that is a name which is shown anyway (``postgres:postgres``) would take that name out of every
        sentence and command. It is none of these texts by itself, only between its user and the host; what stands as a password in a
        URL or behind ``password=`` the `Redactor` replaces without being told.
        """
        hidden = [value for name, value in self.parameters if _SECRET_PARAMETER.search(name)]
        decoded = [value for value in (self.password, *hidden) if value]
        everything = [*decoded, *self._spelled_secrets, *(quote(value, safe="") for value in decoded)]
        if self.password in self._names and self.password not in hidden:
            everything = [value for value in everything if self.password not in {value, unquote(value)}]
            everything.append(f"{self.user or ''}:{self.password}@")
        return tuple(dict.fromkeys(value for value in everything if value))

    @property
    def _names(self) -> frozenset[str]:
        """What is shown of a target whatever its password is."""
        given = (self.user, self.database, self.driver, *(host.name for host in self.hosts))
        return SCHEMES | frozenset(name for name in given if name)

    @property
    def redacted(self) -> str:
        """The URL for people, each secret as ``***``."""
        parameters = [(name, _MASK if _SECRET_PARAMETER.search(name) else value) for name, value in self.parameters]
        return self._render(self._scheme, self.password and _MASK, parameters)

    def replace(self, *, database: str) -> Self:
        """Give the same server, user and parameters another database; raises MalformedUrl for a name no URL carries."""
        changed = replace(self, database=_checked_database(database))
        raw = changed._render(self._scheme, self.password, self.parameters)  # noqa: SLF001 - it is of this class
        return replace(changed, raw=raw)

    def in_shell(self, variable: str) -> str:
        """The word of a shell that gives psql and its like this URL, which ``variable`` has; never the URL itself."""
        if variable == URL_COMMAND:
            source = f"${variable}"
        else:
            source = f'cat "${variable}"' if variable.endswith("_FILE") else f'printf %s "${variable}"'
        if self.driver is not None:  # libpq knows no driver in a URL
            socket = f";{_SOCKET_FOR_LIBPQ}" if "unix_sock=" in self.raw else ""
            return f"\"$({source} | sed 's/+[a-z0-9_]*:/:/{socket}')\""
        return f'"$({source})"' if variable.endswith("_FILE") or variable == URL_COMMAND else f'"${variable}"'

    def driven_by(self, driver: str) -> Self:
        """Give the same database another driver, and asyncpg only the parameters that it knows."""
        parameters = self.parameters
        if driver == "asyncpg":
            known = {"sslmode": "ssl"} | {name: name for name in _ASYNCPG_PARAMETERS}
            parameters = tuple((known[name], value) for name, value in parameters if name in known)
        changed = replace(self, driver=driver, parameters=parameters, _scheme=f"postgresql+{driver}")
        return replace(changed, raw=changed.sqlalchemy)

    def spelled_as(self, other: DatabaseUrl) -> Self:
        """Give the same database the other URL's scheme and driver: who reads that one can read this one."""
        changed = replace(self, driver=other.driver, _scheme=other._scheme)
        raw = changed._render(other._scheme, self.password, self.parameters)  # noqa: SLF001 - it is of this class
        return replace(changed, raw=raw)

    def with_database(self, name: str) -> Self:
        """Another database of the same server."""
        changed = replace(self, database=name)
        raw = changed._render(self._scheme, self.password, self.parameters)  # noqa: SLF001 - it is of this class
        return replace(changed, raw=raw)

    def __repr__(self) -> str:
        """Without the password."""
        return f"DatabaseUrl({self.redacted!r})"

    def __str__(self) -> str:
        """Without the password."""
        return self.redacted

    def _render(self, scheme: str, password: str | None, parameters: Iterable[tuple[str, str]]) -> str:
        credentials = ""
        if self.user is not None or password is not None:
            hidden = "" if password is None else ":" + quote(password, safe="*")
            credentials = f"{quote(self.user or '', safe='')}{hidden}@"
        authority = ""
        pairs = list(parameters)
        if len(self.hosts) == 1 and not self.hosts[0].name.startswith(("/", "@")):
            authority = _netloc(self.hosts[0])
        elif len(self.hosts) == 1 and scheme.endswith("+pg8000"):
            (host,) = self.hosts
            pairs.append(("unix_sock", f"{host.name}/.s.PGSQL.{host.port or _DEFAULT_PORT}"))
        elif self.hosts:
            # SQLAlchemy has no place for these before the path. Of the spellings that it takes in the query, this one
            # alone works in 1.4.0 and carries sockets and IPv6.
            pairs.append(("host", ",".join(host.name for host in self.hosts)))
            pairs += [("port", ports) for ports in [_joined_ports(self.hosts)] if ports]
        # The database is not encoded: SQLAlchemy decodes it from 2.1 on only (`_checked_database` keeps that safe). And
        # "@" must be encoded in the query, where SQLAlchemy 1.4.0 still takes the last one for the password's end.
        query = "&".join(f"{quote(name, safe='')}={quote(value, safe='/:,*')}" for name, value in pairs)
        path = f"/{self.database or ''}" if self.database or query else ""
        return f"{scheme}://{credentials}{authority}{path}{'?' if query else ''}{query}"


def _scheme_and_body(raw: str) -> tuple[str, str]:
    if not raw:
        raise MalformedUrl(Fault.EMPTY)
    if not _is_utf8(raw):
        raise MalformedUrl(Fault.NOT_UTF8)
    if _has_control_character(raw):
        raise MalformedUrl(Fault.CONTROL_CHARACTER)
    if found := re.fullmatch(r"([A-Za-z][A-Za-z0-9+_.-]*)://(.*)", raw):
        return found[1], found[2]
    for pattern, fault in (
        (r"[\"'`\u2018-\u201f]", Fault.QUOTED),
        (r"\$", Fault.UNFILLED_REFERENCE),
        (r"(psql|export)\s", Fault.COMMAND),
        (r"[a-z_]+\s*=", Fault.KEYWORD_STRING),
        (r"[A-Z_]+=", Fault.ASSIGNMENT),
    ):
        if re.match(pattern, raw):
            raise MalformedUrl(fault)
    raise MalformedUrl(Fault.NO_SCHEME)


def _divide(body: str) -> tuple[str, str]:
    """Divide what follows the scheme into credentials and the rest.

    libpq ends the credentials at the first "@" before the first "/", SQLAlchemy at the first "@" of all, and neither
    admits a raw "@" in a password. Here the last "@" before the first "/" or "?" ends them. Where there is none, the
    first "@" ends them if what stands before it can be nothing but credentials.
    """
    authority = re.split(r"[/?]", body, maxsplit=1)[0]
    if "@" in authority:
        at = authority.rindex("@")
    elif "@" not in body or ":" not in authority:
        at = -1
    elif body.count("@") == 1 and not _are_hosts(authority):
        at = body.index("@")
    else:
        raise MalformedUrl(Fault.AMBIGUOUS)
    credentials, rest = body[: max(at, 0)], body[at + 1 :]
    if "@" in rest.partition("?")[0]:
        raise MalformedUrl(Fault.AMBIGUOUS)
    return credentials, rest


def _are_hosts(authority: str) -> bool:
    try:
        _hosts(authority)
    except MalformedUrl:
        return False
    return True


def _hosts(authority: str) -> tuple[Host, ...]:
    """Read ``h1:1,h2:2``, libpq's form of several hosts; SQLAlchemy's regular expression has one host only."""
    if not authority:
        return ()
    return _checked_hosts([_host_and_port(_decode(item)) for item in authority.split(",")])


def _hosts_of_query(host: str | None, port: str | None, hosts: tuple[Host, ...]) -> tuple[Host, ...]:
    """Let the query's ``host=`` and ``port=`` have their say: either may be a list with commas."""
    if host is not None:
        hosts = _checked_hosts([_query_host(item) for item in host.split(",")])
    if port is None:
        return hosts
    if host is not None and any(each.port is not None for each in hosts):
        raise MalformedUrl(Fault.PORTS_DIFFER)
    ports = [_port(each) for each in port.split(",")]
    places = hosts or (Host("", None),)
    if len(ports) == 1:
        ports *= len(places)
    if len(ports) != len(places):
        raise MalformedUrl(Fault.PORTS_DIFFER)
    return tuple(Host(place.name, each) for place, each in zip(places, ports, strict=True))


def _query_host(item: str) -> Host:
    """Read one item of ``?host=``, where a bare IPv6 address may stand as well."""
    if item.count(":") > 1 and not item.startswith(("[", "/", "@")):
        return Host(_host_name(f"[{item}]"), None)
    return _host_and_port(item)


def _host_and_port(item: str) -> Host:
    if item.startswith(("/", "@")):
        folder, _, port = item.partition(":")
        # Cloud SQL's folders have colons of their own: /cloudsql/PROJECT:REGION:INSTANCE.
        return Host(folder, _port(port)) if port.isdecimal() else Host(item, None)
    found = re.fullmatch(r"(\[[^\]]*\]|[^:\[\]]*)(?::(.*))?", item)
    if found is None:
        raise MalformedUrl(Fault.BAD_HOST)
    return Host(_host_name(found[1]), _port(found[2] or ""))


def _host_name(text: str) -> str:
    if found := re.fullmatch(r"\[([0-9A-Fa-f.]*:[0-9A-Fa-f:.]*(?:%[\w.-]+)?)\]", text):
        return found[1]
    if re.fullmatch(r"[^\s/:?#@\[\]%]*", text):
        return text
    raise MalformedUrl(Fault.BAD_HOST)


def _port(text: str) -> int | None:
    if not text:
        return None
    if re.fullmatch(r"[0-9]{1,5}", text) and 1 <= int(text) <= _HIGHEST_PORT:
        return int(text)
    raise MalformedUrl(Fault.BAD_PORT)


def _checked_hosts(hosts: Sequence[Host]) -> tuple[Host, ...]:
    """Refuse an empty name or a comma where the list would mean another number of hosts to libpq."""
    if any("," in host.name or _has_control_character(host.name) for host in hosts):
        raise MalformedUrl(Fault.BAD_HOST)
    if len(hosts) > 1 and not all(host.name for host in hosts):
        raise MalformedUrl(Fault.BAD_HOST)
    return tuple(hosts) if any(host != Host("", None) for host in hosts) else ()


def _netloc(host: Host) -> str:
    name = f"[{host.name}]" if ":" in host.name and not host.name.startswith(("/", "@")) else host.name
    return name if host.port is None else f"{name}:{host.port}"


def _joined_ports(hosts: Sequence[Host]) -> str:
    if all(host.port is None for host in hosts):
        return ""
    return ",".join("" if host.port is None else str(host.port) for host in hosts)


def _parameters(query: str) -> dict[str, str]:
    """Read the query's parameters, values as spelled; several ``host=`` (SQLAlchemy's form) become one list."""
    found: dict[str, str] = {}
    for item in filter(None, query.split("&")):
        spelled_name, equals, value = item.partition("=")
        name = _decode(spelled_name)
        if not equals or not name:
            raise MalformedUrl(Fault.BAD_PARAMETER)
        if name in found and name != "host":
            raise MalformedUrl(Fault.REPEATED_PARAMETER)
        found[name] = ",".join(filter(None, (found.get(name), value)))
    return found


def _for_libpq(parameters: Sequence[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    kept = {name: value for name, value in parameters if name not in _FOREIGN_PARAMETERS}
    ssl = dict(parameters).get("ssl")
    if ssl is not None:
        # A value that is no sslmode goes on too: libpq refuses it, while dropping it would connect without TLS.
        kept.setdefault("sslmode", _SSL_SWITCH.get(ssl.lower(), ssl))
    return tuple(kept.items())


def _checked_database(name: str) -> str:
    """Refuse a name for which no spelling means the same in SQLAlchemy 1.4 and 2.0 (not decoded) and 2.1 (decoded)."""
    if re.search(r"[?@]|%[0-9A-Fa-f]{2}|^\s|\s$", name) or _has_control_character(name):
        raise MalformedUrl(Fault.BAD_DATABASE)
    return name


def _decode(text: str) -> str:
    """Percent-decoded; a "%" that begins no escape stands for itself, as in SQLAlchemy (libpq refuses it)."""
    try:
        decoded = unquote_to_bytes(text).decode()
    except UnicodeDecodeError:
        # `from None`: the exception carries the bytes that could not be decoded.
        raise MalformedUrl(Fault.BAD_ESCAPE) from None
    if "\0" in decoded:
        raise MalformedUrl(Fault.BAD_ESCAPE)
    return decoded


def _is_utf8(text: str) -> bool:
    """Tell text from the lone surrogates that stand for undecodable bytes of the environment (PEP 383)."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _has_control_character(text: str) -> bool:
    return any(ord(character) < ord(" ") or character == "\x7f" for character in text)
