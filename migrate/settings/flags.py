"""The settings as flags of a command: made from the declarations, so that a flag and its help exist once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from migrate.settings.declarations import SETTINGS
from migrate.settings.kinds import SECRET_KINDS, Arguments, Duration, Switch, ValueKind, Words
from migrate.settings.loading import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from migrate.settings.setting import Setting

_Command = TypeVar("_Command", bound="Callable[..., Any]")
_VERBS: Final = {verb for setting in SETTINGS for verb in setting.verbs}


def settings_options(verb: str) -> Callable[[_Command], _Command]:
    """Give a command the flag of each setting that declares its verb, as a keyword argument of the setting's name.

    A flag that is not given is None (a list: empty), so that `load` can look further. Raises KeyError for a verb that
    no setting knows.
    """
    if verb not in _VERBS:
        raise KeyError(verb)

    def decorate(command: _Command) -> _Command:
        # click lists options in the reverse order of their decorators.
        for setting in reversed([each for each in SETTINGS if verb in each.verbs]):
            command = _option(setting)(command)
        return command

    return decorate


class _Value(click.ParamType):  # type: ignore[type-arg]  # generic in the newest click only
    """Reads a flag as the variable of the same setting is read; a fault is click's usage error."""

    def __init__(self, kind: ValueKind) -> None:
        self.kind = kind
        self.name = kind.metavar

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the text; there is no default that click could hand over."""
        if isinstance(self.kind, Arguments):
            return (value,)
        try:
            return self.kind.read(value)
        except ValueError as error:
            shown = "the value" if isinstance(self.kind, SECRET_KINDS) else quoted(value)
            self.fail(f"{shown} {error}", param, ctx)


def _option(setting: Setting) -> Callable[[_Command], _Command]:
    default = f"; default: {setting.shown_default}" if setting.shown_default else ""
    if isinstance(setting.kind, Duration) and setting.kind.zero_means:
        default += f"; 0: {setting.kind.zero_means}"
    text = f"{setting.help} [{setting.variable}{default}]"
    if isinstance(setting.kind, Switch):
        return click.option(*setting.flag_names, setting.name, default=None, help=text)
    return click.option(
        *setting.flag_names,
        setting.name,
        type=_Value(setting.kind),
        metavar=setting.kind.metavar,
        multiple=isinstance(setting.kind, Words),
        help=text,
    )
