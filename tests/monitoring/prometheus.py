"""A real Prometheus, set as deploy/prometheus/prometheus.yml has it but for where its targets are."""

import asyncio
import contextlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.support.ports import free_port

FOLDER = Path(__file__).parents[2] / "deploy" / "prometheus"
START_WITHIN_S = 60.0

PROMETHEUS_THERE = pytest.mark.skipif(
    shutil.which("prometheus") is None and not os.environ.get("CI"),
    reason="prometheus is not installed: tests/install-packages installs it",
)
"""For tests that need it or its promtool: skipped on a laptop, not in CI."""


def promtool_test(tests: list[dict[str, Any]], folder: Path, *rules: Path) -> None:
    """Raises AssertionError with promtool's words unless all of its tests pass. A value a minute."""
    path = folder / "test.yml"
    each = [{"interval": "1m"} | test for test in tests]
    path.write_text(
        yaml.safe_dump(
            {"rule_files": [str(rule) for rule in rules], "evaluation_interval": "1m", "tests": each}
        )
    )
    done = subprocess.run(
        ["promtool", "test", "rules", str(path)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


class Prometheus:
    """Its HTTP API."""

    def __init__(self, url: str) -> None:
        self._client = httpx.AsyncClient(base_url=f"{url}/api/v1", verify=False, timeout=20)

    async def close(self) -> None:
        await self._client.aclose()

    async def get(self, path: str, **query: str) -> Any:
        """The data of an answer. Raises AssertionError with Prometheus' own words."""
        answer = (await self._client.get(path, params=query)).json()
        assert answer["status"] == "success", answer.get("error")
        return answer["data"]

    async def values(self, expr: str) -> list[float]:
        """What an expression gives now, one value a series."""
        return [float(series["value"][1]) for series in (await self.get("/query", query=expr))["result"]]


def configuration(targets: Mapping[str, str], scrape_every_s: int) -> dict[str, Any]:
    """As it is deployed, with these targets, by job."""
    found: dict[str, Any] = yaml.safe_load((FOLDER / "prometheus.yml").read_text())
    found["global"] = {key: f"{scrape_every_s}s" for key in found["global"]}
    found["rule_files"] = [str(FOLDER / pattern) for pattern in found["rule_files"]]
    found["scrape_configs"] = [one for one in found["scrape_configs"] if one["job_name"] in targets]
    for scraped in found["scrape_configs"]:
        del scraped["dns_sd_configs"]
        scraped["static_configs"] = [{"targets": [targets[scraped["job_name"]]]}]
    return found


@contextlib.asynccontextmanager
async def prometheus(targets: Mapping[str, str], scrape_every_s: int = 1) -> AsyncIterator[Prometheus]:
    """One that scrapes `targets`, and is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="relay-prometheus-") as folder:
        config = Path(folder) / "prometheus.yml"
        config.write_text(yaml.safe_dump(configuration(targets, scrape_every_s)))
        address = f"127.0.0.1:{free_port()}"
        log = Path(folder) / "log"
        with log.open("wb") as out:
            process = await asyncio.create_subprocess_exec(
                "prometheus",
                f"--config.file={config}",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={address}",
                stdout=out,
                stderr=out,
            )
        api = Prometheus(f"http://{address}")
        try:
            async with asyncio.timeout(START_WITHIN_S):
                while not await _scraped(api, len(targets)):
                    assert process.returncode is None, log.read_text()
                    await asyncio.sleep(0.2)
            yield api
        finally:
            await api.close()
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _scraped(api: Prometheus, targets: int) -> bool:
    try:
        return sum(await api.values("up")) == targets
    except (httpx.HTTPError, ValueError):
        return False
