"""How large the images are and how long they take to start, against the base image and plain Alembic in the same image.

Run with `python -m tests.bench.bench_image` where a Docker engine answers. Times are the median of five, in ms, from
`docker run` to the end of the container.
"""

from __future__ import annotations

import json
import statistics
import time
from typing import TYPE_CHECKING

from tests.containers.conftest import (
    JOB_IMAGE,
    MIGRATE_IMAGE,
    WEB_IMAGE,
    Release,
    a_release,
    build_images,
    docker,
    must,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

RUNS = 5
BASE = "python:3.13-slim"
URL = "postgresql://newsifier:for-tests-only@db:5432/newsifier"


def size_mb(image: str) -> float:
    """The size of the image's layers, as the engine counts them."""
    size: int = json.loads(must(docker("image", "inspect", image)).stdout)[0]["Size"]
    return size / 1e6


def medians_ms(commands: Mapping[str, Sequence[str]]) -> dict[str, float]:
    """Run each container once to warm up, then five times in turn, so that a busy moment falls on all of them."""
    times: dict[str, list[float]] = {name: [] for name in commands}
    for _ in range(RUNS + 1):
        for name, arguments in commands.items():
            start = time.perf_counter()
            must(docker("run", "--rm", *arguments))
            times[name].append((time.perf_counter() - start) * 1000)
    return {name: statistics.median(taken[1:]) for name, taken in times.items()}


def report_sizes() -> None:
    """Print one line an image."""
    base = size_mb(BASE)
    print(f"{'image':<28} {'MB':>8} {'over the base':>14}")
    for image in (BASE, JOB_IMAGE, MIGRATE_IMAGE, WEB_IMAGE):
        print(f"{image:<28} {size_mb(image):>8.0f} {size_mb(image) - base:>14.0f}")


def report_starts(release: Release) -> None:
    """Print one line a command; the database is at head, so that `up` has nothing to do."""
    release.start_database()
    must(release.migrate())
    database = ("--network", f"{release.project}_default", "--env", f"DATABASE_URL={URL}")
    empty = "an empty container (true)"
    taken = medians_ms(
        {
            empty: ("--entrypoint", "true", BASE),
            "python -c pass": ("--entrypoint", "python", BASE, "-c", "pass"),
            "migrate --version": (MIGRATE_IMAGE, "--version"),
            "migrate up, nothing to do": (*database, MIGRATE_IMAGE),
            "alembic upgrade head, nothing to do": (
                *database, "--entrypoint", "alembic", MIGRATE_IMAGE, "upgrade", "head",
            ),
        },
    )  # fmt: skip
    print(f"\n{'container':<40} {'ms':>8} {'over an empty one':>18}")
    for name, took in taken.items():
        print(f"{name:<40} {took:>8.0f} {took - taken[empty]:>18.0f}")


def main() -> None:
    """Build the images of this tree, then report."""
    if docker("info").exit_code != 0:
        print("no Docker engine answers: sizes and starts of the images are not measured")
        return
    build_images()
    report_sizes()
    with a_release() as release:
        report_starts(release)


if __name__ == "__main__":
    main()
