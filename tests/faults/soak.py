"""The soak: rounds of random faults against random runners (up, down, adopt; some heal, some back up); nothing is lost.

    python -m tests.faults.soak --rounds 200 [--seed N] [--first ROUND]

Prints the seed; the same seed gives the same faults, if not the same timing. Exits 1 at the first round that fails.
"""

from __future__ import annotations

import argparse
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import psycopg2

from migrate.shadow.embedded import throwaway_server
from tests.faults.conftest import Watcher, schema_of
from tests.support.process import Result, Running, alembic, migrate_command, minimal_environment
from tests.support.project import Project
from tests.support.proxy import Proxy
from tests.support.server import Database, Role, Server, create_database, create_role, drop_database

if TYPE_CHECKING:
    from collections.abc import Callable

REVISIONS = 8
EMPTY = "template0"
# What a run may answer under fire; everything else, 1 above all, is a bug.
ALLOWED = {0, 15, 20, 21, 22, 23, 25, 30, 31, 40, 41, 130, 143, -signal.SIGKILL}
TRIES = 6  # of the clean run that ends a round
OPEN = ["started", "partial"]  # the ledger's words for a step that nobody has closed


def write_history(project: Project) -> list[str]:
    """Write revisions that take their time, every third of which builds an index concurrently; and the ways back.

    A revision that took effect twice leaves two rows in the journal, and a downgrade that ran twice fails.
    """
    ids = [f"r{number:04}" for number in range(1, REVISIONS + 1)]
    for number, (id_, down) in enumerate(zip(ids, [None, *ids], strict=False)):
        if number == 0:
            work = (
                "op.execute('CREATE TABLE journal (revision text)')\n"
                "op.execute('CREATE TABLE items (id integer, name text)')\n"
                "op.execute(\"INSERT INTO items SELECT n, 'name ' || n FROM generate_series(1, 2000) n\")"
            )
            back = "op.execute('DROP TABLE items')\nop.execute('DROP TABLE journal')"
        elif number % 3 == 2:
            block = "with op.get_context().autocommit_block():\n    op.execute"
            work = f"{block}('{index_of(number).replace('INDEX', 'INDEX CONCURRENTLY')}')"
            back = f"{block}('DROP INDEX CONCURRENTLY items_{number}')\n{taken_back(id_)}"
        else:
            work = f"op.execute('ALTER TABLE items ADD COLUMN c{number} integer')\nop.execute('SELECT pg_sleep(0.15)')"
            back = f"op.execute('ALTER TABLE items DROP COLUMN c{number}')\n{taken_back(id_)}"
        done = f"op.execute(\"INSERT INTO journal VALUES ('{id_}')\")"
        project.revision(id_, down=down, message="step", upgrade=f"{work}\n{done}", downgrade=back)
    return ids


def index_of(number: int) -> str:
    """The statement that makes a revision's index."""
    return f"CREATE INDEX items_{number} ON items (name, id)"


def taken_back(id_: str) -> str:
    """The end of a downgrade."""
    return (
        f"op.execute(\"DO $$ BEGIN DELETE FROM journal WHERE revision = '{id_}';"
        " IF NOT FOUND THEN RAISE 'taken back twice'; END IF; END $$\")"
    )


@dataclass(frozen=True, slots=True)
class Beginnings:
    """The databases that a round may begin with a copy of."""

    at_head: str
    untracked: str  # the schema of a revision in the middle, and no version table


