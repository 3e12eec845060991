"""A partitioned index of which a partition has no part is INVALID, and every verb says how it becomes valid."""

from __future__ import annotations


def test_a_partition_that_the_history_does_not_know_leaves_the_index_invalid(
    project, database, run_migrate, write_manifest
):
    project.revision(
        "p1",
        upgrade="""
        op.execute("CREATE TABLE readings (taken date NOT NULL, meter int NOT NULL) PARTITION BY RANGE (taken)")
        op.execute("CREATE TABLE readings_2026 PARTITION OF readings FOR VALUES FROM ('2026-01-01') TO ('2027-01-01')")
        """,
    )
    project.revision(
        "p2",
        down="p1",
        upgrade="""
        op.execute("CREATE INDEX ix_meter ON ONLY readings (meter)")
        op.execute("CREATE INDEX ix_2026 ON readings_2026 (meter)")
        op.execute("ALTER INDEX ix_meter ATTACH PARTITION ix_2026")
        """,
    )
    write_manifest()
    assert run_migrate("up", "--target", "p1", database=database).exit_code == 0
    database.execute(
        "CREATE TABLE readings_2027 PARTITION OF readings FOR VALUES FROM ('2027-01-01') TO ('2028-01-01')"
    )
    assert run_migrate("up", database=database).exit_code == 32
    way = "CREATE INDEX CONCURRENTLY readings_2027_ix_meter ON readings_2027 USING btree (meter);"
    left = run_migrate("repair", database=database)
    assert (left.exit_code, left.finished["problem"]) == (15, "residue")
    assert way in left.finished["fix"]
    assert "ALTER INDEX ix_meter ATTACH PARTITION public.readings_2027_ix_meter;" in left.finished["fix"]
    assert way.encode() in run_migrate("doctor", database=database).stdout
    assert b"REINDEX" not in run_migrate("verify", "--format", "sql", database=database).stdout
    for statement in left.finished["fix"].split("; "):
        database.execute(statement)
    assert database.scalar("SELECT indisvalid FROM pg_index WHERE indexrelid = 'ix_meter'::regclass")
    assert run_migrate("repair", database=database).exit_code == 0


def test_an_index_that_a_later_revision_completes_is_no_residue_until_then(
    project, database, run_migrate, write_manifest
):
    project.revision(
        "p1",
        upgrade="""
        op.execute("CREATE TABLE t (a int) PARTITION BY LIST (a)")
        op.execute("CREATE TABLE t1 PARTITION OF t FOR VALUES IN (1)")
        op.execute("CREATE INDEX ix ON ONLY t (a)")
        """,
    )
    project.revision(
        "p2",
        down="p1",
        upgrade='op.execute("CREATE INDEX ix1 ON t1 (a)")\nop.execute("ALTER INDEX ix ATTACH PARTITION ix1")',
    )
    write_manifest()
    assert run_migrate("up", "--target", "p1", database=database).exit_code == 0
    assert run_migrate("up", database=database).exit_code == 0
