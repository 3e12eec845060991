"""What people are told about a run that ended, when, and what of an address is a secret."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from migrate.core.decide.outcome import Result
from migrate.core.value import Value
from migrate.core.wording import shortened

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_LISTED: Final = 10
_ABOUT: Final = ("service", "platform", "environment", "deployment_id", "commit_sha")
_SHORTEST: Final = 8  # characters: shorter parts of an address are words such as "hooks", and tokens are longer


class Occasion(StrEnum):
    """The values of the setting ``notify_on``."""

    FAILURE = "failure"
    REFUSAL = "refusal"
    SUCCESS = "success"


def occasion_of(result: str) -> Occasion:
    """Which occasion an outcome is; an interrupted run is a failure, because nobody knows what comes next."""
    if result == Result.REFUSED:
        return Occasion.REFUSAL
    unhappy = {Result.FAILED, Result.INTERRUPTED, Result.UNKNOWN}
    return Occasion.FAILURE if result in unhappy else Occasion.SUCCESS


class Notification(Value):
    """A message for people: plain text."""

    occasion: Occasion
    title: str
    body: str


def notification(last: Mapping[str, object], about: Mapping[str, object]) -> Notification:
    """The message about a run, from the fields of ``run.finished``, already redacted.

    ``about`` is what tells this release from others: the service's name, the platform's context, and the database.
    """
    code = f"exit code {last['exit_code']} {last['exit_name']}"
    told = dict.fromkeys(str(about[name]) for name in _ABOUT if about.get(name))
    where = ", ".join(told)
    database = " at ".join(str(about[name]) for name in ("db_name", "server_address") if about.get(name))
    subject = ", ".join(str(about[name]) for name in ("service", "db_name") if about.get(name))
    lines = {
        "where": where,
        "database": database,
        "state": f"{last['outcome']}, {code}{'; the same run may succeed later' if last.get('retryable') else ''}",
        "from": _ids(last.get("from_revision")) or "base",
        "to": _ids(last.get("to_revision")) or "base",
        "applied": _counted(last, "applied"),
        "failed": str(last.get("failed") or ""),
        "pending": _counted(last, "pending"),
        "problem": f"{last['problem']}: {last['why']}" if "problem" in last else "",
        "fix": str(last.get("fix", "")),
        "run": str(last["run_id"]),
        "took": f"{last['duration_ms']} ms",
    }
    return Notification(
        occasion_of(str(last["outcome"])),
        f"migrate {last['verb']}: {last.get('title') or last['outcome']}" + (f" ({subject})" if subject else ""),
        "\n".join(f"{name}: {text}" for name, text in lines.items() if text),
    )


def secrets_in(addresses: Iterable[str]) -> list[str]:
    """What must not be shown of notification addresses: each as a whole, and every part that can be a token.

    Services put tokens anywhere (https://github.com/caronc/apprise/wiki): as user, as password, as host, in the path and
    in the query. A host with a dot is a name, and hiding it would hide it in every other line.
    """
    found: list[str] = []
    for address in addresses:
        found.append(address)
        _, _, rest = address.partition("://")
        location, _, query = rest.partition("?")
        authority, *path = location.split("/")
        credentials, _, host = authority.rpartition("@")
        user, _, password = credentials.partition(":")
        found.append(password)
        parts = [user, *path, *re.split("[&=]", query)]
        if "." not in host and not host.startswith("localhost"):
            parts.append(host)
        found += [part for part in parts if len(part) >= _SHORTEST]
    return [secret for secret in dict.fromkeys(found) if secret]


def _ids(value: object) -> str:
    return shortened(map(str, value), _LISTED) if isinstance(value, (list, tuple)) else ""


def _counted(last: Mapping[str, object], name: str) -> str:
    return f"{last[f'{name}_count']}: {_ids(last.get(name))}" if last.get(f"{name}_count") else ""
