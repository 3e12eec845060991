"""How long the catalog reader takes, against SQLAlchemy's reflection and `pg_dump -s` on the same schema.

Run with `python -m tests.bench.bench_catalog [TABLES …]`. The server is a throw-away one; times are the median of five.
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING

import psycopg2
import sqlalchemy

from migrate.core.schema.differences import compare, fingerprint
from migrate.postgres.catalog import read_schema
from migrate.shadow.embedded import throwaway_server

if TYPE_CHECKING:
    from collections.abc import Callable

RUNS = 5
TABLE = """
CREATE TABLE {schema}.t{number} (
  id bigserial PRIMARY KEY, parent bigint REFERENCES {schema}.t{number}, name varchar(50) NOT NULL DEFAULT 'x', body text,
  at timestamptz DEFAULT now(), kind text CHECK (kind IN ('a', 'b')), UNIQUE (name, kind));
CREATE INDEX ON {schema}.t{number} (at);
CREATE INDEX ON {schema}.t{number} (lower(body)) WHERE kind = 'a';
"""


def median_ms(work: Callable[[], object]) -> float:
    """Run it once to warm up, then five times."""
    work()
    times = []
    for _ in range(RUNS):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times)


def main(sizes: list[int]) -> None:
    """Print one row a schema: objects, milliseconds, and how many times longer the others take."""
    print(
        f"{'tables':>6} {'objects':>8} {'read ms':>8} {'fingerprint':>12} {'compare':>8} {'reflect()':>12} {'pg_dump -s':>12}"
    )
    with throwaway_server() as server:
        connection = psycopg2.connect(server.url())
        connection.autocommit = True
        engine = sqlalchemy.create_engine(server.url().replace("postgresql:", "postgresql+psycopg2:", 1))
        for size in sizes:
            name = f"tables_{size}"
            with connection.cursor() as cursor:
                cursor.execute(f"CREATE SCHEMA {name}")
                for number in range(size):
                    cursor.execute(TABLE.format(schema=name, number=number))
                cursor.execute("ANALYZE")

            def read(name: str = name) -> dict[str, str]:
                return read_schema(connection, schemas=[name], version_table=(name, "alembic_version"))

            def reflect(name: str = name) -> None:
                sqlalchemy.MetaData().reflect(engine, schema=name)

            def dump(name: str = name) -> None:
                pg_dump = server.binaries.bin_dir / "pg_dump"
                command = [str(pg_dump), "--schema-only", f"--schema={name}", f"--dbname={server.url()}"]
                subprocess.run(command, check=True, stdout=subprocess.DEVNULL)

            schema = read()
            changed = {**schema, "column t0.name": "text"}
            ours = median_ms(read)
            others = [median_ms(reflect) / ours]
            if (server.binaries.bin_dir / "pg_dump").is_file():
                others.append(median_ms(dump) / ours)
            digest = median_ms(partial(fingerprint, schema))
            comparing = median_ms(partial(compare, schema, changed, same_major=True))
            ratios = "".join(f"{ratio:>11.1f}x" for ratio in others)
            print(f"{size:>6} {len(schema):>8} {ours:>8.1f} {digest:>12.1f} {comparing:>8.1f} {ratios}")
        engine.dispose()
        connection.close()


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [20, 100, 500])
