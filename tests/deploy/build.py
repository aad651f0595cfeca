"""The steps of deploy/Dockerfile carried out in a debootstrap of the Debian that it starts from.

To be called in mount and process namespaces of one's own: what it mounts and starts is gone with them.
"""

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from tests.deploy.dockerfile import DOCKERFILE, Step, fill, pairs, parse, stages, words

CONTEXT = DOCKERFILE.parents[1]
CERTIFICATES = "/tmp/certificates-of-the-builder.crt"


@dataclass
class Image:
    """What a stage has come to: a root folder, and how a container of it runs."""

    root: Path
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"})
    folder: str = "/"
    user: str = "0:0"
    entrypoint: list[str] = field(default_factory=list)
    healthcheck: list[str] = field(default_factory=list)

    def path(self, inside: str) -> Path:
        """Where a path of the image is on this machine."""
        return self.root / os.path.normpath(os.path.join(self.folder, inside)).lstrip("/")

    def command(self, argv: list[str], *, sealed: bool) -> list[str]:
        """`argv` in this root; sealed: nothing can be written but to /tmp and the working folder."""
        mounts = ["mount -t proc proc proc"]
        if sealed:
            mounts += [
                "mount --bind . .",
                "mount -o remount,ro,bind .",
                "mount -t tmpfs tmpfs tmp",
                f"mount -t tmpfs -o mode=700,uid=1000,gid=1000 tmpfs .{self.folder}",
            ]
        # The bind mount has to be entered again: the working folder of the shell is the one below it.
        script = f"set -e; cd {self.root}; {'; cd $PWD; '.join(mounts)}; cd {self.root}; "
        script += f'exec chroot --userspec={self.user} . /bin/sh -c \'cd {self.folder}; exec "$@"\' sh "$@"'
        return ["unshare", "--mount", "sh", "-c", script, "sh", *argv]


def build(folder: Path, say: Callable[[str], None]) -> Image:
    """The last stage of the Dockerfile."""
    steps = parse(DOCKERFILE.read_text())
    arguments: dict[str, str] = {}
    for step in steps[: [step.name for step in steps].index("FROM")]:
        arguments |= pairs(step.text)
    built: dict[str, Image] = {}
    for number, (begin, *rest) in enumerate(stages(steps)):
        base, *name = re.split(" AS ", fill(begin.text, arguments))
        image = Image(from_base(folder, base, number, say))
        values = dict(arguments)
        for step in rest:
            say(f"{step.name} {step.text[:90]}")
            carry_out(step, image, built, values)
        built[name[0] if name else ""] = image
    return built[""]


def from_base(folder: Path, base: str, number: int, say: Callable[[str], None]) -> Path:
    """A root of its own for one stage, from a debootstrap that they share."""
    pristine, root = folder / "base", folder / f"stage-{number}"
    found = re.match(r"debian:(\w+)-\d+-slim@sha256:[0-9a-f]{64}$", base)
    assert found, f"{base} is no Debian that can be made here"
    if not pristine.exists():
        say(f"debootstrap {found.group(1)}, in place of {base[:40]}…")
        run("debootstrap", "--variant=minbase", found.group(1), str(pristine))
        with (pristine / "etc/apt/sources.list").open("r+") as file:
            _, mirror, suite, *_ = file.readline().split()  # where it has it from
            file.read()
            file.write(f"deb {mirror} {suite}-updates main\ndeb {mirror}-security {suite}-security main\n")
        # How this machine reaches the package index, its own root has to be told too.
        if certificates := os.environ.get("PIP_CERT"):
            shutil.copy(certificates, pristine / CERTIFICATES.lstrip("/"))
    run("cp", "--archive", str(pristine), str(root))
    return root


def carry_out(step: Step, image: Image, built: dict[str, Image], values: dict[str, str]) -> None:
    match step.name:
        case "RUN":
            environment = image.environment | values | of_the_builder()
            run(*image.command(["/bin/sh", "-c", step.text], sealed=False), environment=environment)
        case "COPY":
            *sources, target = step.text.split()
            origin = CONTEXT
            if sources[0].startswith("--from="):
                origin = built[sources.pop(0).removeprefix("--from=")].root
            copy(
                [origin / source.lstrip("/") for source in sources], image.path(target), target.endswith("/")
            )
        case "ARG":
            values |= pairs(step.text)
        case "ENV":
            image.environment |= pairs(fill(step.text, values))
        case "WORKDIR":
            image.folder = step.text
            image.path(".").mkdir(parents=True, exist_ok=True)
        case "USER":
            image.user = step.text
        case "ENTRYPOINT":
            image.entrypoint = words(step.text)
        case "HEALTHCHECK":
            image.healthcheck = words(step.text)
        case "LABEL":
            pairs(fill(step.text, values))
        case "EXPOSE" | "CMD":
            pass


def copy(sources: list[Path], target: Path, into: bool) -> None:
    """As COPY does: the content of a folder, or files; `into` a folder when the target ends in a slash."""
    for source in sources:
        place = target / source.name if into and source.is_file() else target
        place.parent.mkdir(parents=True, exist_ok=True)
        if source.is_file():
            shutil.copy2(source, place)
        else:
            ignored = shutil.ignore_patterns("__pycache__") if source.is_relative_to(CONTEXT) else None
            shutil.copytree(source, place, symlinks=True, ignore=ignored, dirs_exist_ok=True)


def of_the_builder() -> dict[str, str]:
    """What a builder passes on so that packages can be had: proxies and certificates, and no more."""
    names = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")
    passed = {name: os.environ[name] for name in names if name in os.environ}
    return passed | ({"PIP_CERT": CERTIFICATES} if "PIP_CERT" in os.environ else {})


def run(*argv: str, environment: dict[str, str] | None = None) -> None:
    done = subprocess.run(argv, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, f"{argv[-1]}: exit code {done.returncode}\n{done.stdout[-4000:]}"


def output(*argv: str, environment: dict[str, str] | None = None) -> str:
    return subprocess.run(argv, env=environment, check=True, capture_output=True, text=True).stdout