class Round:
    """One database, some runners, some faults."""

    def __init__(
        self, server: Server, role: Role, project: Project, beginnings: Beginnings, chance: random.Random
    ) -> None:
        """Make the database: an empty one, one at the head, from where one can go back, or one to be adopted."""
        self.chance = chance
        self.project = project
        template = chance.choices([EMPTY, beginnings.at_head, beginnings.untracked], [45, 35, 20])[0]
        self.goes_back = template == beginnings.at_head
        self.is_untracked = template == beginnings.untracked
        self.database: Database = create_database(server, name=None, owner=role, encoding="UTF8", template=template)
        parts = urlsplit(self.database.url)
        self.proxy = Proxy(parts.hostname or "", parts.port or 0)
        self.told: list[str] = []
        self.runners: list[Running] = []

    def run(self) -> Counter[int]:
        """Start the runners, do things to them, wait for their ends; the exit codes. Raises AssertionError."""
        watcher = Watcher(self.database)
        runners = self.runners = [self.start() for _ in range(self.chance.randint(1, 4))]
        faults: list[Callable[[list[Running]], None]] = [
            self.kill, self.terminate, self.interrupt, self.cut, self.cut, self.silence, self.end_backend, self.lock,
        ]  # fmt: skip
        for _ in range(self.chance.randint(1, 4)):
            time.sleep(self.chance.uniform(0.1, 1.5))
            self.chance.choice(faults)(runners)
        results = [runner.finish(240) for runner in runners]
        watcher.end()
        self.proxy.__exit__()
        self.database.close()
        assert watcher.most <= 1, "two runs were at work at once"
        for result in results:
            self.check(result)
        return Counter(result.exit_code for result in results)

    def start(self) -> Running:
        """Start a runner, through the proxy or not."""
        url = self.proxy.url(self.database.url) if self.chance.random() < 0.6 else self.database.url
        verb = ["up", "--adopt", "exact"]
        if self.chance.random() < (0.6 if self.goes_back else 0.1):
            verb = ["down", "--allow-data-loss", "--to", f"r{self.chance.randint(1, REVISIONS - 1):04}"]
            self.told.append(f"down to {verb[-1]}")
        elif self.is_untracked and self.chance.random() < 0.3:
            verb = ["adopt"]
            self.told.append("adopt")
        elif self.chance.random() < 0.3:
            verb.append("--heal")
            self.told.append("heal")
        if verb[0] != "adopt" and self.chance.random() < 0.2:
            verb += ["--backup", str(self.project.path / "backups")]
            self.told.append("backup")
        return Running(
            migrate_command(*verb, "--lock-timeout", "500ms", "--connect-timeout", "10"),
            cwd=self.project.path,
            env={**minimal_environment(), "DATABASE_URL": url},
            password=self.database.password,
        )

    def check(self, result: Result) -> None:
        """Assert what every run owes."""
        finished = result.finished or {}
        too_early = finished.get("verb") == "down" and finished.get("problem") == "unknown-target"
        assert result.exit_code in ALLOWED or too_early, result.stdout.decode() + result.stderr.decode()
        if result.exit_code != -signal.SIGKILL:
            result.check_clean()

    def kill(self, runners: list[Running]) -> None:
        """Kill -9."""
        self.told.append("kill")
        self.chance.choice(runners).signal(signal.SIGKILL)

    def terminate(self, runners: list[Running]) -> None:
        """SIGTERM."""
        self.tell(runners, signal.SIGTERM)

    def interrupt(self, runners: list[Running]) -> None:
        """SIGINT."""
        self.tell(runners, signal.SIGINT)

    def tell(self, runners: list[Running], number: signal.Signals) -> None:
        """Send a signal, to a runner that has begun: before, Python itself answers."""
        runner = self.chance.choice(runners)
        if runner.so_far.stdout:
            self.told.append(number.name)
            runner.signal(number)

    def cut(self, _: list[Running]) -> None:
        """Cut every connection of a role."""
        role = self.chance.choice(["guard", "control", "worker", None])
        self.told.append(f"cut {role or 'all'}")
        self.proxy.each(lambda link: link.cut(), role)

    def silence(self, _: list[Running]) -> None:
        """Let the workers' connections fall silent."""
        self.told.append("silence")
        self.proxy.each(lambda link: link.silence(), "worker")

    def end_backend(self, _: list[Running]) -> None:
        """End one of our backends on the server."""
        self.told.append("pg_terminate_backend")
        role = self.chance.choice(["guard", "control", "worker"])
        self.database.as_superuser.rows(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            f" AND application_name LIKE 'migrate:{role}:%'"
        )

    def lock(self, _: list[Running]) -> None:
        """Hold a lock for a moment."""
        self.told.append("lock")
        mode = self.chance.choice(["ACCESS SHARE", "ROW EXCLUSIVE"])
        with suppress(psycopg2.Error), closing(psycopg2.connect(self.database.url)) as connection:
            connection.cursor().execute(f"LOCK TABLE items IN {mode} MODE")
            time.sleep(self.chance.uniform(0.2, 1.5))

    def converge(self, head: str, expected: dict[str, str], ids: list[str]) -> None:
        """Run until the head is reached, putting right what is refused with 15; then everything took effect once."""
        for _ in range(TRIES):
            result = self.clean("up", "--adopt", "exact")
            if result.exit_code == 0:
                break
            assert result.exit_code == 15, result.stdout.decode()
            assert result.finished is not None
            assert result.finished["problem"] == "residue", result.stdout.decode()
            self.put_right()
        if self.open_steps():  # a run with nothing to do writes nothing; the next that does something closes what died
            self.told.append("back and forth")
            for way in (("down", "--allow-data-loss", "--to", ids[-2]), ("up",)):
                done = self.clean(*way)
                assert done.exit_code == 0, done.stdout.decode()
        assert self.database.rows("SELECT version_num FROM alembic_version") == [(head,)]
        assert [row[0] for row in self.database.rows("SELECT revision FROM journal ORDER BY 1")] == ids
        assert schema_of(self.database) == expected
        assert self.open_steps() == []

    def open_steps(self) -> list[tuple[Any, ...]]:
        """The ledger's steps that nobody has closed."""
        return [step for step in self.ledger() if step[4] in OPEN]

    def put_right(self) -> None:
        """As an operator would: `migrate repair --yes`, and by hand only what that leaves.

        That is a whole index of a revision that is not recorded, and a missing one of a revision that still is.
        """
        self.told.append("repair")
        left = self.clean("repair", "--yes")
        if left.exit_code == 0:
            return
        assert left.finished is not None
        assert (left.exit_code, left.finished["problem"]) == (15, "residue"), left.stdout.decode()
        assert self.database.rows("SELECT indexrelid FROM pg_index WHERE NOT indisvalid") == [], left.stdout.decode()
        for _, _, kind, revision, *_ in self.open_steps():
            number = int(revision[1:]) - 1
            by_hand = f"DROP INDEX items_{number}" if kind == "upgrade" else index_of(number)
            self.told.append(by_hand)
            self.database.execute(by_hand)
        again = self.clean("repair", "--yes")
        assert again.exit_code == 0, again.stdout.decode()

    def explain(self) -> None:
        """Print what the runners of a failed round said, and what the ledger holds."""
        for number, runner in enumerate(self.runners, 1):
            print(f"-- runner {number}")
            for event in runner.so_far.events:
                print(event["timestamp"], event["event"], event["message"][:200])
        print("-- ledger")
        for step in self.ledger():
            print(*step)

    def ledger(self) -> list[tuple[Any, ...]]:
        """The steps in their order; none where nothing was done, to a database that was at the head from the beginning."""
        if self.database.scalar("SELECT to_regclass('migrate.step')") is None:
            return []
        columns = "step_id, run_id, kind, revision, status, started_at::text, finished_at::text, xid, details"
        return self.database.rows(f"SELECT {columns} FROM migrate.step ORDER BY step_id")

    def clean(self, *arguments: str) -> Result:
        """Run `migrate` without a fault."""
        result = Running(
            migrate_command(*arguments),
            cwd=self.project.path,
            env={**minimal_environment(), "DATABASE_URL": self.database.url},
            password=self.database.password,
        ).finish(120)
        result.check_clean()
        return result


