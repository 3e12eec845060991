"""An example of each kind of problem: what leads to it, and what fixes it. Imported where problems are explained alone.

`text` is what is shown somewhere, and a situation is told in words; everything else can be pasted after names were replaced.
"""

from __future__ import annotations

from textwrap import dedent
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from migrate.core.value import Value

if TYPE_CHECKING:
    from collections.abc import Mapping


class Snippet(Value):
    """A piece of code, or of what happens; ``language`` is that of a block in Markdown, and of words there is none."""

    language: str | None
    code: str


class Example(Value):
    """What leads to a problem, and what fixes it."""

    bad: Snippet
    good: Snippet


def _py(code: str) -> Snippet:
    return Snippet("python", dedent(code).strip("\n"))


def _sh(code: str) -> Snippet:
    return Snippet("sh", dedent(code).strip("\n"))


def _sql(code: str) -> Snippet:
    return Snippet("sql", dedent(code).strip("\n"))


def _toml(code: str) -> Snippet:
    return Snippet("toml", dedent(code).strip("\n"))


def _ini(code: str) -> Snippet:
    return Snippet("ini", dedent(code).strip("\n"))


def _text(code: str) -> Snippet:
    return Snippet("text", dedent(code).strip("\n"))


def _situation(words: str) -> Snippet:
    return Snippet(None, dedent(words).strip("\n"))


