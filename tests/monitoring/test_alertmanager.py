"""The example of an Alertmanager: its own tool takes it, and it holds back what another alert explains."""

import asyncio
import os
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import yaml

from tests.monitoring.prometheus import FOLDER
from tests.support.ports import free_port
from tests.support.waiting import until

CONFIG = FOLDER / "alertmanager.yml"
RULES = yaml.safe_load((FOLDER / "rules" / "dayz-relay.yml").read_text())
ALERTS = {rule["alert"] for group in RULES["groups"] for rule in group["rules"]}
START_WITHIN_S = 60.0
BINARY = shutil.which("prometheus-alertmanager") or shutil.which("alertmanager")

ALERTMANAGER_THERE = pytest.mark.skipif(
    BINARY is None and not os.environ.get("CI"),
    reason="Alertmanager is not installed: tests/install-packages installs it",
)


@pytest.fixture
async def alertmanager(tmp_path: Path) -> AsyncIterator[httpx.AsyncClient]:
    """The API of one that runs with the example."""
    address = f"127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        str(BINARY),
        f"--config.file={CONFIG}",
        f"--storage.path={tmp_path}",
        f"--web.listen-address={address}",
        "--cluster.listen-address=",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with httpx.AsyncClient(base_url=f"http://{address}", timeout=30) as client:
            async with asyncio.timeout(START_WITHIN_S):
                while not await is_ready(client):
                    assert process.returncode is None, "it has ended"
                    await asyncio.sleep(0.1)
            yield client
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def is_ready(client: httpx.AsyncClient) -> bool:
    try:
        return (await client.get("/-/ready")).is_success
    except httpx.HTTPError:
        return False


async def shown(client: httpx.AsyncClient, *alerts: tuple[str, str]) -> set[tuple[str, str]]:
    """Sends alerts by name and instance, and returns those that are not held back."""
    posted = [{"labels": {"alertname": name, "instance": instance}} for name, instance in alerts]
    (await client.post("/api/v2/alerts", json=posted)).raise_for_status()
    answer = await until(
        lambda: client.get("/api/v2/alerts"), START_WITHIN_S, met=lambda one: len(one.json()) >= len(alerts)
    )
    return {
        (one["labels"]["alertname"], one["labels"].get("instance", ""))
        for one in answer.json()
        if not one["status"]["inhibitedBy"]
    }


@ALERTMANAGER_THERE
def test_amtool_takes_the_example() -> None:
    done = subprocess.run(["amtool", "check-config", str(CONFIG)], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_example_names_alerts_that_exist() -> None:
    named = re.findall(r'alertname=~?"([^"]+)"', CONFIG.read_text())
    assert {name for names in named for name in names.split("|")} <= ALERTS


@ALERTMANAGER_THERE
async def test_a_takaro_that_is_away_is_one_alert_and_no_other_trouble_is_held_back(
    alertmanager: httpx.AsyncClient,
) -> None:
    assert await shown(
        alertmanager,
        ("TakaroUnreachable", ""),
        *((name, f"server-{n}") for n in range(3) for name in ("TakaroLinkDown", "EventsUndelivered")),
        ("GameServerSilent", "server-1"),
        ("BacklogNearFull", "server-2"),
    ) == {("TakaroUnreachable", ""), ("GameServerSilent", "server-1"), ("BacklogNearFull", "server-2")}


@ALERTMANAGER_THERE
async def test_a_server_that_is_not_linked_holds_back_its_own_waiting_events_only(
    alertmanager: httpx.AsyncClient,
) -> None:
    assert await shown(
        alertmanager,
        ("IdentifyRefused", "one"),
        ("EventsUndelivered", "one"),
        ("EventsUndelivered", "two"),
    ) == {("IdentifyRefused", "one"), ("EventsUndelivered", "two")}


@ALERTMANAGER_THERE
async def test_redis_that_is_away_holds_back_the_events_that_wait_because_of_it(
    alertmanager: httpx.AsyncClient,
) -> None:
    assert await shown(
        alertmanager, ("StoreNotReady", ""), ("EventsUndelivered", "one"), ("BacklogNearFull", "one")
    ) == {("StoreNotReady", ""), ("BacklogNearFull", "one")}