def main() -> int:
    """Run the rounds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--first", type=int, default=1)
    asked = parser.parse_args()
    print(f"seed {asked.seed}", flush=True)
    folder = Path(tempfile.mkdtemp(prefix="migrate-soak-"))
    codes: Counter[int] = Counter()
    try:
        project = Project(folder / "project")
        ids = write_history(project)
        (project.path / "backups").mkdir()
        with throwaway_server(settings={"max_connections": "200"}) as started:
            server = Server(started.url())
            role = create_role(server, name=None, password=None, options="NOSUPERUSER")
            reference, untracked = (
                create_database(server, name=None, owner=role, encoding="UTF8", template=EMPTY) for _ in range(2)
            )
            alembic(project, reference, "upgrade", "head")
            expected = schema_of(reference)
            alembic(project, untracked, "upgrade", ids[REVISIONS // 2])
            untracked.execute("DROP TABLE alembic_version")
            beginnings = Beginnings(reference.name, untracked.name)
            with_shadow = {**minimal_environment(), "MIGRATE_SHADOW_URL": server.url()}
            made = Running(migrate_command("manifest"), cwd=project.path, env=with_shadow).finish(120)
            assert made.exit_code == 0, made.stdout.decode()
            for number in range(asked.first, asked.first + asked.rounds):
                this = Round(server, role, project, beginnings, random.Random(f"{asked.seed}/{number}"))
                try:
                    found = this.run()
                    this.converge(ids[-1], expected, ids)
                except (AssertionError, psycopg2.Error):
                    print(f"round {number} failed after {', '.join(this.told)}: --seed {asked.seed} --first {number}")
                    traceback.print_exc(file=sys.stdout)
                    this.explain()
                    return 1
                codes += found
                print(f"round {number}: {', '.join(this.told)} -> {dict(found)}", flush=True)
                drop_database(this.database)
    finally:
        shutil.rmtree(folder)
    print(f"{asked.rounds} rounds, nothing lost; exit codes {dict(sorted(codes.items()))}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
