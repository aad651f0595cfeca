"""Memory and open descriptors of each process in a world, and the version of the store."""

import asyncio
import contextlib
import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from tests.support.redis_server import RedisServer
from tests.support.relay_process import Service


async def measure(services: Iterable[Service], store: Any) -> dict[str, dict[str, float]]:
    """Memory and descriptors of each running process."""
    found = {service.label: _process_facts(service.pid) for service in services if service.running}
    for number, member in enumerate(_members(store)):
        with contextlib.suppress(Exception):  # a server that is down uses no memory
            told = await _info(member, "memory")
            found[f"store {number}"] = {"used_mib": float(told["used_memory"]) / 2**20}
    return found


async def server_version(store: Any) -> str:
    """ "Valkey 9.1.2" or "Redis 7.0.15"."""
    told = await _info(_members(store)[0], "server")
    if version := told.get("valkey_version"):
        return f"Valkey {version}"
    return f"Redis {told['redis_version']}"


def _members(store: Any) -> list[RedisServer]:
    """The single server, or all servers of a set."""
    return list(getattr(store, "members", [store]))


def _process_facts(pid: int) -> dict[str, float]:
    status = Path(f"/proc/{pid}/status").read_text()
    rss_kib = next(line.split()[1] for line in status.splitlines() if line.startswith("VmRSS"))
    return {"rss_mib": int(rss_kib) / 1024, "fds": float(len(os.listdir(f"/proc/{pid}/fd")))}


async def _info(member: RedisServer, section: str) -> dict[str, Any]:
    told = await asyncio.to_thread(member.ask, "INFO", section)
    if isinstance(told, dict):
        return told
    return dict(line.split(":", 1) for line in told.splitlines() if ":" in line)
