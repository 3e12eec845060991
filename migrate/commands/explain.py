"""`migrate explain CODE`: what a problem or an exit code means, and what to do."""

from __future__ import annotations

import json
import shutil
import sys
from difflib import get_close_matches

import click

from migrate.commands.usage import WrongWord
from migrate.commands.verb import verb
from migrate.core.foresee.advice import KINDS as EFFECTS
from migrate.core.foresee.advice import example
from migrate.core.problems import CATALOGUE, EXIT_MEANINGS, ExitCode, kinds_of, migrate, shell
from migrate.core.problems.examples import EXAMPLES
from migrate.job.voice import Answer
from migrate.output.terminal import every_explanation, exit_explanation, explanation


@verb("explain", exits=(ExitCode.OK, ExitCode.USAGE), settings=False)
@click.argument("code", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(code: str | None, *, as_json: bool) -> Answer:
    """Explain CODE: a problem (untracked), an exit code (15), or the safe way to an effect (not-null).

    Without CODE, list them. Connects to nothing.
    """
    known_exits = {str(int(known)): known for known in ExitCode}
    fields: dict[str, object]
    if code is None:
        fields = {"exit_codes": [{**_exit_fields(each), "problems": _codes(each)} for each in ExitCode]}
        text = every_explanation(_width(), EFFECTS)
    elif code in CATALOGUE:
        kind, case = CATALOGUE[code], EXAMPLES[code]
        fields = {
            "problem": kind.code,
            "title": kind.title,
            "condition": kind.condition,
            "effect": kind.effect,
            "fix": None if kind.fix_is_of_the_case else str(kind.general_fix),
            **_exit_fields(kind.exit_code),
            "example": {"bad": case.bad.code, "good": case.good.code},
        }
        text = explanation(kind, case, _width())
    elif code in known_exits:
        exit_code = known_exits[code]
        fields = {
            **_exit_fields(exit_code),
            "meaning": EXIT_MEANINGS[exit_code],
            "problems": _codes(exit_code),
        }
        text = exit_explanation(exit_code, kinds_of(exit_code))
    elif code in EFFECTS:
        effect, way = example(code)
        fields = {"effect": effect, "safer": way.to_json()}
        text = "\n".join((f"{code}: for example {effect}", *(f"  {line}".rstrip() for line in way.lines())))
    else:
        close = get_close_matches(code, [*CATALOGUE, *known_exits, *EFFECTS], n=3, cutoff=0.5)
        like = f"; the closest are {', '.join(close)}" if close else ""
        why = f"{code!r} is neither a problem, an exit code nor an effect of migrate{like}"
        raise WrongWord(why, param_hint="CODE", fix=shell(migrate("explain", close[0])) if close else None)
    return Answer(int(ExitCode.OK), json.dumps(fields) if as_json else text.rstrip("\n"))


def _codes(code: ExitCode) -> list[str]:
    return [kind.code for kind in kinds_of(code)]


def _exit_fields(code: ExitCode) -> dict[str, object]:
    return {"exit_code": int(code), "exit_name": code.label, "retryable": code.retryable}


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
