"""The search for a row that a table takes: proposals, each unlike those that the server refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Final

from migrate.trial.values import ROWS, SEEDS, STRIDE, Given, Shape, texts, wanted

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from migrate.trial.values import FilledColumn, FilledTable, Reference, Row, Value

TRIES: Final = 300  # of one row
_NODES: Final = 20_000  # of one search among what has not been forbidden


@dataclass(slots=True)
class Search:
    """The first combination of choices that holds none of the forbidden ones; what comes later is changed first.

    `sizes` are the numbers of choices. Only dimensions that a prohibition is about are ever moved.
    """

    sizes: Sequence[int]
    chosen: list[int] | None = field(init=False)
    _forbidden: dict[tuple[int, ...], set[tuple[int, ...]]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Begin with the first choice everywhere."""
        self.chosen = [0] * len(self.sizes) if all(self.sizes) else None

    def forbid(self, dimensions: Collection[int]) -> None:
        """Move to the next combination: the present choices of these dimensions never stand together again."""
        if self.chosen is None or not dimensions:
            self.chosen = None
            return
        about = tuple(sorted(dimensions))
        self._forbidden.setdefault(about, set()).add(tuple(self.chosen[at] for at in about))
        found = self._first(self._related(about))
        if found is None:
            self.chosen = None
            return
        for at, choice in found.items():
            self.chosen[at] = choice

    def _related(self, about: tuple[int, ...]) -> list[int]:
        """The dimensions whose choices hang together with these through what is forbidden, in their order."""
        group = set(about)
        while True:
            wider = group.union(*(one for one in self._forbidden if group.intersection(one)))
            if wider == group:
                return sorted(group)
            group = wider

    def _first(self, dimensions: list[int]) -> dict[int, int] | None:
        by_last: dict[int, list[tuple[int, ...]]] = {}
        for about in self._forbidden:
            by_last.setdefault(about[-1], []).append(about)
        chosen: dict[int, int] = {}
        depth, choice = 0, 0
        for _ in range(_NODES):
            at = dimensions[depth]
            if choice >= self.sizes[at]:
                if depth == 0:
                    return None
                depth -= 1
                choice = chosen.pop(dimensions[depth]) + 1
                continue
            chosen[at] = choice
            if any(tuple(chosen[one] for one in about) in self._forbidden[about] for about in by_last.get(at, ())):
                choice += 1
            elif depth + 1 == len(dimensions):
                return chosen
            else:
                depth, choice = depth + 1, 0
        return None


class Own(Enum):
    """A key's choice: the row itself."""

    ROW = "row"


