"""The flags of `migrate up` as platforms write them, read without click: importing that is a fifth of a run with nothing to do.

Whatever is unusual, wrong, or asks for help is click's, which reads the whole command line itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from migrate.settings.declarations import SETTINGS
from migrate.settings.kinds import Switch, Words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.settings.kinds import ValueKind


def flags_of_up(arguments: Sequence[str]) -> dict[str, Any] | None:
    """The flags as click hands them to the verb; None where click is to read them."""
    if arguments[:1] != ["up"]:
        return None
    settings = [setting for setting in SETTINGS if "up" in setting.verbs]
    flags: dict[str, Any] = {each.name: () if isinstance(each.kind, Words) else None for each in settings}
    flags["as_json"] = False
    switches: dict[str, tuple[str, bool]] = {"--json": ("as_json", True)}
    values: dict[str, tuple[str, ValueKind]] = {}
    for setting in settings:
        name = setting.flag_names[-1]
        if isinstance(setting.kind, Switch):
            on, _, off = name.partition("/")
            switches |= {on: (setting.name, True), off: (setting.name, False)}
        elif not isinstance(setting.kind, Words):
            values[name] = (setting.name, setting.kind)
    rest = list(arguments[1:])
    while rest:
        flag, is_joined, text = rest.pop(0).partition("=")
        if flag in switches and not is_joined:
            name, flags[name] = switches[flag]
            continue
        if flag not in values or not (is_joined or (rest and not rest[0].startswith("-"))):
            return None
        name, kind = values[flag]
        try:
            flags[name] = kind.read(text if is_joined else rest.pop(0))
        except ValueError:
            return None
    return flags
