"""A TCP proxy in front of a PostgreSQL server, which cuts, silences and delays connections where a test wants it."""

from __future__ import annotations

import re
import select
import socket
import struct
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Literal, Self
from urllib.parse import urlsplit, urlunsplit

if TYPE_CHECKING:
    from collections.abc import Callable

Side = Literal["client", "server"]

_CHUNK = 65536
_REMEMBERED = 256  # bytes that are kept so that a pattern is found across two chunks; none is longer
_ROLE = re.compile(rb"application_name\0migrate:(guard|control):")  # in the message that opens a session
_NO_LINGER = struct.pack("ii", 1, 0)  # close() then sends RST
_WAIT_SECONDS = 30.0


class Action(Enum):
    """What happens to a connection when its rule matches; the matching bytes are passed on only where that is said."""

    PASS = "nothing: the bytes are passed on, once the rule's `then` has been called"
    CUT = "reset both ends; the matching bytes are lost"
    CUT_AFTER = "reset both ends once the matching bytes have passed"
    CLOSE = "end both ends with FIN; the matching bytes are lost"
    SILENCE = "swallow the matching bytes and everything after them, both ways; no end is ever told"


@dataclass
class Rule:
    """One fault: the first bytes from `side` of a connection of `role` that match set off the action, `times` times."""

    action: Action
    role: str | None
    side: Side
    pattern: bytes
    then: Callable[[], object] | None = None
    times: int = 1
    hit: threading.Event = field(default_factory=threading.Event)

    def wait(self) -> None:
        """Return once it was set off."""
        assert self.hit.wait(_WAIT_SECONDS), f"{self.pattern!r} never passed"


class Link:
    """One connection through the proxy."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.role = "worker"  # whoever does not name itself: env.py's own connection
        self.client = client
        self.server = server
        self.silent = False
        self.ended = threading.Event()

    def cut(self) -> None:
        """Reset both ends."""
        for end in (self.client, self.server):
            with suppress(OSError):
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self.close()

    def silence(self) -> None:
        """From now on nothing passes, not even the end of a connection: as if a node or a cable were gone."""
        self.silent = True

    def close(self) -> None:
        """End both ends."""
        self.ended.set()
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            with suppress(OSError):
                end.close()


class Proxy:
    """Listens on a port of its own and passes everything on to one server; a context manager."""

    def __init__(self, host: str, port: int) -> None:
        self._server = (host, port)
        self._rules: list[Rule] = []
        self._lock = threading.Lock()
        self.links: list[Link] = []
        self.delay_s = 0.0  # of every chunk, each way
        self.refuses = False
        self.accepts = True  # False: connections are taken, and nothing is ever said to them
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._listen, daemon=True).start()

    def __enter__(self) -> Self:
        """Nothing to do: it listens from its making."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close everything, also what was silenced."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for link in list(self.links):
            link.close()

    def url(self, url: str) -> str:
        """Return the URL with the proxy in the server's place."""
        parts = urlsplit(url)
        credentials, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{credentials}{at}127.0.0.1:{self.port}"))

    def refuse(self, *, refuses: bool = True) -> None:
        """Reset every connection, and new ones as soon as they are made; or accept them again."""
        self.refuses = refuses
        if refuses:
            self.each(lambda link: link.cut())

    def on(
        self,
        action: Action,
        pattern: bytes,
        *,
        role: str | None = None,
        side: Side = "client",
        then: Callable[[], object] | None = None,
    ) -> Rule:
        """Set a fault: `role` is guard, control or worker (any other connection), None means each.

        `then` is called when it was set off.
        """
        rule = Rule(action, role, side, pattern, then)
        with self._lock:
            self._rules.append(rule)
        return rule

    def of(self, role: str) -> list[Link]:
        """Return the open connections of a role."""
        return [link for link in self.links if link.role == role and not link.ended.is_set()]

    def each(self, do: Callable[[Link], None], role: str | None = None) -> None:
        """Do something to every open connection (of a role)."""
        for link in [link for link in self.links if role in {None, link.role} and not link.ended.is_set()]:
            do(link)

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._open, args=(client,), daemon=True).start()

    def _open(self, client: socket.socket) -> None:
        if self.refuses:
            Link(client, socket.socket()).cut()
            return
        if not self.accepts:
            link = Link(client, socket.socket())
            link.silent = True
            self.links.append(link)
            return
        try:
            server = socket.create_connection(self._server)
        except OSError:
            client.close()
            return
        link = Link(client, server)
        self.links.append(link)
        for side in ("client", "server"):
            threading.Thread(target=self._pump, args=(link, side), daemon=True).start()

    def _pump(self, link: Link, side: Side) -> None:
        source, sink = (link.client, link.server) if side == "client" else (link.server, link.client)
        seen = b""
        try:
            while not link.ended.is_set():
                chunk = source.recv(_CHUNK)
                if link.silent:
                    if not chunk:
                        return  # its end is not told either
                    continue
                if not chunk:
                    break
                if self.delay_s:
                    time.sleep(self.delay_s)
                seen = seen[-_REMEMBERED:] + chunk
                fresh = len(seen) - len(chunk)
                if side == "client" and (found := _ROLE.search(seen)):
                    link.role = found[1].decode()
                rule = self._match(link, side, seen, fresh)
                if rule is None:
                    sink.sendall(chunk)
                    continue
                if rule.action is Action.PASS:
                    if rule.then is not None:
                        rule.then()
                    sink.sendall(chunk)
                    rule.hit.set()
                    continue
                if rule.action is Action.CUT_AFTER:
                    sink.sendall(chunk)
                    select.select([], [], [], 0.05)  # a reset overtakes what the peer has not read yet
                    link.cut()
                elif rule.action is Action.CUT:
                    link.cut()
                elif rule.action is Action.CLOSE:
                    link.close()
                else:
                    link.silence()
                if rule.then is not None:
                    rule.then()
                rule.hit.set()
        except OSError:
            pass
        if not link.silent:
            link.close()

    def _match(self, link: Link, side: Side, seen: bytes, fresh: int) -> Rule | None:
        """The first rule whose pattern ends in the bytes that are new: those from `fresh` on."""
        with self._lock:
            for rule in self._rules:
                begins = max(0, fresh - len(rule.pattern) + 1)
                is_of = rule.side == side and rule.role in {None, link.role}
                if rule.times and is_of and seen.find(rule.pattern, begins) >= 0:
                    rule.times -= 1
                    return rule
        return None