class RowPlan:
    """The proposals for one row of a table, each unlike those that the server refused.

    `parents` are the rows of referenced tables, those of the own table included; `fixed` are values that are settled.
    """

    def __init__(
        self,
        table: FilledTable,
        number: int,
        *,
        parents: Mapping[int, Sequence[Row]],
        fixed: Mapping[str, str] | None = None,
    ) -> None:
        self.table = table
        self._fixed = dict(fixed or {})
        self._is_last = number == ROWS - 1
        self._keys: list[tuple[Reference, list[dict[str, str | None] | Own]]] = [
            (key, self._key_choices(key, parents.get(key.table, ()))) for key in table.foreign_keys
        ]
        optional = {name for key, choices in self._keys for name in key.columns if {} in choices}
        referring = {name for key, _ in self._keys for name in key.columns}
        self._columns: list[tuple[FilledColumn, list[Value]]] = [
            (column, self._choices(column, 0 if number < ROWS - 1 else ROWS - 1))
            for column in table.columns
            if column.name not in self._fixed and (column.name not in referring or column.name in optional)
        ]
        self._search = Search(
            [*(len(choices) for _, choices in self._keys), *(len(choices) for _, choices in self._columns)]
        )
        self.tries = 0

    def propose(self) -> dict[str, Value] | None:
        """The next row, by column; None when nothing is left to be tried."""
        while self._search.chosen is not None and self.tries < TRIES:
            self.tries += 1
            row: dict[str, Value] = dict(self._fixed)
            clash = self._put_keys(row, self._search.chosen)
            if clash is None:
                for at, (column, choices) in enumerate(self._columns, len(self._keys)):
                    row.setdefault(column.name, choices[self._search.chosen[at]])
                self._put_own(row, self._search.chosen)
                return row
            self._search.forbid(clash)
        return None

    def refuse(self, rule: str | None, columns: Collection[str] = ()) -> None:
        """The server refused the row for a rule or for columns; without either, nothing else is worth a try."""
        known = next((one for one in self.table.rules if one.name == rule and rule is not None), None)
        about = known.columns if known is not None else tuple(columns)
        own = [key.columns for key in self.table.foreign_keys if key.name == rule]
        touched = {*about, *(name for found in own for name in found)}
        dimensions = {at for at, (key, _) in enumerate(self._keys) if touched.intersection(key.columns)}
        dimensions |= {at for at, (column, _) in enumerate(self._columns, len(self._keys)) if column.name in touched}
        if known is not None and not dimensions:  # about a generated column: whatever that is computed from
            dimensions = set(range(len(self._search.sizes)))
        self._search.forbid(dimensions)

    @property
    def unsure(self) -> tuple[str, ...]:
        """The columns of types that are not known here, whose values may be none."""
        return tuple(column.name for column, _ in self._columns if len(texts(column.type, 0)) > 1)

    @property
    def missing(self) -> Reference | None:
        """A key that has nothing to refer to."""
        return next((key for key, choices in self._keys if not choices), None)

    def _key_choices(self, key: Reference, rows: Sequence[Row]) -> list[dict[str, str | None] | Own]:
        nullable = self.table.may_be_null(key)
        found: list[dict[str, str | None] | Own] = []
        for row in rows[::-1] if self._is_last else rows:
            values = {own: row.get(other) for own, other in zip(key.columns, key.references, strict=True)}
            if None not in values.values() and values not in found:
                found.append(values)
        if key.table == self.table.id and not nullable and not found:
            found.append(Own.ROW)
        if nullable:
            found.insert(0 if self._is_last else len(found), {})
        return found

    def _put_keys(self, row: dict[str, Value], chosen: Sequence[int]) -> set[int] | None:
        """Put in what the keys say; the keys that contradict each other."""
        said: dict[str, int] = {}
        for at, (_, choices) in enumerate(self._keys):
            choice = choices[chosen[at]]
            if choice is Own.ROW or not choice:
                continue
            for name, value in choice.items():
                if name in row and row[name] != value:
                    return {at, said[name]} if name in said else {at}
                row[name] = value
                said[name] = at
        for at, (key, choices) in enumerate(self._keys):
            if not choices[chosen[at]]:
                for name in key.columns:
                    column = self.table.column(name)
                    if name not in row and column is not None and column.nullable:
                        row[name] = None
        return None

    def _put_own(self, row: dict[str, Value], chosen: Sequence[int]) -> None:
        for at, (key, choices) in enumerate(self._keys):
            if choices[chosen[at]] is Own.ROW:
                for name, other in zip(key.columns, key.references, strict=True):
                    row[name] = row.get(other, Given.DEFAULT)

    def _choices(self, column: FilledColumn, seed: int) -> list[Value]:
        if column.drawn:
            return [Given.DEFAULT]
        rules = [rule for rule in self.table.rules if column.name in rule.columns]
        constants = [constant for rule in rules for constant in rule.literals]
        own = STRIDE * self.table.number
        found: list[Value] = list(column.read_as)
        found += [text for one in range(own + seed, own + seed + 3) for text in texts(column.type, one)]
        constants += column.type.all_literals
        if constants or column.type.shape is Shape.DOMAIN or any(rule.is_check for rule in rules):
            found += wanted(column.type, constants)
        found += [text for start in (own, 0) for one in range(start, start + SEEDS) for text in texts(column.type, one)]
        if column.has_default:
            found.append(Given.DEFAULT)
        if column.nullable:
            # a rule about several columns may be that only one of them has a value
            among_others = any(len(rule.columns) > 1 and rule.literals for rule in rules)
            found.insert(0 if self._is_last else 1 if among_others and found else len(found), None)
        return list(dict.fromkeys(found))
