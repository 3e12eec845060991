"""Rows that would make a pending revision fail are found before anything is changed; those that it mends hold nobody up."""

from __future__ import annotations

import re
import signal

import pytest

from tests.support.needs import forget, set_needs
from tests.support.waiting import until

BASE = """
op.execute('''
    CREATE TABLE customers (id integer PRIMARY KEY, email text);
    CREATE TABLE orders (id integer PRIMARY KEY, customer_id integer);
    CREATE TABLE payments (order_id integer, customer_id integer);
''')
"""
NOT_NULL = 'op.alter_column("customers", "email", nullable=False)'
EMAIL = ["no NULL in customers.email"]


@pytest.fixture
def released(project, database, run_migrate):
    """A database at `made`, and an image whose next revision makes customers.email not null."""
    project.revision("made", upgrade=BASE)
    assert run_migrate("up", database=database).exit_code == 0
    project.revision("notes", down="made", upgrade='op.execute("CREATE TABLE notes (id integer)")')
    project.revision("required", down="notes", upgrade=NOT_NULL)
    return database


@pytest.fixture
def known(project, released, write_manifest):
    write_manifest()
    set_needs(project.manifest, {"required": EMAIL})
    return released


def eleven(database):
    database.execute(
        "INSERT INTO customers SELECT g, CASE WHEN g > 11 THEN 'somebody@example.org' END FROM generate_series(1, 30) g"
    )


def test_eleven_rows_stop_the_run_before_anything_is_changed_and_none_does_when_they_are_mended(known, run_migrate):
    eleven(known)
    for verb in ("plan", "up"):
        result = run_migrate(verb, database=known)
        result.check_clean()
        last = result.finished
        assert (result.exit_code, last["problem"], last["outcome"]) == (18, "data", "refused")
        assert last["exit_name"] == "data"
        assert last["retryable"] is False
        assert re.fullmatch(
            r"revision required \(\S+\) needs no NULL in customers\.email: 11 rows break it", last["why"]
        )
        assert last["fix"].startswith("SELECT * FROM public.customers WHERE email IS NULL;")
        assert last["needs"] == ["no NULL in customers.email: 11 rows break it"]
        assert b"somebody" not in result.stdout
    assert known.rows("SELECT version_num FROM alembic_version") == [("made",)]
    assert known.rows("SELECT to_regclass('notes')") == [(None,)]
    select = last["fix"].partition(";")[0]
    assert len(known.rows(select)) == 11
    known.execute("UPDATE customers SET email = 'nobody' WHERE email IS NULL")
    up = run_migrate("up", database=known)
    up.check_clean()
    assert (up.exit_code, up.finished["applied"]) == (0, ["notes", "required"])
    (asked, again) = up.named("data.asked")
    assert (asked["asked"], asked["against"], asked["unknown"]) == (1, 0, 0)
    assert again["asked"] == 1


def test_a_backfill_that_only_production_has_rows_for_warns_and_runs(project, released, run_migrate, write_manifest):
    fill = (
        'op.execute("UPDATE orders SET customer_id = p.customer_id FROM payments p'
        ' WHERE p.order_id = orders.id AND orders.customer_id IS NULL")\n'
        'op.alter_column("orders", "customer_id", nullable=False)'
    )
    project.revision("filled", down="required", upgrade=fill)
    write_manifest()
    set_needs(project.manifest, {"filled": ["not proven: no NULL in orders.customer_id"]})
    released.execute("INSERT INTO orders VALUES (1, NULL), (2, 5)")
    released.execute("INSERT INTO payments VALUES (1, 7)")
    result = run_migrate("up", database=released)
    result.check_clean()
    assert result.exit_code == 0
    (finding,) = [e for e in result.named("state.finding") if "may need" in e["message"]]
    assert finding["level"] == "warn"
    assert "may need no NULL in orders.customer_id: 1 row breaks it" in finding["message"]
    assert released.rows("SELECT customer_id FROM orders ORDER BY id") == [(7,), (5,)]


@pytest.mark.parametrize(("policy", "code", "asked"), [("warn", 30, True), ("off", 30, False), ("refuse", 18, True)])
def test_policy_decides_what_rows_against_a_need_do(known, run_migrate, policy, code, asked):
    eleven(known)
    result = run_migrate("up", "--data", policy, database=known)
    assert result.exit_code == code
    assert bool(result.named("data.asked")) is asked
    assert any("11 rows break it" in e["message"] for e in result.named("state.finding")) is (policy == "warn")


