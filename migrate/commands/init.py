"""`migrate init`: write the files with which a platform runs the job before the service, with the user's names."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from typing import TYPE_CHECKING, Final

import click

from migrate.commands.compose import overlay
from migrate.commands.verb import verb
from migrate.core.decide.outcome import Outcome, Result
from migrate.core.platform_files import PLATFORMS
from migrate.core.problems import ExitCode, stop
from migrate.core.start_command import gated, without_shell
from migrate.job.front_door import conduct
from migrate.job.voice import Answer, Report, Speech

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from migrate.job.session import Session

_PLACE: Final = re.compile(r"@([a-z-]+)@")
# A DNS label, which each of the platforms takes as a name.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")
_IMAGE: Final = re.compile(r"[a-z0-9][\w./:-]*(@sha256:[0-9a-f]{64})?")
# Compose's own names of services, and its `${TAG}` and `${TAG:-v1}` in the name of an image.
_COMPOSE_NAME: Final = re.compile(r"[a-zA-Z0-9][\w.-]*")
_IMAGE_OF_COMPOSE: Final = re.compile(r"[a-z0-9$][\w./:@${}?-]*")
_PATH: Final = re.compile(r"/[\w./-]*")
_JOB_HEADER: Final = """\
# The release job. A Job's pods cannot be changed, so each release replaces it:
#
#   kubectl replace --force -f deploy/kubernetes/job.yaml
#   kubectl wait --for=condition=complete --timeout=35m job/{project}-migrate
"""
_HOOK_HEADERS: Final = {
    "helm": """\
# The release job as a hook: `helm upgrade` changes nothing of the release before it has ended well.
""",
    "argo-cd": """\
# The release job as a hook: a sync applies nothing of a later wave before it has ended well.
""",
}
_CONTRACT_HEADER: Final = """\
# The second job of a release, after the old one has stopped: it applies what the first has held.
"""
_HELM: Final = """\
  annotations:
    helm.sh/hook: {when}
    helm.sh/hook-weight: "-5"
    # The job of the last release is kept until the next one, so that its log can be read.
    helm.sh/hook-delete-policy: before-hook-creation
"""
# Not PreSync, which comes before the chart's own secrets; within a sync, what has a lower wave is there before.
_ARGO_CD: Final = """\
  annotations:
    argocd.argoproj.io/hook: {when}
    argocd.argoproj.io/sync-wave: "-5"
    # The job of the last release is kept until the next one, so that its log can be read.
    argocd.argoproj.io/hook-delete-policy: BeforeHookCreation
"""
# How a platform that runs the Job by itself is told when: the annotations, before the release and after it.
_HOOKS: Final = {
    "helm": (_HELM, "pre-install,pre-upgrade", "post-install,post-upgrade"),
    "argo-cd": (_ARGO_CD, "Sync", "PostSync"),
}
_START: Final = "uvicorn app:app --host 0.0.0.0 --port {port}"
# Where the program has to listen: Fly's internal_port, which the file sets, is a number; Railway and Heroku choose one.
_PORTS: Final = {
    **dict.fromkeys(("railway", "railway-py", "railway-json", "heroku", "render"), "$PORT"),
    "fly": "8080",
}
# An indexed job: each pod is told its number, and each number is tried again by itself.
_INDEXED: Final = """\
  completionMode: Indexed
  completions: {count}
  parallelism: {count}
  backoffLimitPerIndex: 4
