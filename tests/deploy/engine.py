"""A container engine: the one of this machine, or one of the tests' own where none runs.

To make one takes root on Debian: dockerd on a socket and in a folder of its own, Debian's Compose, and images
of Debian's packages under the names of the official ones, which cannot be had everywhere.
"""

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from tests.deploy.compose import ROOT, TEXT

IMAGE = "dayz-relay:compose-test"
BASE = "debian:compose-test"
SUITE = "trixie"
PACKAGES = "ca-certificates,python3,python3-venv,redis-server"
KEPT = ROOT / "build" / f"{SUITE}-base.tar"
"""The base image, for the next run."""
OWNER = 12_345
"""Whose the copy of this repository is, where root can give it away."""
STARTS_WITHIN_S = 30.0


class NoEngine(Exception):
    """There is none, and none can be made. The text says why."""


@dataclass(frozen=True, slots=True)
class Engine:
    """How to reach it, and what has to differ from docker-compose.yml there."""

    environ: dict[str, str]
    override: dict[str, dict[str, object]] = field(default_factory=dict)

    def docker(self, *args: str, check: bool = True, folder: Path | None = None, **environ: str) -> str:
        """What the command prints, errors included. Raises AssertionError if it fails and `check` is set."""
        done = subprocess.run(
            ["docker", *args],
            env=os.environ | self.environ | environ,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert not check or done.returncode == 0, f"docker {' '.join(args)}: {done.stdout[-4000:]}"
        return done.stdout


@contextmanager
def engine() -> Iterator[Engine]:
    """Raises NoEngine."""
    theirs = Engine({})
    if shutil.which("docker") and "Server Version" in theirs.docker("info", check=False):
        if "version" not in theirs.docker("compose", "version", check=False):
            raise NoEngine("the engine of this machine has no Compose plugin")
        yield theirs
        return
    if os.geteuid() != 0 or not shutil.which("apt-get"):
        raise NoEngine("no container engine runs here, and to make one takes root on Debian")
    with tempfile.TemporaryDirectory(prefix="dayz-engine-") as folder:
        own = make(Path(folder))
        with running(own, Path(folder)):
            make_images(own, Path(folder))
            yield own


def make(folder: Path) -> Engine:
    run(ROOT / "tests" / "install-packages", "dockerd=docker.io", "debootstrap")
    plugin = folder / "config" / "cli-plugins" / "docker-compose"
    plugin.parent.mkdir(parents=True)
    unpack_compose(folder, plugin)
    redis = str(yaml.safe_load(TEXT)["services"]["redis"]["image"]).partition("@")[0]
    return Engine(
        {"DOCKER_HOST": f"unix://{folder}/socket", "DOCKER_CONFIG": str(plugin.parents[1])},
        {name: {"image": redis} for name in ("redis", "backup", "setup")}
        # The network of this machine, for packages: containers of this engine reach only each other.
        | {"modapi": {"build": {"network": "host", "args": {"BASE": BASE}}}},
    )


def unpack_compose(folder: Path, plugin: Path) -> None:
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
    for name in ("lists/partial", "cache/archives/partial"):
        (folder / name).mkdir(parents=True)
    apt = ["apt-get", "-qq", *(word for name, value in options.items() for word in ("-o", f"{name}={value}"))]
    run(*apt, "update")
    run(*apt, "download", "docker-compose", cwd=folder)
    (package,) = folder.glob("docker-compose*.deb")
    run("dpkg", "-x", package, folder / "compose")
    shutil.copy(folder / "compose/usr/libexec/docker/cli-plugins/docker-compose", plugin)


def mirror() -> str:
    """Where apt has its packages from."""
    found = run("apt-get", "indextargets", "--format", "$(REPO_URI)", "Created-By: Packages").split()
    return next(uri for uri in found if uri.rstrip("/").endswith("/debian"))


@contextmanager
def running(own: Engine, folder: Path) -> Iterator[None]:
    """Containers, processes and mounts are in namespaces that end with it."""
    command = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "dockerd"]
    command += ["--host", own.environ["DOCKER_HOST"], "--pidfile", str(folder / "pid")]
    command += ["--data-root", str(folder / "data"), "--exec-root", str(folder / "exec")]
    # It changes nothing in how this machine passes packets.
    command += ["--bridge=none", "--iptables=false", "--ip-masq=false", "--ip-forward=false"]
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
        root, unfinished = folder / "root", folder / "base.tar"
        run("debootstrap", "--variant=minbase", f"--include={PACKAGES}", SUITE, root, mirror())
        # How this machine reaches the index of packages.
        if certificates := os.environ.get("PIP_CERT"):
            shutil.copy(certificates, root / "usr/local/share/certificates.crt")
            (root / "etc/pip.conf").write_text("[global]\ncert = /usr/local/share/certificates.crt\n")
        run("tar", "-C", root, "-cf", unfinished, ".")
        KEPT.parent.mkdir(exist_ok=True)
        shutil.move(unfinished, KEPT)
    own.docker("import", str(KEPT), BASE)
    context = folder / "redis"
    context.mkdir()
    (context / "Dockerfile").write_text(f"FROM {BASE}\nRUN mkdir /data && chown redis: /data\nVOLUME /data\n")
    own.docker("build", "--network=none", "--tag", str(own.override["redis"]["image"]), str(context))


@dataclass(frozen=True, slots=True)
class Project:
    """A copy of this repository in which docker-compose.yml is used."""

    engine: Engine
    folder: Path
    environ: dict[str, str]

    def compose(self, *args: str, check: bool = True, **environ: str) -> str:
        return self.engine.docker("compose", *args, check=check, folder=self.folder, **self.environ | environ)

    def containers(self) -> dict[str, str]:
        """The ids of the containers that run, by their services."""
        listed = [json.loads(line) for line in self.compose("ps", "--format", "json").splitlines()]
        return {one["Service"]: one["ID"] for one in listed}

    def inspect(self, service: str, form: str) -> str:
        return self.engine.docker("inspect", "--format", form, self.containers()[service]).strip()


def project(engine: Engine, folder: Path, **environ: str) -> Project:
    listed = run("git", "-C", ROOT, "ls-files", "-co", "--exclude-standard", "-z").split("\0")
    for name in filter(None, listed):
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    # Monitoring is started by nobody here, and its images are large.
    instead = {"image": IMAGE, "entrypoint": ["sleep", "infinity"], "command": []}
    services = engine.override | {"prometheus": instead, "grafana": instead}
    (folder / "override.json").write_text(json.dumps({"services": services}))
    if os.geteuid() == 0:
        for path in (folder, *folder.rglob("*")):
            os.chown(path, OWNER, OWNER)
    files = f"docker-compose.yml{os.pathsep}override.json"
    return Project(engine, folder, {"COMPOSE_FILE": files, "IMAGE": IMAGE, **environ})


def run(*argv: str | Path, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{argv[0]}: exit code {done.returncode}\n{done.stdout[-4000:]}"
    return done.stdout
