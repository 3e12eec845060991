"""What the manifest of a long history costs a run: loading it, and holding it against the revision files.

Run with `python -m tests.bench.bench_manifest [REVISIONS ...]`. Times are medians of five, in ms of this process.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from migrate.core.history.graph import Graph
from migrate.core.manifest.building import build
from migrate.core.manifest.manifest import Manifest
from migrate.history import AlembicConfig, load_config, scan
from migrate.history.manifest_file import compare_with_files, hashes, load_manifest, manifest_path
from tests.bench.histories import line

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

RUNS = 5


def median_ms(work: Callable[[], object]) -> float:
    """Once to warm up, then five times."""
    work()
    times = []
    for _ in range(RUNS):
        began = time.perf_counter()
        work()
        times.append((time.perf_counter() - began) * 1000)
    return statistics.median(times)


def write(config: AlembicConfig) -> Path:
    """A manifest in which every revision adds a table of three columns."""
    revisions = scan(config).revisions
    schema: dict[str, str] = {}
    schemas = {}
    for revision in revisions:
        schema = schema | {f"table t{revision.id}": ""} | {f"column t{revision.id}.{c}": "integer" for c in "abc"}
        schemas[revision.id] = schema
    path = manifest_path(config, None)
    path.write_text(build(17, Graph(revisions), schemas).serialise())
    return path


def measure(size: int) -> str:
    """The line for one size."""
    with tempfile.TemporaryDirectory() as folder:
        config = load_config(None, line(Path(folder) / "project", size, every=size).path)
        assert isinstance(config, AlembicConfig)
        path = write(config)
        scanned = scan(config)
        manifest = load_manifest(path)
        assert manifest is not None
        heads = Graph(scanned.revisions).heads
        files = median_ms(lambda: scan(config))
        load = median_ms(lambda: load_manifest(path))
        check = median_ms(lambda: compare_with_files(manifest, hashes(scanned, scanned.revisions), scanned.revisions))
        head = median_ms(lambda: Manifest.parse(path.read_text()).schema_at(heads)) - load
    return f"{size:8} {files:23.0f} {load:7.0f} {check:22.0f} {head:17.0f} {load + check + head:20.0f}"


def main(sizes: Sequence[int]) -> None:
    """Print one line a size."""
    print("manifest     files: read and hash    load    check against files    schema at head    sum without files")
    for size in sizes:
        print(measure(size))


if __name__ == "__main__":
    main([int(argument) for argument in sys.argv[1:]] or [8, 1000, 3000])
