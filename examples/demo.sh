#!/usr/bin/env bash
# What `make demo` runs: $1 is the command `migrate`, DATABASE_URL an empty database on a throw-away server.
set -euo pipefail
migrate=$1
cd "$(dirname "$0")/newsifier"
echo "# migrate up: from nothing to the head of eight revisions" >&2
"$migrate" up --log-format json
echo "# migrate status" >&2
"$migrate" status
echo "# migrate up, again: nothing to do" >&2
"$migrate" up --log-format json
echo "# somebody's rollback has left a version row that this image does not know: migrate up refuses" >&2
"$(dirname "$migrate")/python" - <<'PYTHON'
import os, psycopg2
with psycopg2.connect(os.environ["DATABASE_URL"]) as connection:
    connection.cursor().execute("UPDATE alembic_version SET version_num = 'gone'")
PYTHON
"$migrate" up --log-format text || echo "# exit code $?" >&2
echo "# migrate adopt: the schema proves where the database is" >&2
"$migrate" adopt --log-format text
