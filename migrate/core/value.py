"""The base of the frozen types that a run with nothing to do imports: as a frozen dataclass with slots, made in no time.

`dataclass` writes six functions for each class and compiles them, whenever the process starts: some 0.4 ms a class.
"""

from __future__ import annotations

import dataclasses
from dataclasses import MISSING, Field, FrozenInstanceError, field
from typing import Any, ClassVar, dataclass_transform


@dataclass_transform(frozen_default=True, field_specifiers=(field,))
class _Made(type):
    """Makes slots of the annotated names, after those of the base; their defaults stand aside, where no slot is."""

    __match_args__: tuple[str, ...]
    defaults: dict[str, Any]
    setters: tuple[Any, ...]
    made_fields: dict[str, Field[Any]] | None

    def __new__(cls, name: str, bases: tuple[type, ...], namespace: dict[str, Any]) -> _Made:
        """Make one."""
        base = next((base for base in bases if isinstance(base, _Made)), None)
        known, defaults = (base.__match_args__, base.defaults) if base is not None else ((), {})
        own = [each for each, kind in namespace.get("__annotations__", {}).items() if "ClassVar" not in str(kind)]
        more = tuple(each for each in own if each not in known)
        defaults = defaults | {each: namespace.pop(each) for each in own if each in namespace}
        namespace |= {"__slots__": more, "__match_args__": (*known, *more)}
        made = super().__new__(cls, name, bases, namespace)
        made.defaults, made.made_fields = defaults, None
        made.setters = tuple(getattr(made, each).__set__ for each in made.__match_args__)
        return made


class _Fields:
    """What `dataclasses` asks a class, or one of its values, for: for `replace`, `fields` and `asdict`."""

    def __get__(self, value: object, of: _Made) -> dict[str, Field[Any]]:
        """Made when it is first asked for: most classes never are."""
        if of.made_fields is not None:
            return of.made_fields
        found = {}
        for name in of.__match_args__:
            default = of.defaults.get(name, MISSING)
            about = found[name] = default if isinstance(default, Field) else field(default=default)
            about.name = name
            about._field_type = dataclasses._FIELD  # type: ignore[attr-defined, union-attr]  # noqa: SLF001 - its mark of a field
        of.made_fields = found
        return found


class Value(metaclass=_Made):
    """A value that nobody changes: ``class Name(Value)``, then its fields as in a dataclass.

    It equals a value of the same class with equal fields, and nothing else. Raises TypeError as any call does whose
    arguments do not fit.
    """

    __dataclass_fields__: ClassVar[dict[str, Field[Any]]] = _Fields()  # type: ignore[assignment]  # as read from a class

    def __init__(self, *values: Any, **named: Any) -> None:
        """Take the fields by place or by name; the others have their defaults."""
        made: Any = type(self)
        if named or len(values) != len(made.setters):
            values = _completed(made, values, named)
        for put, value in zip(made.setters, values, strict=True):
            put(self, value)

    def __setattr__(self, name: str, value: object) -> None:
        """Raises FrozenInstanceError."""
        raise FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        """Raises FrozenInstanceError."""
        raise FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        """Whether it is of the same class, with equal fields."""
        return _values(self) == _values(other) if type(other) is type(self) else NotImplemented

    def __hash__(self) -> int:
        """Of its fields."""
        return hash(_values(self))

    def __repr__(self) -> str:
        """Its class and its fields, but for those that are not to be shown."""
        shown = ", ".join(f"{each.name}={getattr(self, each.name)!r}" for each in dataclasses.fields(self) if each.repr)
        return f"{type(self).__qualname__}({shown})"

    def __reduce__(self) -> tuple[Any, ...]:
        """For `copy` and `pickle`."""
        return type(self), _values(self)


def _values(value: object) -> tuple[Any, ...]:
    return tuple([getattr(value, name) for name in type(value).__match_args__])  # type: ignore[attr-defined]


def _completed(made: _Made, values: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, ...]:
    """Every field of a class in its place. Raises TypeError."""
    given = list(values)
    for name in made.__match_args__[len(values) :]:
        if name in named:
            given.append(named.pop(name))
            continue
        default = made.defaults.get(name, MISSING)
        if isinstance(default, Field):
            default = default.default if default.default_factory is MISSING else default.default_factory()
        if default is MISSING:
            raise TypeError(f"{made.__qualname__}() missing a required argument: {name!r}")
        given.append(default)
    if named or len(values) > len(made.__match_args__):
        raise TypeError(f"{made.__qualname__}() got an unexpected argument: {', '.join(named) or repr(values[-1])}")
    return tuple(given)
