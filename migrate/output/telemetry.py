"""A run as OpenTelemetry's spans and metrics, for whoever set its variables and installed the extra ``otel``.

A span for the run, and below it one for each revision, step and wait, with the fields of the log lines as attributes; it
continues the trace that TRACEPARENT names. What the SDK reads from variables (endpoint, headers, resource) is left to it:
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from migrate.core.events import Level, Name

if TYPE_CHECKING:
    from collections.abc import Mapping

    from opentelemetry.trace import Span

    from migrate.core.events import Event

SEND_S: Final = 3.0  # at the end of a run, for all that is left: a collector that hangs holds no release up
_PREFIX: Final = "migrate."
# What begins a span, and what ends it; the key of the fields that tells two of a kind apart.
_BEGINS: Final = {Name.REVISION_STARTED: "revision", Name.STEP_STARTED: "step"}
_ENDS: Final = {
    Name.REVISION_FINISHED: "revision",
    Name.REVISION_FAILED: "revision",
    Name.REVISION_RETRY: "revision",
    Name.STEP_FINISHED: "step",
}
# What is waited for, by the event that says so; it says it again while it lasts, and the next event of another name ends it.
_WAITS: Final = {
    Name.CONNECT_RETRY: "server",
    Name.GUARD_WAITING: "job lock",
    Name.ORPHAN_WAITING: "orphaned connection",
    Name.STATEMENT_BLOCKED: "lock",
}
_GOES_ON: Final = frozenset({Name.HEARTBEAT, Name.STATEMENT_PROGRESS, Name.LOG_RECORD})


class _Heard(logging.Handler):
    """What the SDK says of its own troubles: kept from stderr, which stays empty."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.first: str | None = None
        logger = logging.getLogger("opentelemetry")
        logger.propagate = False
        logger.addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Keep the first sentence."""
        self.first = self.first or record.getMessage().partition("\n")[0]


class Telemetry:
    """The spans and metrics of one run. Every event is given to `tell`, without secrets; `end` sends what is left."""

    def __init__(self, verb: str, environ: Mapping[str, str], *, service: str, version: str) -> None:
        attributes: dict[str, Any] = {"service.version": version}
        if "OTEL_SERVICE_NAME" not in environ and "service.name=" not in environ.get("OTEL_RESOURCE_ATTRIBUTES", ""):
            attributes["service.name"] = service
        resource = Resource.create(attributes)
        self._heard = _Heard()
        # Nothing of the SDK's runs at exit, where nothing would bound it.
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        self._traces.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(timeout=SEND_S)))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(timeout=SEND_S), export_interval_millis=math.inf)
        self._metrics = MeterProvider((reader,), resource, shutdown_on_exit=False)
        self._tracer = self._traces.get_tracer("migrate", version)
        carrier = {name: environ[name.upper()] for name in ("traceparent", "tracestate") if name.upper() in environ}
        parent = TraceContextTextMapPropagator().extract(carrier)
        self._verb = verb
        self._began_ns = time.time_ns()
        self._run = self._tracer.start_span(f"migrate {verb}", parent, attributes={"migrate.verb": verb})
        self._below = trace.set_span_in_context(self._run)
        self._open: dict[tuple[object, ...], Span] = {}
        self._waits: dict[object, tuple[Name, Span, int]] = {}
        self._blocked_ns = 0

    def tell(self, event: Event, fields: Mapping[str, object]) -> None:
        """One event, with its fields as they may be shown."""
        whose = fields.get("tenant")
        self._judge_wait(event, whose, fields)
        if kind := _BEGINS.get(event.name):
            key = (whose, kind, fields.get(kind))
            self._open[key] = self._start(f"{kind} {fields.get(kind)}", fields)
        elif kind := _ENDS.get(event.name):
            span = self._open.pop((whose, kind, fields.get(kind)), None)
            if span is not None:
                _finish(span, event, fields)
        elif event.level >= Level.WARN and event.name is not Name.RUN_FINISHED:
            self._run.add_event(str(event.name), {"message": event.message, **_attributes(fields)})

    def end(self, message: str, fields: Mapping[str, object]) -> str | None:
        """The run has ended with these fields: sends what is left, for `SEND_S` at most. Returns what went wrong in that."""
        for _, span, began_ns in self._waits.values():
            self._blocked_ns += time.time_ns() - began_ns
            span.end()
        for span in self._open.values():  # it was cut off, and nothing said how it ended
            span.end()
        self._run.set_attributes(_attributes(fields))
        if fields.get("problem") is not None:
            self._run.set_status(trace.StatusCode.ERROR, message)
        self._run.end()
        self._measure(fields)
        sender = threading.Thread(target=self._send, daemon=True)
        sender.start()
        sender.join(SEND_S)
        return f"the collector did not answer within {SEND_S:g} s" if sender.is_alive() else self._heard.first

    def _judge_wait(self, event: Event, whose: object, fields: Mapping[str, object]) -> None:
        if event.name in _GOES_ON:
            return
        found = self._waits.get(whose)
        if found is not None and found[0] is not event.name:
            self._blocked_ns += time.time_ns() - found[2]
            del self._waits[whose]
            found[1].end()
            found = None
        if found is None and (what := _WAITS.get(event.name)):
            self._waits[whose] = event.name, self._start(f"wait for {what}", fields), time.time_ns()

    def _start(self, name: str, fields: Mapping[str, object]) -> Span:
        return self._tracer.start_span(name, self._below, attributes=_attributes(fields))

    def _measure(self, fields: Mapping[str, object]) -> None:
        meter = self._metrics.get_meter("migrate")
        about: dict[str, Any] = {
            "verb": self._verb,
            "outcome": str(fields.get("outcome")),
            "exit_code": _number(fields.get("exit_code")),
        }
        took_s = (time.time_ns() - self._began_ns) / 1e9
        meter.create_histogram("migrate.run.duration", "s", "How long a run took").record(took_s, about)
        meter.create_counter("migrate.runs", "{run}", "Runs that ended").add(1, about)
        applied = _number(fields.get("applied_count"))
        meter.create_counter("migrate.revisions.applied", "{revision}", "Revisions that runs applied").add(
            applied, about
        )
        pending = _number(fields.get("pending_count"))
        meter.create_gauge("migrate.revisions.pending", "{revision}", "Revisions that are left to apply").set(
            pending, {"verb": self._verb}
        )
        blocked_s = self._blocked_ns / 1e9
        meter.create_histogram("migrate.run.blocked", "s", "How long a run waited for others").record(blocked_s, about)

    def _send(self) -> None:
        with suppress(Exception):  # a release is as it is, whoever hears of it
            self._traces.force_flush(round(SEND_S * 1000))
        with suppress(Exception):
            self._metrics.force_flush(SEND_S * 1000)


def _finish(span: Span, event: Event, fields: Mapping[str, object]) -> None:
    span.set_attributes(_attributes(fields))
    if event.name is not Name.REVISION_FINISHED and event.name is not Name.STEP_FINISHED:
        span.set_status(trace.StatusCode.ERROR, event.message)
    span.end()


def _attributes(fields: Mapping[str, object]) -> dict[str, Any]:
    """Log fields as attributes: those of one kind as they are, everything else as its text."""
    found: dict[str, Any] = {}
    for name, value in fields.items():
        if isinstance(value, str | bool | int | float):
            found[_PREFIX + name] = value
        elif isinstance(value, list | tuple):
            found[_PREFIX + name] = [str(each) for each in value]
        elif value is not None:
            found[_PREFIX + name] = str(value)
    return found


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
