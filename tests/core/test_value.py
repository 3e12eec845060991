"""A value of ours is what a frozen dataclass with slots is."""

from __future__ import annotations

import copy
import pickle
from dataclasses import FrozenInstanceError, asdict, dataclass, field, fields, is_dataclass, replace
from typing import ClassVar

import pytest

from migrate.core.value import Value


class Point(Value):
    """One of ours."""

    kind: ClassVar[str] = "point"
    x: int
    y: int = 0
    tags: tuple[str, ...] = ()
    known: dict[str, int] = field(default_factory=dict)
    secret: str = field(default="hidden", repr=False)

    @property
    def sum(self) -> int:
        return self.x + self.y


class Named(Point):
    """With a field more, and one of the base in another light."""

    y: int = 7
    name: str = ""


@dataclass(frozen=True, slots=True)
class Twin:
    """The same as a dataclass."""

    x: int
    y: int = 0
    tags: tuple[str, ...] = ()
    known: dict[str, int] = field(default_factory=dict)
    secret: str = field(default="hidden", repr=False)


class Other(Value):
    """The same fields, and another class."""

    x: int
    y: int = 0


@pytest.mark.parametrize("kind", [Point, Twin])
def test_it_behaves_as_a_dataclass_does(kind):
    point = kind(1, tags=("a",))
    assert (point.x, point.y, point.tags, point.known, point.secret) == (1, 0, ("a",), {}, "hidden")
    assert repr(point) == f"{kind.__name__}(x=1, y=0, tags=('a',), known={{}})"
    assert point == kind(1, 0, ("a",), {}, "hidden")
    assert point != kind(2, tags=("a",))
    assert replace(point, y=5) == kind(1, 5, ("a",))
    assert asdict(point) == {"x": 1, "y": 0, "tags": ("a",), "known": {}, "secret": "hidden"}
    assert [each.name for each in fields(kind)] == ["x", "y", "tags", "known", "secret"]
    assert is_dataclass(kind)
    assert copy.deepcopy(point) == point
    assert pickle.loads(pickle.dumps(point)) == point
    assert kind(1).known is not kind(1).known
    assert not hasattr(point, "__dict__")
    match point:
        case kind(x, y):
            assert (x, y) == (1, 0)
    for change in (lambda: setattr(point, "x", 2), lambda: delattr(point, "x")):
        with pytest.raises(FrozenInstanceError):
            change()
    for wrong in (kind, lambda: kind(1, z=2), lambda: kind(1, 2, (), {}, "", 3), lambda: kind(1, x=2)):
        with pytest.raises(TypeError):
            wrong()


def test_it_equals_nothing_of_another_class():
    assert Other(1) != Point(1, 0)
    assert Other(1) != (1, 0)
    assert len({Other(1), Other(1, 0), Other(2)}) == 2


def test_a_class_takes_the_fields_of_its_base_and_adds_its_own():
    named = Named(1, name="n")
    assert (named.x, named.y, named.name, named.sum, named.kind) == (1, 7, "n", 8, "point")
    assert Named.__match_args__ == ("x", "y", "tags", "known", "secret", "name")
    assert replace(named, x=2) == Named(2, name="n")
