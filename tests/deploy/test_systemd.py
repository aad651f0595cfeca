"""deploy/systemd: systemd takes the units without a word, finds them well closed; they start the relay."""

import os
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from services.cli import supervise
from services.uplink.connection import closing_times as uplink
from tests.deploy.compose import ROOT
from tests.support.command_line import parsed

FOLDER = ROOT / "deploy" / "systemd"
UNITS = {
    "dayz-relay.service": "dayz-relay.service",
    "dayz-relay@.service": "dayz-relay@modapi.service",
    "dayz-relay-agent.service": "dayz-relay-agent.service",
}
"""The files, and what is started of them."""

ORDER = "dayz-relay@uplink.service.d/order.conf"

MOST_EXPOSURE = 15
"""In tenths, as `systemd-analyze security` counts: the user's own daemons are mostly above 90."""

analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze") and not os.environ.get("CI"),
    reason="systemd-analyze is not installed: tests/install-packages installs it",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A machine on which the units are installed."""
    units = tmp_path / "etc" / "systemd" / "system"
    shutil.copytree("/usr/lib/systemd/system", tmp_path / "usr/lib/systemd/system", symlinks=True)
    shutil.copytree(FOLDER, units)
    for command in ("opt/dayz-relay/bin/dayz-relay", "bin/kill"):
        path = tmp_path / command
        path.parent.mkdir(parents=True)
        path.write_text("#!/bin/sh\n")
        path.chmod(0o755)
    return tmp_path


def verify(root: Path, unit: str) -> str:
    command = ["systemd-analyze", "verify", f"--root={root}", "--man=no", unit]
    told = subprocess.run(command, capture_output=True, text=True)
    return told.stdout + told.stderr


@analyze
@pytest.mark.parametrize("unit", [*UNITS.values(), "dayz-relay@uplink.service"])
def test_systemd_accepts_the_units(root: Path, unit: str) -> None:
    assert verify(root, unit) == ""


@analyze
def test_systemd_complains_about_a_wrong_unit(root: Path) -> None:
    unit = root / "etc/systemd/system/dayz-relay.service"
    unit.write_text(unit.read_text().replace("ProtectClock=", "ProtectClocks="))
    assert "ProtectClocks" in verify(root, "dayz-relay.service")


def test_uplink_is_stopped_before_modapi() -> None:
    order = (FOLDER / ORDER).read_text()
    assert re.findall(r"^After=(.*)$", order, re.MULTILINE) == [
        "dayz-relay@modapi.service"
    ]  # stops go in reverse


@analyze
def test_systemd_reads_the_order_of_the_services(root: Path) -> None:
    order = root / "etc/systemd/system" / ORDER
    order.write_text(order.read_text().replace("After=", "Afters="))
    assert "Afters" in verify(root, "dayz-relay@uplink.service")


@analyze
@pytest.mark.parametrize("file, unit", UNITS.items())
def test_the_unit_is_hardened(tmp_path: Path, file: str, unit: str) -> None:
    path = tmp_path / unit
    path.write_text((FOLDER / file).read_text())
    command = ["systemd-analyze", "security", "--offline=true", f"--threshold={MOST_EXPOSURE}", str(path)]
    told = subprocess.run(command, capture_output=True, text=True)
    assert told.returncode == 0, told.stdout[-200:]


@pytest.mark.parametrize("file", UNITS)
def test_a_start_that_fails_is_tried_again_without_end(file: str) -> None:
    text = (FOLDER / file).read_text()
    assert "\nRestart=on-failure\n" in text and "\nRestartPreventExitStatus=" not in text
    (pause_s,) = re.findall(r"^RestartSec=(\d+)$", text, re.MULTILINE)
    assert int(pause_s) >= 3  # systemd gives up after five starts in ten seconds


@pytest.mark.parametrize("file", UNITS)
def test_the_unit_starts_a_program_that_exists(file: str) -> None:
    text = (FOLDER / file).read_text()
    (line,) = re.findall(r"^ExecStart=(.*)$", text, re.MULTILINE)
    for service in ("modapi", "uplink"):
        command, *arguments = shlex.split(line.replace("%i", service))
        assert command == "/opt/dayz-relay/bin/dayz-relay"
        parsed(arguments)


@pytest.mark.parametrize("file", ["dayz-relay.service", "dayz-relay@.service"])
def test_processes_of_the_unit_can_count_their_cpu_and_memory(file: str) -> None:
    assert "ProcSubset=" not in re.sub("#.*", "", (FOLDER / file).read_text())  # they need /proc/stat


def test_the_store_is_stopped_by_the_relay_and_not_beside_it() -> None:
    text = (FOLDER / "dayz-relay.service").read_text()
    assert "KillMode=mixed" in text
    (folder,) = re.findall(r"--data (\S+)", text)
    assert f"StateDirectory={Path(folder).name}" in text and folder.startswith("/var/lib/")


def test_a_stop_has_the_time_in_which_uplink_answers_what_takaro_has_asked() -> None:
    def within_s(file: str) -> float:
        (text,) = re.findall(r"^TimeoutStopSec=(.*)$", (FOLDER / file).read_text(), re.MULTILINE)
        return float(text)

    assert within_s("dayz-relay@.service") > uplink.STOP_WITHIN_S + 2
    assert supervise.STOP_WITHIN_S > uplink.STOP_WITHIN_S + 2
    assert within_s("dayz-relay.service") > 3 * supervise.STOP_WITHIN_S  # uplink, modapi, the store


@pytest.mark.parametrize("file", UNITS)
def test_the_user_of_the_unit_is_made_by_the_file_beside_it(file: str) -> None:
    (user,) = re.findall(r"^User=(.*)$", (FOLDER / file).read_text(), re.MULTILINE)
    assert f"\nu {user} " in (FOLDER / "dayz-relay.sysusers.conf").read_text()
