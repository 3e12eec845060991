"""The extra `otel`: spans and metrics as a real OTLP receiver gets them; one that hangs, fails or is not there changes nothing."""

from __future__ import annotations

import gzip
import json
import socket
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from migrate.core.problems import ExitCode
from tests.support.process import assert_absent

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP and reads it with the protocol's own messages."""

    daemon_threads = True

    def __init__(self, status):
        super().__init__(("127.0.0.1", 0), Handler)
        self.status = status
        self.spans = []
        self.metrics = {}
        self.resource = {}
        self.raw = b""
        self.released = threading.Event()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_address[1]}"

    def take(self, path, body):
        self.raw += body
        if path == "/v1/traces":
            for group in ExportTraceServiceRequest.FromString(body).resource_spans:
                self.resource = {each.key: each.value.string_value for each in group.resource.attributes}
                self.spans += [span for scope in group.scope_spans for span in scope.spans]
        elif path == "/v1/metrics":
            for group in ExportMetricsServiceRequest.FromString(body).resource_metrics:
                self.metrics |= {metric.name: metric for scope in group.scope_metrics for metric in scope.metrics}

    def named(self, name):
        (span,) = (span for span in self.spans if span.name == name)
        return span


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.status is None:
            self.server.released.wait(60)
            return
        self.server.take(self.path, gzip.decompress(body) if self.headers["Content-Encoding"] == "gzip" else body)
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


@contextmanager
def collector(status=200):
    server = Collector(status)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.released.set()
        server.shutdown()
        server.server_close()


def attributes(span):
    kinds = ("string_value", "int_value", "bool_value", "double_value")
    return {
        each.key: next((getattr(each.value, kind) for kind in kinds if each.value.HasField(kind)), None)
        for each in span.attributes
    }


def test_a_run_is_a_span_with_one_for_each_revision_below_it(project, database, run_migrate):
    project.linear(2)
    with collector() as told:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": told.url, "TRACEPARENT": f"00-{TRACE}-{PARENT}-01"}
        result = run_migrate("up", database=database, env=env)
        result.check_clean()
        assert result.exit_code == 0
    run = told.named("migrate up")
    assert (run.trace_id.hex(), run.parent_span_id.hex()) == (TRACE, PARENT), "the trace of whoever releases goes on"
    assert attributes(run)["migrate.outcome"] == "applied"
    assert attributes(run)["migrate.exit_code"] == 0
    for id_ in ("r0001", "r0002"):
        span = told.named(f"revision {id_}")
        assert span.parent_span_id == run.span_id
        assert attributes(span)["migrate.duration_ms"] >= 0
        assert (
            run.start_time_unix_nano <= span.start_time_unix_nano <= span.end_time_unix_nano <= run.end_time_unix_nano
        )
    assert told.resource["service.name"] == "migrate"
    (point,) = told.metrics["migrate.revisions.applied"].sum.data_points
    assert point.as_int == 2
    (point,) = told.metrics["migrate.run.duration"].histogram.data_points
    assert (point.count, {each.key for each in point.attributes}) == (1, {"verb", "outcome", "exit_code"})
    assert_absent(database.role.password, told.raw)


def test_a_revision_that_fails_is_an_error_and_names_what_the_log_names(project, database, run_migrate):
    project.revision("bad", upgrade="op.execute('SELECT 1/0')")
    with collector() as told:
        result = run_migrate("up", database=database, env={"OTEL_EXPORTER_OTLP_ENDPOINT": told.url})
    assert result.exit_code == ExitCode.FAILED
    for name in ("revision bad", "migrate up"):
        assert told.named(name).status.code == 2
    assert attributes(told.named("migrate up"))["migrate.problem"] == "revision-failed"


def test_what_is_waited_for_is_a_span_and_counts_as_blocked(project, database, run_migrate, start_migrate):
    project.linear(1)
    project.revision("slow", down="r0001", upgrade="op.execute('SELECT pg_sleep(2)')")
    first = start_migrate("up", database=database)
    first.wait_for("revision.started", revision="slow")
    with collector() as told:
        result = run_migrate("up", database=database, env={"OTEL_EXPORTER_OTLP_ENDPOINT": told.url})
        assert result.exit_code == 0
    first.finish()
    waited = told.named("wait for job lock")
    assert waited.parent_span_id == told.named("migrate up").span_id
    (point,) = told.metrics["migrate.run.blocked"].histogram.data_points
    assert point.sum > 0


@pytest.mark.parametrize("status", [None, 400, "nobody"])
def test_a_collector_that_hangs_refuses_or_is_not_there_changes_nothing(project, database, run_migrate, status):
    project.linear(1)
    with collector(None if status == "nobody" else status) as told:
        url = told.url
        if status == "nobody":
            with socket.socket() as free:
                free.bind(("127.0.0.1", 0))
                url = f"http://127.0.0.1:{free.getsockname()[1]}"
        began = time.monotonic()
        result = run_migrate("up", database=database, env={"OTEL_EXPORTER_OTLP_ENDPOINT": url})
    assert result.exit_code == 0
    result.check_clean()
    assert result.stderr == b""
    (warning,) = result.named("notify.warning")
    assert warning["message"].startswith("no telemetry was sent: ")
    assert result.events[-1]["event"] == "run.finished", time.monotonic() - began


def test_it_is_off_without_an_endpoint_and_where_it_is_disabled(project, database, run_migrate):
    project.linear(1)
    with collector() as told:
        assert run_migrate("up", database=database).exit_code == 0
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": told.url, "OTEL_SDK_DISABLED": "true"}
        assert run_migrate("status", database=database, env=env).exit_code == 0
    assert told.raw == b""


def test_nothing_of_it_is_imported_without_an_endpoint(project, database, run_migrate):
    project.linear(1)
    program = "import sys, json; from migrate.cli import run; run(['up']); print(json.dumps([m for m in sys.modules if 'opentelemetry' in m]))"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=project.path,
        env={"DATABASE_URL": database.url, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout.splitlines()[-1]) == []