"""
_SHARDED: Final = ("kubernetes", "helm", "argo-cd", "cloud-run", "aws-batch")
_RAILWAY_LIMIT_S: Final = 3600  # the longest that Railway takes
_RAILWAY_DEADLINE: Final = "59m"  # a minute less, to cancel the statement, roll back and say so


@verb("init", exits=(ExitCode.OK, ExitCode.INTERNAL, ExitCode.USAGE, ExitCode.CONFIG, ExitCode.POLICY), settings=False)
@click.argument("platform", type=click.Choice(list(PLATFORMS)), metavar="PLATFORM")
@click.option("--project", help="The project's name. [default: the folder's]")
@click.option("--service", default="web", show_default=True, help="The service that must not start before the job.")
@click.option(
    "--image",
    help="The image that has migrate and the history. [default: the project's name; with compose, the service's image]",
)
@click.option(
    "--dockerfile", help="What builds that image. [default: Dockerfile; with compose, what the service is built from]"
)
@click.option(
    "--database",
    help="With compose: the service that is the database. [default: found by DATABASE_URL, its name or its image]",
)
@click.option("--start", help="What starts the service. [default: uvicorn app:app, on the platform's port]")
@click.option(
    "--health", default="/health", show_default=True, help="The path that answers 200 when the service is up."
)
@click.option(
    "--contract",
    is_flag=True,
    help="Two jobs: the first holds what breaks the running release, the second applies that once it has stopped.",
)
@click.option(
    "--scheduled-verify",
    is_flag=True,
    help="Also a job that compares the schema with the manifest every night, and fails on drift.",
)
@click.option(
    "--shards",
    type=click.IntRange(2, 1000),
    help="With kubernetes, helm, argo-cd, cloud-run and aws-batch: this many machines at once, each with its part of the tenants.",
)
@click.option("--force", is_flag=True, help="Replace existing files that have other content.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def init(
    *,
    platform: str,
    contract: bool,
    scheduled_verify: bool,
    shards: int | None,
    force: bool,
    as_json: bool,
    **names: str | None,
) -> Answer:
    """Write the files with which PLATFORM runs `migrate up` before the service starts, and say what to do next.

    \b
    PLATFORM is one of:
      railway  railway-py  railway-json  render  heroku  fly
      compose  kubernetes  helm  argo-cd
      ecs  aws-batch  azure-container-apps  cloud-run
      github-actions  gitlab-ci
    """  # noqa: D301 - a paragraph after a backspace is not filled

    def body(session: Session) -> Report:
        folder = session.cwd
        values = placeholders(folder, platform, names)
        chosen = PLATFORMS[platform]
        first: tuple[str, ...] = ()
        if platform == "compose":
            found = overlay(folder, names)
            values |= found.values
            first = found.told
        if shards is not None:
            values |= _in_shards(platform, shards)
        if contract:
            values |= _holding(platform, values)
        texts = {path: render(template, values) for path, template in chosen.files.items()}
        if contract:
            second = values | _contracting(platform)
            texts |= {path: render(template, second) for path, template in chosen.contract.items()}
        if scheduled_verify:
            if not chosen.verify:
                known = ", ".join(name for name, each in PLATFORMS.items() if each.verify)
                raise stop(
                    "usage",
                    f"{platform} has no schedule that init could write a file for; these have: {known}",
                    names={"verb": "init"},
                )
            texts |= {path: render(template, values) for path, template in chosen.verify.items()}
        _refuse_to_replace(folder, texts, platform, force=force)
        there = [path for path, text in texts.items() if _holds(folder / path, text)]
        for path, text in texts.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_text(text, encoding="utf-8")
        fields = {"project": values["project-name"], "compose": values.get("compose-base", "")}
        steps = [*first, *(step.format(**fields) for step in chosen.next)]
        if contract:
            steps.append(chosen.contracting.format(**fields))
        if scheduled_verify:
            steps.append(chosen.verifying)
        if platform in _PORTS and names["start"] is None:
            steps.insert(
                0, f"the start command is a guess, {values['start-line']}: migrate init {platform} --start '...'"
            )
        wrote = [f"{'unchanged' if path in there else 'wrote'} {path}" for path in texts]
        text = "\n".join([*wrote, "", "next:", *(f"  {step}" for step in steps)])
        return Report(
            Outcome(Result.NOOP),
            {"written": [path for path in texts if path not in there], "unchanged": there, "next": steps},
            text=text,
            message=f"init: {', '.join(wrote)}",
        )

    return conduct("init", {}, body, speech=Speech.JSON if as_json else Speech.TEXT)


def placeholders(folder: Path, platform: str, names: Mapping[str, str | None]) -> dict[str, str]:
    """What the templates leave open, each as the format of its place wants it. Raises Stop for a name that none takes."""
    guessed = re.sub(r"[^a-z0-9]+", "-", folder.name.lower()).strip("-")[:40].strip("-") or "app"
    project = names["project"] or guessed
    service = names["service"] or ""
    image = names["image"] or project
    dockerfile = names["dockerfile"] or "Dockerfile"
    service_name = _COMPOSE_NAME if platform == "compose" else _NAME
    start = names["start"]
    if start is None:
        start = _START.format(port=_PORTS.get(platform, ""))
    for flag, value, allowed in (
        ("--project", project, _NAME),
        ("--service", service, service_name),
        ("--image", image, _IMAGE_OF_COMPOSE if platform == "compose" else _IMAGE),
        ("--database", names["database"] or "db", service_name),
        ("--dockerfile", dockerfile, re.compile(r"[\w./-]+")),
        ("--health", names["health"] or "", _PATH),
        ("--start", start, re.compile(r"[^\n\r\0]+")),
    ):
        if not allowed.fullmatch(value):
            raise stop(
                "usage", f"{flag} cannot be {value!r}: it has to match {allowed.pattern}", names={"verb": "init"}
            )
    hook, before, _ = _HOOKS.get(platform, ("", "", ""))
    return {
        "project": json.dumps(project),
        "project-name": project,
        "service": json.dumps(service),
        "service-name": service,
        "image": '"{{ .Values.migrateImage }}"' if platform == "helm" else image,
        "image-name": image.partition(":")[0].partition("@")[0],
        "dockerfile": json.dumps(dockerfile),
        "start-line": start,
        "exec-start": json.dumps(without_shell(start)),
        "gated-start": json.dumps(gated(start)),
        "limit": str(_RAILWAY_LIMIT_S),
        "deadline": _RAILWAY_DEADLINE,
        "health": json.dumps(names["health"]),
        "header": _HOOK_HEADERS.get(platform) or _JOB_HEADER.format(project=project),
        "annotations": hook.format(when=before),
        "component": "migrate",
        "breaking": "",
        "breaking-words": "",
        "contract": "",
        "backoff": "  backoffLimit: 4\n",
        "fail": "FailJob",
        "the-job": "the job",
        "shards": "",
        "shard-count": "1",
        "array": "",
    }


def _in_shards(platform: str, count: int) -> dict[str, str]:
    """What is other where several machines share the tenants. Raises Stop for a platform that gives them no number."""
    if platform not in _SHARDED:
        known = ", ".join(_SHARDED)
        raise stop(
            "usage", f"{platform} does not number the machines of a job; these do: {known}", names={"verb": "init"}
        )
    return {
        "backoff": _INDEXED.format(count=count),
        "fail": "FailIndex",
        "the-job": "its shard",
        "shards": f'            - name: MIGRATE_TENANTS_SHARDS\n              value: "{count}"\n',
        "shard-count": str(count),
        "array": f" --array-properties size={count}",
    }


def _holding(platform: str, values: Mapping[str, str]) -> dict[str, str]:
    """What is other in the first of two jobs, and the second one where it stands in the same file."""
    beside = {"compose": "contract.compose.yaml", "github-actions": "contract.yml"}.get(platform)
    return {
        "breaking": " --breaking hold",
        "breaking-words": ', "--breaking", "hold"',
        "contract": render(beside, values) if beside is not None else "",
    }


def _contracting(platform: str) -> dict[str, str]:
    """What is other in the second of two jobs that have a file each."""
    hook, _, after = _HOOKS.get(platform, ("", "", ""))
    return {
        "component": "contract",
        "breaking-words": ', "--breaking", "allow"',
        "header": _CONTRACT_HEADER,
        "annotations": hook.format(when=after),
    }


def render(template: str, values: Mapping[str, str]) -> str:
    """A template's text with its places filled."""
    text = (files("migrate") / "templates" / template).read_text("utf-8")
    return _PLACE.sub(lambda found: values.get(found[1], found[0]), text)


def _holds(path: Path, text: str) -> bool:
    return path.exists() and path.read_text("utf-8") == text


def _refuse_to_replace(folder: Path, texts: Mapping[str, str], platform: str, *, force: bool) -> None:
    """All files or none: whoever is told "no" finds the repository as it was."""
    differing = [path for path, text in texts.items() if (folder / path).exists() and not _holds(folder / path, text)]
    if differing and not force:
        raise stop(
            "files-exist",
            f"{', '.join(differing)} {'is' if len(differing) == 1 else 'are'} there already, with other content",
            names={"platform": platform},
        )
