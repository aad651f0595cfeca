"""A container engine of the tests' own, as root on Debian: dockerd on a socket and in a folder of its own.

It has Debian's Compose, and images of Debian's packages under the names of the official ones, which cannot be
had everywhere. What it stores is in memory, some 1.5 GB, and gone with it.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.deploy.compose import ROOT
from tests.deploy.engine import REDIS, Engine, NoEngine

BASE = "debian:compose-test"
SUITE = "trixie"
PACKAGES = "ca-certificates,python3,python3-venv,redis-server"
KEPT = ROOT / "build" / f"{SUITE}-base.tar"
"""The base image, for the next run."""
STARTS_WITHIN_S = 60.0
IN_MEMORY = 'mount -t tmpfs tmpfs "$0" && exec "$@"'
"""For `sh -c`, in a mount namespace: the folder, then the command."""


@contextmanager
def running() -> Iterator[Engine]:
    """Raises NoEngine."""
    run(ROOT / "tests" / "install-packages", "dockerd=docker.io", "debootstrap")
    with tempfile.TemporaryDirectory(prefix="dayz-engine-") as name:
        folder = Path(name)
        own = Engine(
            {"DOCKER_HOST": f"unix://{folder}/socket", "DOCKER_CONFIG": str(folder / "config")}, override()
        )
        unpack_compose(folder)
        with daemon(own, folder):
            make_images(own, folder)
            yield own


def override() -> dict[str, dict[str, object]]:
    redis = {name: {"image": REDIS.partition("@")[0]} for name in ("redis", "backup", "setup")}
    # The network of this machine, for packages: containers of this engine reach only each other.
    return redis | {"modapi": {"build": {"network": "host", "args": {"BASE": BASE}}}}


def unpack_compose(folder: Path) -> None:
    """The plugin of Debian's package. Nothing is installed: older releases of Debian have no such package."""
    lists = folder / "apt.list"
    keys = "/usr/share/keyrings/debian-archive-keyring.gpg"
    lists.write_text(f"deb [signed-by={keys}] {mirror()} {SUITE} main\n")
    options = {
        "Dir::Etc::SourceList": str(lists),
        "Dir::Etc::SourceParts": "/dev/null",
        "Dir::State::Lists": str(folder / "lists"),
        "Dir::Cache": str(folder / "cache"),
        "APT::Sandbox::User": "root",
    }
    for name in ("lists/partial", "cache/archives/partial", "config/cli-plugins"):
        (folder / name).mkdir(parents=True)
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    run(*apt, "download", "docker-compose", cwd=folder)
    (package,) = folder.glob("docker-compose*.deb")
    run("dpkg", "-x", package, folder / "compose")
    plugin = folder / "compose/usr/libexec/docker/cli-plugins/docker-compose"
    shutil.copy(plugin, folder / "config" / "cli-plugins" / plugin.name)


def mirror() -> str:
    """Where apt has its packages from."""
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split()
    return next(uri for uri in found if uri.rstrip("/").endswith("/debian"))


@contextmanager
def daemon(own: Engine, folder: Path) -> Iterator[None]:
    """Containers, processes and mounts are in namespaces that end with it."""
    data = folder / "data"
    data.mkdir()
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc"]
    command += ["sh", "-c", IN_MEMORY, str(data), "dockerd", "--data-root", str(data)]
    command += ["--host", own.environ["DOCKER_HOST"], "--pidfile", str(folder / "pid")]
    # It changes nothing in how this machine passes packets.
    command += ["--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"]
    command += ["--exec-root", str(folder / "exec")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        deadline_s = time.monotonic() + STARTS_WITHIN_S
        while "Server Version" not in own.docker("info", check=False):
            if process.poll() is not None or time.monotonic() > deadline_s:
                raise NoEngine(f"dockerd does not run here: {(folder / 'log').read_text()[-300:]}")
            time.sleep(0.2)
        yield
    finally:
        process.kill()
        process.wait()


def make_images(own: Engine, folder: Path) -> None:
    if not KEPT.exists():
        make_base(folder)
    own.docker("import", str(KEPT), BASE)
    context = folder / "redis"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {BASE}\nRUN mkdir /data && chown redis: /data\nVOLUME /data\n")
    own.docker("build", "--network=none", "--tag", REDIS.partition("@")[0], str(context))


def make_base(folder: Path) -> None:
    root, added, unfinished = folder / "root", folder / "added", folder / "base.tar"
    root.mkdir()
    added.mkdir()
    # How this machine reaches the index of packages.
    if certificates := os.environ.get("PIP_CERT"):
        shutil.copy(certificates, added / "certificates.crt")
        (added / "pip.conf").write_text("[global]\ncert = /etc/certificates.crt\n")
    steps = (
        f"debootstrap --variant=minbase --include={PACKAGES} {SUITE} {root} {mirror()}"
        f" && cp -r {added}/. {root}/etc && tar -C {root} -cf {unfinished} ."
    )
    run("unshare", "--mount", "sh", "-c", IN_MEMORY, root, "sh", "-c", steps)
    KEPT.parent.mkdir(exist_ok=True)
    shutil.move(unfinished, KEPT)


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{argv[0]}: exit code {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout
