"""`make image-test`: deploy/Dockerfile carried out in a clean Debian, where no container engine is at hand.

The base image becomes a debootstrap of the same Debian; every RUN, COPY and ENV happens as it is written.
Then the image runs as a container would: its user, a root that cannot be written to, a network of its own,
and the HEALTHCHECK has to tell a relay that works from one that does not.

All of it lives in mount and process namespaces and in one temporary folder, which are gone at the end.
"""

import ctypes
import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from tests.deploy.build import CONTEXT, Image, build, output
from tests.support.redis_server import RedisServer, binaries

PYTHON = "313"
"""Debian trixie's."""
ARM64 = [f"manylinux_2_{minor}_aarch64" for minor in (17, 26, 28, 31, 34)] + ["manylinux2014_aarch64"]

READY_WITHIN_S = 30.0
STOPPED_WITHIN_S = 15.0

PASSWORD = "store-password-of-the-image-test"
ENVIRONMENT = {
    "RELAY_REDIS__URL": f"redis://:{PASSWORD}@127.0.0.1:6379/0",
    "RELAY_INSTANCE__0__MOD_KEYS": "mod-key-of-the-image-test",
    "TAKARO_SERVER_NAME": "Image test",
    "TAKARO_IDENTITY_TOKEN": "identity-of-the-image-test",
    "TAKARO_REGISTRATION_TOKEN": "registration-of-the-image-test",
    "TAKARO_WS_URL": "ws://127.0.0.1:1/",
}


def main() -> int:
    if os.geteuid() != 0 or not shutil.which("debootstrap"):
        sys.stderr.write("image-test needs root and debootstrap (tests/install-packages debootstrap)\n")
        return 1
    if len(sys.argv) == 3:  # inside the namespaces
        test(Path(sys.argv[2]))
        return 0
    with tempfile.TemporaryDirectory(prefix="dayz-relay-image-") as folder:
        # Mounts and processes end with the namespaces, however this ends.
        inside = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        return subprocess.run(
            [*inside, sys.executable, "-m", "tests.deploy.image", "--inside", folder]
        ).returncode


def test(folder: Path) -> None:
    begun_s = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - begun_s:6.1f} s  {text}", flush=True)

    image = build(folder, say)
    check_contents(image)
    check_arm64(folder)
    say("every dependency has a wheel for arm64")
    say(
        f"built: {int(output('du', '-sm', str(image.root)).split()[0])} MB, no build tools, user {image.user}"
    )
    own_network()
    check_services(image, folder, say)
    say("done")


def check_contents(image: Image) -> None:
    for tool in ("gcc", "cc", "make", "pip", "pip3", "git", "curl"):
        there = ["/bin/sh", "-c", f"command -v {tool}"]
        assert subprocess.run(image.command(there, sealed=True), env=image.environment).returncode, tool
    told = output(
        *image.command([*image.entrypoint, "--version"], sealed=True), environment=image.environment
    )
    assert told.startswith("dayz-relay "), told
    write = ["/bin/sh", "-c", "id -u; touch /opt/dayz-relay/x /x 2>/dev/null || echo sealed"]
    assert output(*image.command(write, sealed=True)).split() == [image.user.split(":")[0], "sealed"]


def check_arm64(folder: Path) -> None:
    """The same steps can be carried out on the other architecture: nothing has to be compiled there."""
    platforms = [option for one in ARM64 for option in ("--platform", one)]
    wheels = ("--only-binary", ":all:", "--require-hashes", "-r", str(CONTEXT / "requirements.txt"))
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--python-version", PYTHON]
    subprocess.run([*command, *platforms, *wheels, "--dest", str(folder / "arm64")], check=True)


def check_services(image: Image, folder: Path, say: Callable[[str], None]) -> None:
    """modapi, uplink and `up`: unhealthy while the store is away, healthy with it, then a clean end."""
    assert healthy(image) == "no service listens"
    for service in ("modapi", "uplink", "up"):
        environment = image.environment | ENVIRONMENT
        if service == "up":
            del environment["RELAY_REDIS__URL"]  # it brings a store of its own
        store = RedisServer(binaries()["valkey"], folder=folder / "store", port="6379", requirepass=PASSWORD)
        log = folder / f"{service}.log"
        with log.open("wb") as file:
            container = subprocess.Popen(
                image.command([*image.entrypoint, service], sealed=True),
                env=environment,
                stdout=file,
                stderr=file,
            )
        try:
            if service != "up":
                until(lambda: "port 90" in healthy(image), log)
                say(f"{service} without a store: {healthy(image)}")
                store.start()
            until(lambda: not healthy(image), log)
            say(f"{service} is healthy")
            container.terminate()
            assert container.wait(STOPPED_WITHIN_S) == 0, log.read_text()
        finally:
            container.kill()
            store.remove()
        assert healthy(image) == "no service listens"
        say(f"{service} ended cleanly")


def healthy(image: Image) -> str:
    """What the HEALTHCHECK complains about, or nothing."""
    asked = subprocess.run(
        image.command(image.healthcheck, sealed=True), env=image.environment, capture_output=True, text=True
    )
    assert (asked.returncode == 0) == (asked.stderr == ""), asked
    return asked.stderr.strip()


def until(true: Callable[[], bool], log: Path) -> None:
    deadline_s = time.monotonic() + READY_WITHIN_S
    while not true():
        assert time.monotonic() < deadline_s, log.read_text()
        time.sleep(0.2)


def own_network() -> None:
    """A network with nothing but loopback: ports as in a container, and nothing leaves."""
    new_network, get_flags, set_flags, up = 0x40000000, 0x8913, 0x8914, 0x1
    if ctypes.CDLL(None, use_errno=True).unshare(new_network):
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        request = struct.pack("16sh14x", b"lo", 0)
        (flags,) = struct.unpack_from("16xh", fcntl.ioctl(sock, get_flags, request))
        fcntl.ioctl(sock, set_flags, struct.pack("16sh14x", b"lo", flags | up))


if __name__ == "__main__":
    sys.exit(main())
