"""The way out of a verb that does not come back in time."""

import json
import signal
import subprocess
import sys

PROGRAM = """
import time
from migrate.job.front_door import conduct
from migrate.job.voice import Speech

def body(session):
    print("began", flush=True)
    time.sleep(60)

conduct("status", {}, body, speech=Speech.JSON)
"""


def test_one_object_is_said_when_a_signals_grace_is_over(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PROGRAM], cwd=tmp_path, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout.readline() == "began\n"
        running.send_signal(signal.SIGTERM)
        said, _ = running.communicate(timeout=30)
    assert running.returncode == 143
    found = json.loads(said)
    assert (found["event"], found["outcome"], found["exit_code"]) == ("run.finished", "interrupted", 143)
