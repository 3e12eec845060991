"""What a manifest keeps of the environment: names, switches, and never what may be a secret."""

from __future__ import annotations

import pytest

from migrate.core.decide.environment import of_environment
from migrate.core.decide.plan import Refusal
from migrate.core.manifest.entries import MalformedManifest
from migrate.core.manifest.manifest import Manifest
from migrate.core.manifest.variables import differing, fixed_by, kept, lines
from migrate.core.problems import problem

FIXED = {"REGION": "eu", "API_KEY": "abc"}
ENVIRON = {"MULTI": "TRUE", "TIER": "gold", "SECRET_MODE": "1", "REGION": "us"}


def test_a_switch_and_what_is_fixed_are_kept_and_of_the_others_whether_they_are_set():
    names = ["TIER", "MULTI", "SECRET_MODE", "REGION", "API_KEY", "GONE", "GONE"]
    assert lines(names, ENVIRON, FIXED) == (
        "API_KEY set", "GONE unset", "MULTI=TRUE", "REGION=eu", "SECRET_MODE set", "TIER set",
    )  # fmt: skip
    assert fixed_by(["A =b=c", "EMPTY="]) == {"A": "b=c", "EMPTY": ""}


@pytest.mark.parametrize(
    ("line", "environ", "said"),
    [
        ("MULTI=true", {"MULTI": "true"}, ()),
        ("MULTI=true", {}, ("MULTI is not set here, and was true when the manifest was written",)),
        ("MULTI=true", {"MULTI": "0"}, ("MULTI is 0 here, and was true when the manifest was written",)),
        ("REGION=eu", {"REGION": "us"}, ("REGION is set here, and was eu when the manifest was written",)),
        ("TIER set", {"TIER": "any"}, ()),
        ("TIER set", {}, ("TIER is not set here, and was set when the manifest was written",)),
        ("TIER set", {"TIER": "1"}, ()),
        ("TIER unset", {"TIER": "x"}, ("TIER is set here, and was not set when the manifest was written",)),
        ("TIER unset", {}, ()),
    ],
)
def test_what_is_other_here_is_said_without_a_value_that_may_be_a_secret(line, environ, said):
    assert differing([line], environ) == said


def test_what_was_not_asked_again_stays():
    assert kept(["A=1", "B set", "C unset"], ["B"]) == ("A=1", "C unset")


def test_drift_that_the_environment_explains_is_that():
    refusal = Refusal(problem("drift", "table a is missing", differences=["table a is missing"]))
    assert of_environment(refusal, ()) is refusal
    found = of_environment(refusal, ("A is set here",)).problem
    assert (found.kind.code, found.why) == ("other-environment", "A is set here; table a is missing")
    assert found.facts["differences"] == ["table a is missing"]


def test_the_manifest_has_them_a_line_each():
    made = Manifest(17, (), environ=("A=1", "B unset"))
    text = made.serialise()
    assert '\n "environ": [\n  "A=1",\n  "B unset"\n ],\n "format"' in text
    assert Manifest.parse(text).environ == ("A=1", "B unset")
    with pytest.raises(MalformedManifest, match="environ is not a list of strings"):
        Manifest.parse(text.replace('"B unset"', "1"))
