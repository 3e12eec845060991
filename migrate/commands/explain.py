"""`migrate explain CODE`: what a problem or an exit code means, and what to do."""

from __future__ import annotations

import json
import shutil
import sys
from difflib import get_close_matches

import click

from migrate.commands.session import Answer
from migrate.commands.verb import verb
from migrate.core.problems import CATALOGUE, EXIT_MEANINGS, ExitCode, kinds_of
from migrate.report.terminal import exit_explanation, explanation


@verb("explain", exits=(ExitCode.OK, ExitCode.USAGE), settings=False)
@click.argument("code")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def explain(code: str, *, as_json: bool) -> Answer:
    """Explain CODE: a problem (untracked) or an exit code (15). Connects to nothing."""
    known_exits = {str(int(known)): known for known in ExitCode}
    if code in CATALOGUE:
        kind = CATALOGUE[code]
        fields = {
            "problem": kind.code,
            "title": kind.title,
            "condition": kind.condition,
            "effect": kind.effect,
            "fix": None if kind.fix_is_of_the_case else kind.general_fix,
            **_exit_fields(kind.exit_code),
        }
        text = explanation(kind, _width())
    elif code in known_exits:
        exit_code = known_exits[code]
        kinds = kinds_of(exit_code)
        fields = {
            **_exit_fields(exit_code),
            "meaning": EXIT_MEANINGS[exit_code],
            "problems": [kind.code for kind in kinds],
        }
        text = exit_explanation(exit_code, kinds)
    else:
        close = get_close_matches(code, [*CATALOGUE, *known_exits], n=3, cutoff=0.5)
        like = f"; the closest are {', '.join(close)}" if close else ""
        raise click.BadParameter(f"{code!r} is neither a problem nor an exit code of migrate{like}", param_hint="CODE")
    return Answer(int(ExitCode.OK), json.dumps(fields) if as_json else text.rstrip("\n"))


def _exit_fields(code: ExitCode) -> dict[str, object]:
    return {"exit_code": int(code), "exit_name": code.label, "retryable": code.retryable}


def _width() -> int | None:
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None
