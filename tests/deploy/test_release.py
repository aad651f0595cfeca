"""What a release is made of: a wheel that anyone can build again, an SBOM of all pins, a page of changes."""

import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.wheel import build, git
from docs.repeated import VERSION
from tests.deploy.compose import ROOT

CHANGELOG = (ROOT / "CHANGELOG.md").read_text()
KINDS = ["Added", "Changed", "Fixed", "Removed"]
TOOL = shutil.which("cyclonedx-py", path=str(Path(sys.executable).parent))


def test_a_wheel_does_not_show_who_built_it_or_when(tmp_path: Path) -> None:
    """`make wheel` builds it twice and compares the bytes."""
    before = os.umask(0o077)
    try:
        wheel = zipfile.ZipFile(build(ROOT, "HEAD", tmp_path))
    finally:
        os.umask(before)
    time_s = int(git(ROOT, "log", "-1", "--format=%ct"))
    of_commit = datetime.datetime.fromtimestamp(time_s - time_s % 2, datetime.UTC)  # a zip counts in twos
    with wheel:
        files = wheel.infolist()
    assert {file.date_time for file in files} == {of_commit.timetuple()[:6]}
    assert {oct(file.external_attr >> 16) for file in files} <= {"0o100644", "0o100755", "0o100664"}
    served = git(ROOT, "ls-tree", "-r", "--name-only", "HEAD", "services").decode().split()
    assert {name for name in served if not name.endswith(".md")} <= {file.filename for file in files}


def test_the_newest_version_has_its_changes_and_its_date() -> None:
    titles = re.findall(r"^## (.*)$", CHANGELOG, re.M)
    assert titles[0] == "[Unreleased]"
    released = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - (\d{4}-\d\d-\d\d)", title) for title in titles[1:]]
    assert released[0] and released[0][1] == VERSION
    dates = [datetime.date.fromisoformat(found[2]) for found in released if found]
    assert len(dates) == len(titles) - 1 and all(newer > older for newer, older in pairwise(dates))


@pytest.mark.parametrize("section", re.split(r"^## ", CHANGELOG, flags=re.M)[1:], ids=lambda text: text[:12])
def test_changes_are_sorted_by_their_kind(section: str) -> None:
    kinds = re.findall(r"^### (.*)$", section, re.M)
    assert kinds == [kind for kind in KINDS if kind in kinds]


@pytest.mark.parametrize("name", ["dev", "fuzz", "release"])
def test_tests_and_releases_have_the_pins_of_the_relay(name: str) -> None:
    """They are installed over each other. `make pins` renews them together."""
    pins, others = (
        set(re.findall(r"^\S+==\S+", (ROOT / file).read_text(), re.M))
        for file in ("requirements.txt", f"requirements-{name}.txt")
    )
    assert len(pins) > 30 and pins <= others


@pytest.mark.skipif(TOOL is None, reason="`make sbom` installs what writes an SBOM, and runs this")
def test_the_sbom_has_every_pin_with_its_hashes(tmp_path: Path) -> None:
    makefile = (ROOT / "Makefile").read_text().replace("\\\n", "")
    (written,) = re.findall(r"cyclonedx-py (.*) dist/dayz-relay.cdx.json$", makefile, re.M)
    sbom = tmp_path / "sbom.json"
    subprocess.run([str(TOOL), *written.split(), str(sbom)], cwd=ROOT, check=True, capture_output=True)
    document = json.loads(sbom.read_text())
    root = document["metadata"]["component"]
    assert document["bomFormat"] == "CycloneDX"
    assert (root["name"], root["version"]) == ("dayz-relay", VERSION)
    found = {
        f"{one['name']}=={one['version']}": {
            hashed["content"] for place in one["externalReferences"] for hashed in place["hashes"]
        }
        for one in document["components"]
    }
    pins = re.split(r"\n(?=\S)", (ROOT / "requirements.txt").read_text())
    assert found == {
        pin.split()[0].partition("[")[0]: set(re.findall(r"sha256:(\w+)", pin)) for pin in pins if pin
    }
