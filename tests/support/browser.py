"""A headless browser for tests of the page."""

import os
import shutil
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from playwright.async_api import BrowserContext, async_playwright, expect

WITHIN_MS = 40_000

# Root has no sandbox. The other arguments keep it from calling out.
ARGUMENTS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)


@asynccontextmanager
async def browser(**options: Any) -> AsyncIterator[BrowserContext]:
    """Debian's Chromium with a fresh profile. Where it is missing, the test is skipped, except in CI."""
    program = shutil.which("chromium")
    if program is None:
        if os.environ.get("CI"):
            pytest.fail("chromium is not installed: run tests/install-packages")
        pytest.skip("chromium is not installed: tests/install-packages installs it")
    with tempfile.TemporaryDirectory(prefix="relay-browser-", ignore_cleanup_errors=True) as profile:
        async with async_playwright() as playwright:
            context = await playwright.chromium.launch_persistent_context(
                profile, executable_path=program, args=ARGUMENTS, **options
            )
            context.set_default_timeout(WITHIN_MS)
            expect.set_options(timeout=WITHIN_MS)
            yield context
            await context.close()
