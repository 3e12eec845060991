"""The command line: finds the verb, calls it, prints its answer and exits with its code; the only exit and `print`."""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, NoReturn

from migrate.commands import plain
from migrate.core.problems import ExitCode

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.job.voice import Answer


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command and exit with its code.

    At once: everything is flushed and closed, and taking the interpreter down is an eighth of a run with nothing to do.
    On the way it would give the signals their defaults back, and one of them another code.
    """
    os._exit(run(list(sys.argv[1:] if arguments is None else arguments)))


def run(arguments: list[str]) -> int:
    """Run the command; its exit code."""
    if arguments[:1] == ["migrate"]:  # a platform that keeps the image's ENTRYPOINT and is given `migrate up`
        arguments = arguments[1:]
    flags = plain.flags_of_up(arguments)
    if flags is not None:
        from migrate.commands.release import release

        return _finish(release(**flags), arguments)
    return _through_click(arguments)


def _through_click(arguments: list[str]) -> int:
    """Run any command, or say what is wrong with it; the exit code."""
    import click

    from migrate.command_line import VERBS, cli

    try:
        answer = cli.main(arguments, prog_name="migrate", standalone_mode=False)
    except click.ClickException as error:
        from migrate.commands.usage import report_usage

        return report_usage(error, arguments, VERBS)
    except click.exceptions.Abort:
        return int(ExitCode.INTERRUPTED)
    except OSError as error:  # --help, on a full disk
        return _unwritten(error)
    if isinstance(answer, int):  # --help and --version
        return answer
    return _finish(answer, arguments)


def _finish(answer: Answer, arguments: Sequence[str]) -> int:
    """Print what a verb has to say; its exit code."""
    if answer.text:
        try:
            print(answer.text, flush=True)
        except BrokenPipeError:  # `| head` has read enough; what is left must not fail again at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        except OSError as error:
            from migrate.settings import CHANGING_VERBS

            code = _unwritten(error)
            return code if arguments[0] not in CHANGING_VERBS else int(answer.exit_code)  # what was done is done
    return int(answer.exit_code)


def _unwritten(error: OSError) -> int:
    """Say that what was asked for could not be written to stdout; the exit code for that."""
    with suppress(OSError):
        print(f"migrate: stdout cannot be written: {error.strerror}", file=sys.stderr, flush=True)
    return int(ExitCode.USAGE)
