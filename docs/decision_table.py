"""The tables of `docs/explanation/decisions.md`: what `decide()` answers to each position and each finding."""

from __future__ import annotations

from typing import Any, Final

from migrate.core.decide.decision import decide
from migrate.core.decide.observation import InvalidIndex
from migrate.core.decide.plan import Adopt, Plan, Repair
from migrate.core.decide.policy import (
    AdoptPolicy,
    AheadPolicy,
    BreakingPolicy,
    EditedPolicy,
    Judgement,
    Policy,
)
from migrate.core.decide.state import (
    Ahead,
    AtHead,
    Behind,
    Breaking,
    Drifted,
    Edited,
    Empty,
    Residue,
    Split,
    State,
    Unknown,
    Untracked,
)
from migrate.core.history.graph import Graph, Revision
from migrate.core.image import Image
from migrate.core.manifest.building import build
from migrate.core.manifest.match import Exact, Nearest
from migrate.core.schema.compatibility import Break
from migrate.core.schema.differences import Difference, Differences

BEGINS: Final = "<!-- made: {name} -->"
ENDS: Final = "<!-- end -->"


def _revision(id_: str, *down: str) -> Revision:
    return Revision(id_, down, (), (), "", f"versions/{id_}.py", "0" * 64)


_ONE, _TWO = _revision("one"), _revision("two", "one")
_IMAGE: Final = Image(
    Graph([_ONE, _TWO]),
    manifest=build(
        17, Graph([_ONE, _TWO]), {"one": {"table t": "table"}, "two": {"table t": "table", "table u": "table"}}
    ),
)
_MISSING: Final = Differences(missing=(Difference("column t.a", "integer", None),))
_EXTRA: Final = Differences(extra=(Difference("index ix", None, "btree (a)"),))
_BREAKS: Final = (Break("column t.a", "dropped", "column t.a is missing"),)
_BEHIND: Final = Behind(("one",), (_TWO,))
_HEAD: Final = AtHead(("two",))

# Where the database is: what it looks like, the state, and the settings that answer otherwise.
_POSITIONS: Final[list[tuple[str, State, list[tuple[str, dict[str, Any]]]]]] = [
    ("**empty**: no version rows, no objects", State(Empty((_ONE, _TWO))), []),
    ("**at head**: nothing is left to apply", State(_HEAD), []),
    ("**behind**: the rows are known, revisions are left", State(_BEHIND), []),
    (
        "**untracked**: objects, no version rows; the schema is that of a revision",
        State(Untracked(("table t",), Exact(("one",)))),
        [("--adopt exact", {"adopt": AdoptPolicy.EXACT})],
    ),
    (
        "**untracked**: the schema is that of no revision",
        State(Untracked(("table t",), Nearest(("one",), _MISSING))),
        [("--adopt exact", {"adopt": AdoptPolicy.EXACT})],
    ),
    (
        "**ahead**: a newer revision, as the ledger proves; the schema serves this image",
        State(Ahead(("new",), ("new",), ())),
        [("--ahead refuse", {"ahead": AheadPolicy.REFUSE})],
    ),
    (
        "**ahead**: the schema does not serve it",
        State(Ahead(("new",), ("new",), _BREAKS)),
        [("--ahead accept", {"ahead": AheadPolicy.ACCEPT})],
    ),
    (
        "**unknown**: a revision of which nothing is proven; the schema serves this image",
        State(Unknown(("new",), ("new",), ())),
        [("--ahead compatible", {"ahead": AheadPolicy.COMPATIBLE})],
    ),
    (
        "**split**: a row twice, or beside its own ancestor; the schema proves which is right",
        State(Split(("one", "two"), ("one",), Exact(("two",)), ("two",))),
        [("--heal", {"heal": True})],
    ),
]

# What was found beside it: with a revision pending, with none, and the settings that answer otherwise.
_FINDINGS: Final[list[tuple[str, Any, list[tuple[str, dict[str, Any]]]]]] = [
    (
        "an earlier run left an invalid index",
        Residue((InvalidIndex("public", "t", "ix", "CREATE INDEX ix ON t (a)"),), ()),
        [("--heal", {"heal": True})],
    ),
    ("an applied revision was edited", Edited((_ONE,)), [("--edited warn", {"edited": EditedPolicy.WARN})]),
    (
        "something of the revision's schema is missing or changed",
        Drifted(_MISSING),
        [("--drift warn", {"drift": Judgement.WARN})],
    ),
    ("something is there that no revision made", Drifted(_EXTRA), [("--extra fail", {"extra": Judgement.FAIL})]),
    (
        "a pending revision breaks the release that is running",
        Breaking(((_BREAKS[0], _TWO),)),
        [
            ("--breaking refuse", {"breaking": BreakingPolicy.REFUSE}),
            ("--breaking hold", {"breaking": BreakingPolicy.HOLD}),
        ],
    ),
]


def _answer(state: State, **policy: Any) -> str:
    """What is decided, in few words."""
    decision = decide(_IMAGE, state, Policy(**policy))
    if not isinstance(decision, Plan):
        kind = decision.problem.kind
        return f"refused: [`{kind.code}`](../problems/{kind.code}.md), {int(kind.exit_code)}"
    words = {Adopt: "record the revision", Repair: "repair"}
    steps = ", ".join(words.get(type(step), "upgrade") for step in decision.steps)
    steps = steps or ("nothing yet" if decision.held else "nothing to do")
    return f"{steps}: `{decision.result}`{', with a warning' if decision.warnings else ''}"


def _otherwise(state: State, settings: list[tuple[str, dict[str, Any]]]) -> str:
    return "; ".join(f"`{flag}`: {_answer(state, **policy)}" for flag, policy in settings)


def positions() -> str:
    """The table of positions."""
    rows = [f"| {said} | {_answer(state)} | {_otherwise(state, others)} |" for said, state, others in _POSITIONS]
    return "\n".join(["| the database is | by default | with |", "|---|---|---|", *rows])


def findings() -> str:
    """The table of findings."""
    rows = []
    for said, finding, others in _FINDINGS:
        pending = State(_BEHIND, (finding,))
        none = "" if isinstance(finding, Breaking) else _answer(State(_HEAD, (finding,)))
        rows.append(f"| {said} | {_answer(pending)} | {none} | {_otherwise(pending, others)} |")
    return "\n".join(["| found | with a revision pending | with none | with |", "|---|---|---|---|", *rows])


def filled(page: str) -> str:
    """Put the tables into the page."""
    for name, table in (("positions", positions()), ("findings", findings())):
        begins = BEGINS.format(name=name)
        before, _, rest = page.partition(begins)
        _, _, after = rest.partition(ENDS)
        page = f"{before}{begins}\n{table}\n{ENDS}{after}"
    return page
