"""Tells people how a run ended, through apprise in a process of its own, which is ended when its time is over.

Never a reason for a run to fail: what could not be told is a sentence for the log.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from migrate.core.notification import Notification

TOTAL_S: Final = 10.0
INSTALL: Final = "pip install 'migrate-job[notify]'"

_STYLES: Final = {"failure": "failure", "refusal": "warning", "success": "success"}


def notify(addresses: Sequence[str], message: Notification) -> list[str]:
    """Send the message to every address at once; what went wrong, without any part of an address.

    Takes at most ``TOTAL_S`` seconds, and never raises.
    """
    if importlib.util.find_spec("apprise") is None:
        return [f"nobody was told, because apprise is not installed: {INSTALL}"]
    told = {
        "addresses": list(addresses),
        "title": message.title,
        "body": message.body,
        "style": _STYLES[message.occasion],
    }
    try:
        # A process and not a thread: libraries of strangers print, and a hanging one could not be ended.
        child = subprocess.Popen(
            [sys.executable, "-m", "migrate.output.notify"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
    except OSError as error:
        return [f"nobody was told: the process that does it could not be started ({error.strerror})"]
    with child:
        try:
            said, _ = child.communicate(json.dumps(told), TOTAL_S)
        except subprocess.TimeoutExpired:
            child.kill()
            said, _ = child.communicate()
    answers: dict[int, str] = {}
    for line in said.splitlines():
        with suppress(ValueError):
            number, answer = json.loads(line)
            answers[number] = answer
    wrong = []
    for number, address in enumerate(addresses, 1):
        answer = answers.get(number, f"no answer within {TOTAL_S:g} s")
        if answer != "sent":
            wrong.append(f"notification {number} of {len(addresses)} ({address.partition('://')[0]}): {answer}")
    return wrong


def _main() -> None:
    """The process: reads the message, sends it to every address in a thread of its own, writes a line for each."""
    import logging
    import threading

    import apprise

    logging.disable()  # it would quote addresses
    told = json.load(sys.stdin)
    lock = threading.Lock()

    def say(number: int, answer: str) -> None:
        with lock:
            sys.stdout.write(json.dumps([number, answer]) + "\n")
            sys.stdout.flush()

    def send(number: int, service: apprise.Apprise) -> None:
        sent = service.notify(body=told["body"], title=told["title"], notify_type=told["style"])
        say(number, "sent" if sent else "the service did not take it")

    threads = []
    for number, address in enumerate(told["addresses"], 1):
        service = apprise.Apprise()
        # not in the threads: older versions load their services at the first address, and not safely for two at once
        if service.add(address):
            threads.append(threading.Thread(target=send, args=(number, service), daemon=True))
        else:
            say(number, "the address is not one that apprise knows")
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


if __name__ == "__main__":
    _main()