def test_only_what_this_run_would_run_is_asked(known, run_migrate):
    eleven(known)
    for flags in (("--target", "notes"), ("--breaking", "hold")):
        plan = run_migrate("plan", *flags, database=known)
        assert (plan.exit_code, plan.named("data.asked")) == (0, []), flags
    held = run_migrate("up", "--breaking", "hold", database=known)
    assert (held.exit_code, held.finished["applied"]) == (0, ["notes"])
    refused = run_migrate("up", "--breaking", "refuse", database=known)
    assert refused.exit_code == 18  # data is judged first


def test_a_manifest_that_does_not_know_holds_up_only_who_asks_for_it(project, known, run_migrate):
    forget(project.manifest)
    eleven(known)
    for flags, said in (("--data", "data=refuse"), ("--heavy", "heavy=refuse")):
        refused = run_migrate("up", flags, "refuse", database=known)
        assert (refused.exit_code, refused.finished["problem"]) == (12, "not-foreseen")
        assert said in refused.finished["why"]
    plan = run_migrate("plan", database=known)
    plan.check_clean()
    assert plan.exit_code == 0
    notes = [e for e in plan.named("effect.foreseen") if "the manifest does not say" in e["message"]]
    assert [(e["level"], e["message"]) for e in notes] == [
        ("info", "the manifest does not say the effects and needs of 2 pending revisions (notes, required)")
    ]


def test_a_role_without_the_right_to_read_is_told_so_and_runs(known, run_migrate, make_role):
    role = make_role("reader")
    known.execute("GRANT CREATE, USAGE ON SCHEMA public TO reader")
    known.execute("GRANT ALL ON alembic_version TO reader")
    plan = run_migrate("plan", database=known.as_role(role))
    assert plan.exit_code == 0
    assert any(
        "needs no NULL in customers.email: not known, role" in e["message"] and "may not read customers" in e["message"]
        for e in plan.named("state.finding")
    )


@pytest.fixture
def copied(project, database, run_migrate, write_manifest):
    """An image whose next revision makes a table of rows that are there, and whose last one wants them without NULL."""
    project.revision("made", upgrade=BASE)
    assert run_migrate("up", database=database).exit_code == 0
    copy = "CREATE TABLE people AS SELECT id, email FROM customers"
    project.revision("copy", down="made", upgrade=f'op.execute("{copy}")')
    project.revision("notes", down="copy", upgrade='op.execute("CREATE TABLE notes (id integer)")')
    project.revision("required", down="notes", upgrade='op.alter_column("people", "email", nullable=False)')
    write_manifest()
    set_needs(project.manifest, {"required": ["no NULL in people.email"]})
    return database


def test_what_an_earlier_revision_makes_is_asked_just_before_its_own(copied, run_migrate):
    eleven(copied)
    plan = run_migrate("plan", "--json", database=copied)
    assert plan.exit_code == 0
    (told,) = [each for each in plan.finished["foreseen"] if each["revision"] == "required"]
    (need,) = told["needs"]
    assert (need["need"], need["proven"], need["answer"]) == ("no NULL in people.email", True, "later")
    result = run_migrate("up", database=copied)
    result.check_clean()
    last = result.finished
    assert (result.exit_code, last["problem"], last["outcome"]) == (18, "data", "failed")
    assert (last["applied"], last["pending"]) == (["copy", "notes"], ["required"])
    assert last["why"].endswith("needs no NULL in people.email: 11 rows break it")
    assert copied.rows("SELECT version_num FROM alembic_version") == [("notes",)]
    assert not [e for e in result.named("revision.started") if e["revision"] == "required"]
    copied.execute("UPDATE people SET email = 'x' WHERE email IS NULL")
    again = run_migrate("up", database=copied)
    assert (again.exit_code, again.finished["applied"]) == (0, ["required"])


def test_in_one_transaction_it_cannot_be_asked_and_that_is_said(copied, run_migrate):
    eleven(copied)
    result = run_migrate("up", "--transaction", "all", database=copied)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (30, [])
    assert any(
        "people.email: not known, what is asked about was made" in e["message"] for e in result.named("state.finding")
    )


def test_rows_that_an_earlier_revision_mends_hold_nobody_up(project, released, run_migrate, write_manifest):
    mend = "UPDATE customers SET email = 'x' WHERE email IS NULL"
    (path,) = project.versions.glob("notes_*")
    path.write_text(path.read_text().replace("CREATE TABLE notes (id integer)", mend))
    write_manifest()
    set_needs(project.manifest, {"required": EMAIL})
    released.execute("INSERT INTO customers VALUES (1, NULL)")
    result = run_migrate("up", database=released)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["notes", "required"])
    assert [(e["asked"], e["later"]) for e in result.named("data.asked")] == [(1, 0)]


def test_doctor_asks_as_up_does(known, run_migrate):
    eleven(known)
    result = run_migrate("doctor", database=known, env={"MIGRATE_LOG_FORMAT": "json"})
    assert result.exit_code == 18
    (check,) = [each for each in result.named("check.finished") if each["check"] == "data"]
    assert "no NULL in customers.email: 11 rows break it" in check["evidence"]


