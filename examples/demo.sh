#!/usr/bin/env bash
# What `make demo` runs: $1 is the command `migrate`, DATABASE_URL an empty database on a throw-away server.
set -euo pipefail
migrate=$1
export MIGRATE_LOG_FORMAT=text # what people read on a terminal, also where this is piped
say() { printf '\n# %s\n' "$*"; }
cd "$(dirname "$0")/newsifier"
say "migrate up: from an empty database to the head of eight revisions"
"$migrate" up
say "migrate status"
"$migrate" status
say "migrate up, again: nothing to do"
"$migrate" up
say "somebody's rollback has left a version row that this image does not know: migrate up refuses"
"$(dirname "$migrate")/python" - <<'PYTHON'
import os, psycopg2
with psycopg2.connect(os.environ["DATABASE_URL"]) as connection:
    connection.cursor().execute("UPDATE alembic_version SET version_num = 'gone'")
PYTHON
"$migrate" up || say "exit code $?"
say "migrate adopt: the schema proves where the database is"
"$migrate" adopt
