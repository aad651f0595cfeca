""".github/workflows: valid by the schema, pinned, and with no more rights than each job needs."""

import json
import re
import tomllib
from importlib import resources
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.compose import ROOT

FILES = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
PINNED = re.compile(r"[\w-]+/[\w-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+$")
WRITES = {
    ("release", "wheel"): {"id-token", "attestations"},
    ("release", "image"): {"packages"},
    ("release", "release"): {"contents"},
}
"""What a job may write. All others read the repository at most."""


def read(name: str) -> dict[str, Any]:
    """`on` as a word: YAML 1.1 takes it for a boolean."""
    text = (ROOT / ".github" / "workflows" / f"{name}.yml").read_text()
    document = yaml.safe_load(text)
    return {("on" if key is True else key): value for key, value in document.items()}


WORKFLOWS = {path.stem: read(path.stem) for path in FILES}
JOBS = {(name, job): body for name, one in WORKFLOWS.items() for job, body in one["jobs"].items()}
STEPS = [step for job in JOBS.values() for step in job["steps"]]


@pytest.mark.parametrize("name", WORKFLOWS)
def test_each_workflow_is_valid(name: str) -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "github-workflows.json"
    schema = json.loads(vendored.read_text())
    checker = jsonschema.validators.validator_for(schema)(schema)
    checker.validate(WORKFLOWS[name])
    assert not checker.is_valid(WORKFLOWS[name] | {"permisions": {}})


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_action_is_pinned_by_its_commit_and_names_its_version(path: Any) -> None:
    used = re.findall(r"uses: *(.*)", path.read_text())
    assert used and [one for one in used if not PINNED.match(one)] == []


def test_an_action_has_one_version_everywhere() -> None:
    used = {str(step["uses"]) for step in STEPS if "uses" in step}
    assert len(used) == len({one.partition("@")[0] for one in used})


def test_a_job_may_do_no_more_than_it_needs() -> None:
    assert all(one["permissions"] == {} for one in WORKFLOWS.values())
    for key, job in JOBS.items():
        rights = job["permissions"]
        assert {name for name, right in rights.items() if right == "write"} == WRITES.get(key, set()), key
        assert set(rights) - WRITES.get(key, set()) <= {"contents"}, key
        assert job["timeout-minutes"] <= 60
    checkouts = [step for step in STEPS if "actions/checkout@" in step.get("uses", "")]
    assert len(checkouts) == len(JOBS)
    assert all(step["with"]["persist-credentials"] is False for step in checkouts)


def test_names_from_strangers_are_never_put_into_a_shell() -> None:
    """A branch's name, or a title, would be run there."""
    scripts = [str(step["run"]) for step in STEPS if "run" in step]
    inserted = {found for script in scripts for found in re.findall(r"\${{\s*([\w.]+)", script)}
    assert inserted <= {"matrix.targets"}
    assert all("pull_request_target" not in one["on"] for one in WORKFLOWS.values())


def test_the_matrix_begins_with_the_oldest_python_that_is_promised() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pythons = JOBS["tests", "unit"]["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert project["requires-python"] == f">={pythons[0]}"


def test_everything_of_make_test_is_run() -> None:
    makefile = (ROOT / "Makefile").read_text()
    (of_test,) = re.findall(r"^test: \S+ (.*)$", makefile, re.M)
    whole = JOBS["tests", "whole"]["strategy"]["matrix"]["targets"]
    assert {"unit", *" ".join(whole).split(), "compose-here"} == set(of_test.split())
    made = {word for step in STEPS for word in re.findall(r"^make ([\w -]+)$", step.get("run", ""), re.M)}
    for target in {word for line in made for word in line.split()} | set(of_test.split()):
        assert re.search(rf"^{target}:", makefile, re.M), target
    assert "compose-test" in made  # what compose-here runs where an engine answers
