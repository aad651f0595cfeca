"""`make fresh-test`: a stranger's first steps in new Debians with only Python, git and make.

In each: `make up` until it shows what the mod gets, `make demo` for 20 s, and `make unit`. Packages come by
this machine's network. What runs then has a network of its own, with loopback only. Mounts and processes end
with their namespaces.
"""

import argparse
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.deploy.compose import ROOT
from tests.deploy.own_engine import mirror, run

SUITES = {"bookworm": "3.11", "trixie": "3.13", "forky": "3.14"}
"""Debian 12, 13 and the coming 14, and their Python."""
RELEASED = ("bookworm", "trixie")
"""Those that do not change from day to day."""
LIKE_SID = "/usr/share/debootstrap/scripts/sid"
"""How all of them are made. An older debootstrap does not know the newest by its name."""
FOR_20_S = "timeout --signal INT --kill-after 20 20"
PACKAGES = "ca-certificates,git,make,python3,python3-venv"

STEPS = {
    "up": (
        "make .venv/.ready",
        f"{FOR_20_S} make up >up.log 2>&1; grep TakaroApiUrl up.log && test -s relay.toml || ! cat up.log",
    ),
    "demo": (
        "make .venv/.ready",
        f"{FOR_20_S} make demo >demo.log 2>&1; grep 'the page:' demo.log || ! cat demo.log",
    ),
    "unit": ("make .venv/.ready-dev && tests/install-packages", "make unit"),
}
"""What each step installs, and what it runs."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.deploy.fresh")
    parser.add_argument("--suite", choices=SUITES, action="append")
    parser.add_argument("--step", choices=STEPS, action="append")
    chosen = parser.parse_args()
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.stderr.write("fresh-test needs root and debootstrap (tests/install-packages debootstrap)\n")
        return 1
    failed = []
    for suite in chosen.suite or RELEASED:
        with tempfile.TemporaryDirectory(prefix=f"dayz-fresh-{suite}-") as folder:
            root = make_root(Path(folder), suite)
            for step in chosen.step or STEPS:
                print(f"{suite}, Python {SUITES[suite]}: {step}", flush=True)
                if not all(inside(root, *part) for part in zip(STEPS[step], (False, True), strict=True)):
                    failed.append(f"{suite}: {step}")
    print(f"failed: {', '.join(failed)}" if failed else "all is well")
    return 1 if failed else 0


def make_root(folder: Path, suite: str) -> Path:
    """A minimal Debian with a copy of this repository in /relay."""
    root = folder / "root"
    print(f"{suite}: debootstrap", flush=True)
    run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", suite, root, mirror(), LIKE_SID)
    # An installer writes it. Without it, `localhost` is asked of a name server.
    (root / "etc/hosts").write_text("127.0.0.1\tlocalhost\n::1\tlocalhost\n")
    if certificates := os.environ.get("PIP_CERT"):  # how this machine reaches the index of packages
        shutil.copy(certificates, root / "usr/local/share/certificates.crt")
        (root / "etc/pip.conf").write_text("[global]\ncert = /usr/local/share/certificates.crt\n")
    run("git", "clone", "--quiet", ROOT, root / "relay")
    return root


def inside(root: Path, command: str, alone: bool) -> bool:
    """Whether a command succeeds in this root. Its output is shown."""
    mounts = "mount --rbind /dev dev && mount -t proc proc proc && mount -t sysfs sysfs sys"
    alone_first = "ip link set lo up && " if alone else ""
    script = (
        f"cd {root} && {mounts} && {alone_first}exec chroot . bash -c {shlex.quote('cd /relay; ' + command)}"
    )
    own = ["--mount", "--pid", "--fork", "--kill-child", *(["--net"] if alone else [])]
    environ = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
    return subprocess.run(["unshare", *own, "sh", "-c", script], env=environ).returncode == 0


if __name__ == "__main__":
    sys.exit(main())