EXAMPLES: Final[Mapping[str, Example]] = MappingProxyType(
    {
        "internal": Example(
            _text("""
            ✗ migrate has a bug (internal, exit code 1)
              why          KeyError: 'a3f1'
            """),
            _sh("""
            MIGRATE_DEBUG=1 migrate up        # once more, with the traceback; report it with the lines of the run
            migrate status                    # where the database is now
            """),
        ),
        "usage": Example(
            _sh("migrate up --breaking never"),
            _sh("migrate up --breaking refuse        # the values: migrate up --help"),
        ),
        "no-database-url": Example(
            _sh("""
            export DB_HOST=db DB_USER=app DB_PASSWORD=PASSWORD    # parts of a URL, which migrate does not put together
            migrate up
            """),
            _sh("""
            export DATABASE_URL='postgresql://app:PASSWORD@db:5432/app'
            migrate up
            """),
        ),
        "bad-database-url": Example(
            _sh("export DATABASE_URL='postgresql://app:p@ss/w@db:5432/app'        # where does the password end?"),
            _sh("export DATABASE_URL='postgresql://app:p%40ss%2Fw@db:5432/app'    # @ is %40, / is %2F"),
        ),
        "bad-setting": Example(
            _sh("export MIGRATE_LOCK_TIMEOUT='2 seconds'"),
            _sh("export MIGRATE_LOCK_TIMEOUT=2s"),
        ),
        "bad-tenants": Example(
            _toml("""
            [tool.migrate.tenants]
            file = "tenants.txt"               # is not in the image
            """),
            _toml("""
            [tool.migrate.tenants]
            query = "SELECT name, schema_name FROM public.customers"      # each tenant's name, and its schema
            """),
        ),
        "tenants-failed": Example(
            _text("""
            acme   failed 30   revision 0042 failed: column "tier" already exists
            blue   ok
            coral  ok
            """),
            _sh("""
            migrate verify --tenant acme        # what is different there; correct it, then
            migrate up                          # takes acme again, and passes over those that are done
            """),
        ),
        "tenant-needed": Example(
            _sh("migrate down --to 0041"),
            _sh("migrate down --to 0041 --tenant acme"),
        ),
        "other-environment": Example(
            _py("""
            def upgrade() -> None:
                if os.environ["REGION"] == "eu":  # eu in the release, nothing when the manifest was written
                    op.add_column("customers", sa.Column("vat_id", sa.Text))
            """),
            _toml("""
            [tool.migrate]
            environ = ["REGION=eu"]            # then: migrate manifest --full
            """),
        ),
        "missing-tenant": Example(
            _sh("migrate up --tenant acme                # there is no schema of that name"),
            _sh("migrate up --tenant acme --create       # makes it, and runs the history there"),
        ),
        "sync-driver": Example(
            _sh(
                "export DATABASE_URL='postgresql://app:PASSWORD@db/app'             # env.py makes an async engine of it"
            ),
            _sh("export DATABASE_URL='postgresql+asyncpg://app:PASSWORD@db/app'"),
        ),
        "no-alembic-config": Example(
            _sh("cd /app && migrate up                                # the file is /app/backend/alembic.ini"),
            _sh("cd /app && migrate up --config backend/alembic.ini"),
        ),
        "bad-alembic-config": Example(
            _ini("""
            [alembic]
            # the folder is called migrations
            script_location = %(here)s/alembic
            """),
            _ini("""
            [alembic]
            script_location = %(here)s/migrations
            """),
        ),
        "no-manifest": Example(
            _sh("MIGRATE_BREAKING=refuse migrate up        # nothing says what the pending revisions change"),
            _sh("""
            migrate manifest                          # writes manifest.json beside the versions folder
            git add '*manifest.json' && git commit -m 'Add the manifest'
            """),
        ),
        "no-shadow": Example(
            _sh("pip install migrate-job && migrate manifest        # no PostgreSQL that could be started"),
            _sh("pip install 'migrate-job[embedded]' && migrate manifest"),
        ),
        "shadow-lacks": Example(
            _py("""
            def upgrade() -> None:
                op.execute("CREATE EXTENSION postgis")  # the embedded server does not have it
            """),
            _sh("""
            docker run -d -p 5433:5432 -e POSTGRES_PASSWORD=PASSWORD postgis/postgis:17-3.5
            export MIGRATE_SHADOW_URL='postgresql://postgres:PASSWORD@localhost:5433/postgres'
            migrate manifest
            """),
        ),
        "shadow-is-target": Example(
            _sh("MIGRATE_SHADOW_URL=$DATABASE_URL migrate manifest"),
            _sh("MIGRATE_SHADOW_URL='postgresql://postgres:PASSWORD@localhost:5433/postgres' migrate manifest"),
        ),
        "clone-is-target": Example(
            _sh('migrate test --on "$DATABASE_URL"        # would run the pending revisions in production'),
            _sh("migrate test --on 'postgresql://app:PASSWORD@clone.example.com:5432/app'"),
        ),
        "bad-baseline": Example(
            _sql("""
            -- baseline.sql, of a database in which the first revision has already run
            CREATE TABLE legacy (id bigint);
            ALTER TABLE orders OWNER TO somebody;          -- no such table, no such role
            """),
            _sh("""
            pg_dump --schema-only --no-owner --no-privileges "$URL_BEFORE_THE_FIRST_REVISION" > baseline.sql
            migrate manifest --baseline baseline.sql
            """),
        ),
        "cannot-back-up": Example(
            Snippet(
                "dockerfile",
                "FROM python:3.13-slim                # has no pg_dump\nRUN pip install migrate-job",
            ),
            Snippet(
                "dockerfile",
                "FROM python:3.13-slim\n"
                "RUN pip install 'migrate-job[embedded]'      # brings pg_dump; or postgresql-client of the server's version",
            ),
        ),
        "several-heads": Example(
            _text("""
            0041 ── 0042_add_tier        from one branch
                 └─ 0042_add_region      from another, merged the same day
            """),
            _sh("""
            alembic merge -m 'merge heads' heads        # a revision that has both as parents; commit it
            migrate manifest
            """),
        ),
        "bad-history": Example(
            _py("""
            # versions/0043_add_region.py
            revision = "0043"
            down_revision = "0042"  # renamed to 0042_add_tier in another branch
            """),
            _py("""
            # versions/0043_add_region.py
            revision = "0043"
            down_revision = "0042_add_tier"
            """),
        ),
        "empty-history": Example(
            _text("""
            # .dockerignore
            **/versions
            """),
            _text("""
            # .dockerignore
            **/versions/__pycache__
            """),
        ),
        "unknown-target": Example(
            _sh("migrate up --target 0099           # no such revision in this image"),
            _sh("migrate up --target head"),
        ),
        "bad-manifest": Example(
            _text("""
            <<<<<<< HEAD
              {"id": "0042", "down": ["0041"], ...
            =======
              {"id": "0043", "down": ["0041"], ...
            >>>>>>> feature
            """),
            _sh("""
            git checkout main -- migrations/manifest.json      # either side: it is made again
            migrate manifest
            """),
        ),
        "stale-manifest": Example(
            _sh("""
            git add migrations/versions/0042_add_tier.py
            git commit -m 'Add tier'                           # without the manifest
            """),
            _sh("""
            migrate manifest
            git add migrations && git commit -m 'Add tier'
            """),
        ),
        "failed-trial": Example(
            _py("""
            def upgrade() -> None:  # fails on a table that has rows
                op.add_column("customers", sa.Column("tier", sa.Text, nullable=False))
            """),
            _py("""
            def upgrade() -> None:
                op.add_column("customers", sa.Column("tier", sa.Text, nullable=False, server_default="basic"))
            """),
        ),
        "baseline-needed": Example(
            _py("""
            down_revision = None  # the first revision, of a database that was there before Alembic


            def upgrade() -> None:
                op.add_column("legacy_orders", sa.Column("state", sa.Text))
            """),
            _sh("""
            pg_dump --schema-only --no-owner --no-privileges "$URL_BEFORE_THE_FIRST_REVISION" > baseline.sql
            migrate manifest --baseline baseline.sql
            """),
        ),
        "edited-revision": Example(
            _text("""
            versions/0041_add_email.py      applied in production on Monday, edited on Tuesday
            - op.add_column("customers", sa.Column("email", sa.Text))
            + op.add_column("customers", sa.Column("email", sa.String(320)))
            """),
            _py("""
            # versions/0042_email_320.py; 0041 is as it was: git checkout RELEASE -- versions/0041_add_email.py
            def upgrade() -> None:
                op.alter_column("customers", "email", type_=sa.String(320))
            """),
        ),
        "env-cannot-run": Example(
            _py("""
            # env.py
            from app.main import app  # imports the whole service, and a package that this image lacks
            from app.models import Base
            """),
            _py("""
            # env.py
            from app.models import Base
            """),
        ),
        "no-flask-app": Example(
            _sh("migrate up                            # the application is made by a function in shop/__init__.py"),
            _sh("FLASK_APP='shop:create_app' migrate up"),
        ),
        "env-holds-transaction": Example(
            _py("""
            # env.py
            with connectable.begin() as connection:
                context.configure(connection=connection, target_metadata=target_metadata)
                with context.begin_transaction():
                    context.run_migrations()
            """),
            _py("""
            # env.py
            with connectable.connect() as connection:
                context.configure(connection=connection, target_metadata=target_metadata)
                with context.begin_transaction():
                    context.run_migrations()
            """),
        ),
        "not-permitted": Example(
            _sh("MIGRATE_BACKUP_POLICY=required migrate up                             # and no place for a backup"),
            _sh("MIGRATE_BACKUP_POLICY=required MIGRATE_BACKUP=/backups migrate up"),
        ),
        "data-loss": Example(
            _sh("migrate down --to 0041        # drops customers.tier, which is filled in 4,212 rows"),
            _sh("migrate down --to 0041 --allow-data-loss --backup /backups        # if they may go"),
        ),
        "backup-failed": Example(
            _situation("/backups is a volume of 10 GB, and the dump of the database needs 14 GB."),
            _sh("""
            df -h /backups                        # make room, or name a larger place:
            migrate up --backup /large-backups --strict
            """),
        ),
        "restore-failed": Example(
            _sh("migrate restore /backups/app.dump.part --schemas public        # a dump that was cut off"),
            _sh("""
            pg_restore --list /backups/app.dump > /dev/null && sha256sum /backups/app.dump      # whole, and the one of the log
            migrate restore /backups/app.dump --schemas public
            """),
        ),
        "breaking-change": Example(
            _py("""
            def upgrade() -> None:  # in the release whose predecessor still reads the column
                op.drop_column("customers", "fax")
            """),
            _text("""
            release 12   the code no longer uses customers.fax; no revision
            release 13   op.drop_column("customers", "fax"): the release that is still running is 12
            """),
        ),
        "heavy-change": Example(
            _py("""
            def upgrade() -> None:  # writes to orders wait until the index is built
                op.create_index("ix_orders_state", "orders", ["state"])
            """),
            _py("""
            def upgrade() -> None:
                with op.get_context().autocommit_block():
                    op.create_index("ix_orders_state", "orders", ["state"], postgresql_concurrently=True)
            """),
        ),
        "not-foreseen": Example(
            _sh("MIGRATE_HEAVY=refuse migrate up        # 0042 was edited after the manifest was written"),
            _sh("""
            migrate manifest
            git commit -am 'Bring the manifest up to date'
            """),
        ),
        "files-exist": Example(
            _sh("migrate init compose                   # compose.release.yaml is there, and was edited"),
            _sh("""
            git commit -am 'Before init' && migrate init compose --force
            git diff                               # take back what was yours
            """),
        ),
        "not-writable": Example(
            _sh("export DATABASE_URL='postgresql://app:PASSWORD@replica:5432/app'"),
            _sh("""
            export DATABASE_URL='postgresql://app:PASSWORD@primary:5432/app'
            # or, of several hosts, the one that can be written to:
            export DATABASE_URL='postgresql://app:PASSWORD@db-1,db-2/app?target_session_attrs=read-write'
            """),
        ),
        "unsupported-server": Example(
            Snippet("yaml", "services:\n  db:\n    image: postgres:12"),
            Snippet(
                "yaml", "services:\n  db:\n    image: postgres:17        # after pg_upgrade, or a dump and restore"
            ),
        ),
        "missing-extension": Example(
            _text("""
            a pending revision:   op.execute("CREATE EXTENSION vector")
            the server's image:   postgres:17, which has no pgvector
            """),
            Snippet("yaml", "services:\n  db:\n    image: pgvector/pgvector:pg17"),
        ),
        "other-database": Example(
            _py("""
            # env.py
            connectable = create_engine("postgresql://app@localhost/app_dev")
            """),
            _py("""
            # env.py
            connectable = create_engine(config.get_main_option("sqlalchemy.url"))
            """),
        ),
        "other-server": Example(
            _py("""
            # env.py
            connectable = create_engine(f"postgresql://app@{os.environ['STORE_ADDRESS']}/app")
            """),
            _toml("""
            [tool.migrate]
            shadow_environ = ["STORE_ADDRESS={host}:{port}"]      # in a replay; or let env.py read DATABASE_URL
            """),
        ),
        "other-version-table": Example(
            _py("""
            # env.py: computed, so that it cannot be read from the text
            context.configure(connection=connection, version_table=settings.version_table)
            """),
            _toml("""
            [tool.migrate]
            version_table = "app_version"
            """),
        ),
        "missing-schema": Example(
            _py("""
            # env.py
            connection.execute(text("SET search_path TO shop"))  # there is no schema shop
            """),
            _sql("CREATE SCHEMA shop;"),
        ),
        "several-targets": Example(
            _py("""
            # env.py
            for schema in ["tenant_a", "tenant_b"]:
                context.configure(connection=connection, version_table_schema=schema)
                context.run_migrations()
            """),
            _py("""
            # env.py, run once for each tenant with: x = ["schema={schema}"] in [tool.migrate]
            schema = context.get_x_argument(as_dictionary=True)["schema"]
            context.configure(connection=connection, version_table_schema=schema)
            context.run_migrations()
            """),
        ),
        "pooler-session": Example(
            _sh("export DATABASE_URL='postgresql://app:PASSWORD@pooler.example.com:6543/app'"),
            _sh("""
            export DATABASE_URL='postgresql://app:PASSWORD@pooler.example.com:6543/app'           # for the service
            export DATABASE_UNPOOLED_URL='postgresql://app:PASSWORD@db.example.com:5432/app'      # migrate takes this one
            """),
        ),
        "authentication": Example(
            _situation("The password was changed at the provider; the job still has the old DATABASE_URL."),
            _sh(
                "psql \"$DATABASE_URL\" -c 'SELECT 1'        # after DATABASE_URL was set to the new one, where the job runs"
            ),
        ),
        "no-database": Example(
            _sh("export DATABASE_URL='postgresql://app:PASSWORD@db/shop'        # the server has shop_production"),
            _sh("export DATABASE_URL='postgresql://app:PASSWORD@db/shop_production'"),
        ),
        "no-tls": Example(
            _sh(
                "export DATABASE_URL='postgresql://app:PASSWORD@db/app?sslmode=require'       # the server has ssl = off"
            ),
            _sh("export DATABASE_URL='postgresql://app:PASSWORD@db/app?sslmode=prefer'        # in a private network"),
        ),
        "missing-privilege": Example(
            _text('permission denied for schema public: revision 0042 creates a table, and "app" may not'),
            _sql("GRANT USAGE, CREATE ON SCHEMA public TO app;"),
        ),
        "untracked": Example(
            _py("""
            Base.metadata.create_all(engine)  # makes the tables, and no alembic_version
            """),
            _sh("""
            migrate adopt                           # records the revision that the schema proves
            migrate up
            """),
        ),
        "unknown-revision": Example(
            _text("""
            alembic_version:   9f3c, from a branch that was deployed here for a trial
            this image:        0001 ... 0042
            """),
            _sh("""
            migrate status      # says whether the schema is compatible with this image
            migrate adopt       # replaces the row by the revision that the schema proves
            """),
        ),
        "split-version": Example(
            _sql("""
            SELECT version_num FROM alembic_version;      -- 0041 and 0042, and 0041 is the parent of 0042
            """),
            _sh("""
            migrate repair            # which row the schema proves
            migrate repair --yes      # keeps that one
            """),
        ),
        "residue": Example(
            _situation("""
            CREATE INDEX CONCURRENTLY ix_orders_state failed, or was cut off:
            PostgreSQL keeps the index, marked INVALID, and CREATE INDEX fails the next time.
            """),
            _sh("""
            migrate repair            # what it would do
            migrate repair --yes
            migrate repair --yes --close 4f1c2a --reason 'dropped by hand'   # of a revision that it leaves to a person
            """),
        ),
        "not-adoptable": Example(
            _text("""
            migrate adopt: the nearest is 0041, but index ix_orders_state is missing in the database
            """),
            _sh("""
            migrate verify --at 0041 --format sql                            # the SQL that makes it 0041
            migrate adopt                                                    # once that has been run
            migrate adopt --at 0041 --reason 'index is made by the DBA'      # or, on your word, as it is
            """),
        ),
        "ahead": Example(
            _situation("""
            Release 13 applied 0043, which drops customers.fax.
            A rollback deploys release 12, which still reads customers.fax.
            """),
            _situation("""
            Deploy release 13 again, or release 12 with a change that does not need customers.fax.
            The next time, drop the column one release later, so that a rollback can run.
            """),
        ),
        "drift": Example(
            _sql("""
            DROP INDEX ix_orders_state;      -- typed into production; a revision made it
            """),
            _sql("""
            CREATE INDEX ix_orders_state ON orders (state);      -- as migrate verify prints it; if it should go: a revision
            """),
        ),
        "schemas-differ": Example(
            _sh("migrate verify --against env:STAGING_URL                    # the two differ"),
            _sh("migrate verify --against env:STAGING_URL --format sql       # what leads from one to the other"),
        ),
        "data": Example(
            _py("""
            def upgrade() -> None:  # 12 customers have no email
                op.alter_column("customers", "email", nullable=False)
            """),
            _py("""
            def upgrade() -> None:
                op.execute("UPDATE customers SET email = '' WHERE email IS NULL")
                op.alter_column("customers", "email", nullable=False)
            """),
        ),
        "unreachable": Example(
            _sh(
                "export DATABASE_URL='postgresql://app:PASSWORD@localhost:5432/app'      # in a container, that is itself"
            ),
            _sh("""
            export DATABASE_URL='postgresql://app:PASSWORD@db:5432/app'             # the name of the service
            migrate doctor                                                          # tries it, and says what it met
            """),
        ),
        "guard-busy": Example(
            _situation("""
            Two pipelines deploy at once: run 4b1e has held the job lock for 20 minutes, and this one waited 15.
            """),
            _sh("""
            migrate history --limit 3             # what the other run does
            MIGRATE_GUARD_TIMEOUT=1h migrate up   # if it may take that long
            """),
        ),
        "orphan-worker": Example(
            _situation("The job was killed (SIGKILL, a lost node) while the server was in the middle of CREATE INDEX."),
            _sql("""
            SELECT pid, state, query FROM pg_stat_activity WHERE application_name LIKE 'migrate:worker:%';
            SELECT pg_terminate_backend(4711);      -- the pid, if it is not to be waited for
            """),
        ),
        "blocked": Example(
            _sql("""
            BEGIN;
            SELECT * FROM orders;      -- a session that is left open like this holds its lock, and ALTER TABLE orders waits
            """),
            _sql("""
            SELECT pid, state, xact_start, query FROM pg_stat_activity WHERE state = 'idle in transaction';
            SELECT pg_terminate_backend(4711);      -- then run migrate up again
            """),
        ),
        "missing-standby": Example(
            _sql("SHOW synchronous_standby_names;      -- standby_1, which is down: no commit ends"),
            _sql("""
            SELECT application_name, sync_state FROM pg_stat_replication;      -- empty until it is back; to go on without:
            ALTER SYSTEM SET synchronous_standby_names = '';
            SELECT pg_reload_conf();
            """),
        ),
        "connection-lost": Example(
            _situation("The provider restarted the server for maintenance while revision 0042 ran."),
            _sh("""
            migrate doctor      # is the server back?
            migrate up          # 0042 was rolled back; it is run again
            """),
        ),
        "no-resources": Example(
            _text('could not extend file "base/16384/17012": No space left on device, while a table was rewritten'),
            _sql("""
            SELECT pg_size_pretty(pg_database_size(current_database()));
            SELECT slot_name, active FROM pg_replication_slots;      -- an inactive one keeps all WAL: drop it, or grow the disk
            """),
        ),
        "deadline": Example(
            _sh("MIGRATE_DEADLINE=4m migrate up        # and revision 0042 rewrites a large table"),
            _sh("MIGRATE_DEADLINE=1h migrate up        # where the platform gives the job that time"),
        ),
        "not-ready": Example(
            _sh("migrate wait --timeout 1m -- uvicorn app:app        # the job that runs migrate up takes five"),
            _sh("migrate wait --timeout 15m -- uvicorn app:app"),
        ),
        "revision-failed": Example(
            _py("""
            def upgrade() -> None:
                op.execute("UPDATE orders SET state = 'new' WHERE stat IS NULL")  # column "stat" does not exist
            """),
            _py("""
            def upgrade() -> None:
                op.execute("UPDATE orders SET state = 'new' WHERE state IS NULL")
            """),
        ),
        "env-failed-after": Example(
            _py("""
            # env.py
            with context.begin_transaction():
                context.run_migrations()
            refresh_search_index()  # raises: the service is not reachable from the job
            """),
            _sh("""
            migrate up && python -m app.refresh_search_index        # a command of its own: it can be run again
            """),
        ),
        "revision-exited": Example(
            _py("""
            def upgrade() -> None:
                if not has_permission():
                    sys.exit(0)
            """),
            _py("""
            def upgrade() -> None:
                if not has_permission():
                    raise RuntimeError("the role may not create extensions")
            """),
        ),
        "partly-committed": Example(
            _py("""
            def upgrade() -> None:
                op.add_column("orders", sa.Column("state", sa.Text))
                with op.get_context().autocommit_block():  # commits the column; if this fails, it stays
                    op.create_index("ix_orders_state", "orders", ["state"], postgresql_concurrently=True)
            """),
            _py("""
            def upgrade() -> None:  # the column has a revision of its own, before this one
                with op.get_context().autocommit_block():
                    op.create_index("ix_orders_state", "orders", ["state"], postgresql_concurrently=True)
            """),
        ),
        "unproven": Example(
            _py("""
            def upgrade() -> None:  # the manifest has the column; the next line swallows why it is not there
                try:
                    op.add_column("orders", sa.Column("state", sa.Text))
                except Exception:
                    pass
            """),
            _py("""
            def upgrade() -> None:
                op.add_column("orders", sa.Column("state", sa.Text))
            """),
        ),
        "commit-unknown": Example(
            _situation("The network was cut after COMMIT had been sent, and before its answer came."),
            _sh("""
            migrate status      # the revision is there, or it is not
            migrate up          # goes on from there
            """),
        ),
        "guard-lost": Example(
            _situation("A pooler, or an administrator, ended the connection that holds the job lock while 0042 ran."),
            _sh("""
            migrate status      # what is applied
            migrate up          # takes the job lock anew
            """),
        ),
        "interrupted": Example(
            Snippet(
                "yaml",
                "spec:\n  activeDeadlineSeconds: 60        # Kubernetes ends the job after a minute",
            ),
            Snippet(
                "yaml",
                "spec:\n  activeDeadlineSeconds: 3600      # MIGRATE_DEADLINE=59m : it ends by itself before that",
            ),
        ),
    }
)
