"""The settings as flags of a command: made from the declarations, so that a flag exists once; `groups` has its help."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

from migrate.settings.declarations import SETTINGS
from migrate.settings.kinds import SECRET_KINDS, Arguments, Choice, File, Selection, Switch, ValueKind, Words
from migrate.settings.loading import quoted

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.shell_completion import CompletionItem

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

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """What a shell offers: the words of a choice, the paths of a file."""
        from click.shell_completion import CompletionItem

        del ctx, param
        match self.kind:
            case File():
                return [CompletionItem(incomplete, type="dir" if self.kind.metavar == "DIR" else "file")]
            case Selection():
                before, comma, begun = incomplete.rpartition(",")
                return [CompletionItem(f"{before}{comma}{word}") for word in self.kind.of if word.startswith(begun)]
            case Choice():
                return [CompletionItem(word) for word in self.kind.of if word.startswith(incomplete)]
            case _:
                return []


def _option(setting: Setting) -> Callable[[_Command], _Command]:
    if isinstance(setting.kind, Switch):
        return click.option(*setting.flag_names, setting.name, default=None)
    return click.option(
        *setting.flag_names,
        setting.name,
        type=_Value(setting.kind),
        metavar=setting.kind.metavar,
        multiple=isinstance(setting.kind, Words),
    )
