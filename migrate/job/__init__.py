"""The job: one process run of one verb, from its settings to its last line. READ FIRST: `up.py`."""

import sys

if not sys.modules.keys() & {"psycopg2", "ssl"}:
    # Where there is a module ssl, psycopg2 imports it, for an OpenSSL before 1.1, and uses nothing of it. With the
    # sockets that come along that would be a tenth of a run with nothing to do.
    sys.modules["ssl"] = None  # type: ignore[assignment]  # what `import` takes for a module that is not there
    try:
        import psycopg2  # noqa: F401
    finally:
        del sys.modules["ssl"]
