"""The closed set of things that a run says; a renderer per format turns them into text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import IntEnum, StrEnum

from migrate.core.problems.explained import Explained
from migrate.core.value import Value


class Level(IntEnum):
    """How loud an event is; the values order as in the standard logging module."""

    DEBUG = 10
    INFO = 20
    WARN = 30
    ERROR = 40


class Name(Explained):
    """Every event, with what it means (docs/reference/events.md is made from these)."""

    RUN_STARTED = "run.started", "the verb began; carries the context fields"
    TENANT_STARTED = (
        "tenant.started",
        "a tenant of a fleet is taken; `tenants_done` and `tenants` say how far the fleet is",
    )
    TENANT_RETRY = "tenant.retry", "a tenant of a fleet could not be done; it is tried again after the others"
    TENANT_FINISHED = "tenant.finished", "one tenant of a fleet is done with: outcome, exit code, and why"
    RUN_FINISHED = "run.finished", "the last line: outcome, exit code, what was applied and what is pending"
    IMAGE_LOADED = "image.loaded", "the revision graph of this image was read; `read_by` says how (scan, alembic)"
    IMAGE_WARNING = "image.warning", "something about the image that does not stop the run"
    CONNECT_RETRY = "connect.retry", "the server did not answer yet; the next try follows"
    TARGET_WARNING = "target.warning", "something about the server, the role or the URL that does not stop the run"
    SHADOW_STARTED = "shadow.started", "a throw-away server or database for a replay is ready"
    STATE_OBSERVED = "state.observed", "the position of the database against the image"
    STATE_FINDING = "state.finding", "a finding beside the position: drift, residue, an edited revision"
    DATA_ASKED = (
        "data.asked",
        "whether the rows are as pending revisions need them: how many needs were asked, and are not met",
    )
    EFFECT_FORESEEN = (
        "effect.foreseen",
        "what a pending revision does for as long as a table takes, and the table's size; or that the manifest does not say",
    )
    DECISION_MADE = "decision.made", "the plan; a refusal is the last line's problem"
    GUARD_WAITING = "guard.waiting", "another run holds the job lock; who, and since when"
    GUARD_ACQUIRED = "guard.acquired", "this run holds the job lock"
    ORPHAN_WAITING = (
        "orphan.waiting",
        "a connection of a run that holds no guard any more is still there, and is waited for or ended",
    )
    RUN_ABANDONED = (
        "run.abandoned",
        "a run that died had begun this step; `status` says whether it was committed, and it is closed",
    )
    RUN_RECORDED = (
        "run.recorded",
        "`history` tells one run that the ledger has, in fields that begin with `recorded_`; its steps are sentences",
    )
    LEDGER_WARNING = "ledger.warning", "the ledger cannot be read or written; the release goes on without it"
    STEP_STARTED = "step.started", "a step of the plan began"
    STEP_FINISHED = "step.finished", "a step of the plan ended well"
    BACKUP_OUTPUT = "backup.output", "a line that pg_dump, pg_restore or the backup command printed"
    BACKUP_FINISHED = "backup.finished", "the backup is there and was checked; carries the way back"
    REPAIR_ACTION = "repair.action", "one thing that an earlier run left is about to be put right"
    REVISION_STARTED = "revision.started", "a revision is about to run"
    REVISION_FINISHED = "revision.finished", "a revision ran; committed, unless it shares its transaction with others"
    REVISION_MEASURED = "revision.measured", "what one commit cost a clone (`test --on`): time, bytes, rows, locks held"
    REVISION_RETRY = "revision.retry", "a lock was not granted; the revision was rolled back and is tried again"
    REVISION_FAILED = "revision.failed", "a revision raised or was ended"
    REVISION_OUTPUT = "revision.output", "a line that env.py or a revision printed"
    LOG_RECORD = "log.record", "a log record or warning of Alembic, SQLAlchemy or the user's own code"
    STATEMENT_PROGRESS = "statement.progress", "a long statement goes on; per cent where the server tells"
    STATEMENT_BLOCKED = "statement.blocked", "the running statement waits for a lock; who holds it"
    HEARTBEAT = "heartbeat", "the run is alive"
    CHECK_FINISHED = (
        "check.finished",
        "a check of `doctor` passed, warns, fails or was skipped; its evidence and its fix",
    )
    NOTIFY_WARNING = (
        "notify.warning",
        "somebody, or a collector of telemetry, could not be told how the run ended; the run is as it is",
    )
    TRIAL_REVISION = "trial.revision", "`test` has tried a revision"
    TRIAL_FINDING = "trial.finding", "`test` found a fault; its check, its place, and whether it fails the run"
    PROOF_FINISHED = "proof.finished", "the database was read again and is what the target says"
    INTERRUPTED = "run.interrupted", "a signal arrived; the statement is being cancelled"


class LogFormat(StrEnum):
    """How events are written; `auto` is text on a terminal and JSON lines everywhere else."""

    AUTO = "auto"
    JSON = "json"
    TEXT = "text"


class Event(Value):
    """One thing said: a sentence for people and flat fields for machines."""

    name: Name
    message: str
    level: Level = Level.INFO
    fields: Mapping[str, object] = field(default_factory=dict)


Emit = Callable[[Event], None]
