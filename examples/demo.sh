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