# A budget, and what is heavy


def test_a_question_about_five_million_rows_without_an_index_holds_nobody_beyond_its_budget(known, run_migrate):
    known.execute("INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 5000000) g")
    result = run_migrate("up", "--data-timeout", "20ms", database=known)
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (0, ["notes", "required"])
    (finding,) = [
        e for e in result.named("state.finding") if "customers.email" in e["message"] and "not known" in e["message"]
    ]
    assert finding["level"] == "warn"
    assert "needs no NULL in customers.email: not known, there was no answer within 0.02 s" in finding["message"]
    (asked, *_) = result.named("data.asked")
    assert asked["unknown"] == 1


def test_what_blocks_a_large_table_is_said_with_its_size_and_refused_where_policy_says_so(known, run_migrate):
    known.execute("INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 1000) g")
    known.execute("ANALYZE customers")
    for flags, code, problem in (
        ((), 0, None),
        (("--heavy", "refuse"), 0, None),
        (("--heavy", "refuse", "--heavy-over", "8kB"), 12, "heavy-change"),
        (("--heavy-over", "8kB"), 0, None),
    ):
        plan = run_migrate("plan", *flags, database=known)
        plan.check_clean()
        assert (plan.exit_code, plan.finished.get("problem")) == (code, problem), flags
        (foreseen,) = plan.named("effect.foreseen")
        assert "blocks reads and writes of customers, " in foreseen["message"]
        assert " (about 1,000 rows)" in foreseen["message"]
        assert foreseen["message"].endswith(": scan (email is made not null)")
        assert (foreseen["table"], foreseen["table_rows"]) == ("customers", 1000)
        warned = [e for e in plan.named("state.finding") if "on a table of more than 8 kB" in e["message"]]
        assert len(warned) == (1 if flags == ("--heavy-over", "8kB") else 0)
    quiet = run_migrate("plan", "--heavy-over", "8kB", "--heavy", "allow", database=known)
    assert not [e for e in quiet.named("state.finding") if "more than 8 kB" in e["message"]]


def test_a_signal_ends_a_question_under_the_guard(copied, project, start_migrate):
    copied.execute("CREATE SCHEMA beside")
    wait = "BEGIN PERFORM pg_sleep(60); RETURN true; END"
    copied.execute(f"CREATE FUNCTION beside.slow(int) RETURNS bool LANGUAGE plpgsql AS '{wait}'")
    copied.execute("INSERT INTO customers VALUES (1, 'x')")
    set_needs(project.manifest, {"required": ["every row of people fulfils CHECK (beside.slow(id))"]})
    running = start_migrate("up", "--data-timeout", "50s", database=copied)
    asking = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%beside.slow%' AND wait_event = 'PgSleep'"
    until(lambda: copied.as_superuser.scalar(asking) == 1, seconds=60, otherwise=running.so_far)
    running.signal(signal.SIGTERM)
    result = running.finish()
    result.check_clean()
    assert (result.exit_code, result.finished["applied"]) == (143, ["copy", "notes"])
    assert copied.rows("SELECT version_num FROM alembic_version") == [("notes",)]


def test_what_the_last_such_revision_took_here_is_said_with_the_size_that_the_table_had(
    project, released, run_migrate, write_manifest
):
    write_manifest()
    released.execute("INSERT INTO customers SELECT g, 'x' FROM generate_series(1, 1000) g")
    assert run_migrate("up", database=released).exit_code == 0
    ((kept,),) = released.rows("SELECT details -> 'heavy' FROM migrate.step WHERE revision = 'required'")
    assert (kept["table"], kept["effect"]) == ("customers", "scan")
    had = kept["bytes"]
    assert had >= 8192
    released.execute("INSERT INTO customers SELECT g, 'x' FROM generate_series(2000, 60000) g")
    asks = 'op.execute("ALTER TABLE customers ADD CONSTRAINT positive CHECK (id > 0)")'
    project.revision("positive", down="required", upgrade=asks)
    write_manifest()
    (foreseen,) = run_migrate("plan", database=released).named("effect.foreseen")
    assert "; revision required took " in foreseen["message"]
    assert foreseen["message"].endswith(" of it")
    assert foreseen["earlier_revision"] == "required"
    assert foreseen["earlier_bytes"] == had < foreseen["table_bytes"]
    assert foreseen["earlier_ms"] >= 0
    released.execute("DROP SCHEMA migrate CASCADE")  # a ledger that is not there has nothing to say
    (foreseen,) = run_migrate("plan", database=released).named("effect.foreseen")
    assert "required" not in foreseen["message"]
