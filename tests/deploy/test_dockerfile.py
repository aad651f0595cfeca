"""deploy/Dockerfile says what `make image-test` and compose count on; its health check tells right."""

import http.server
import re
import subprocess
import sys
import threading
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.deploy.compose import ROOT, image
from tests.deploy.dockerfile import DOCKERFILE, Step, fill, pairs, parse, stages, words
from tests.support.ports import free_port

STEPS = parse(DOCKERFILE.read_text())
LAST = stages(STEPS)[-1]
HEALTHCHECK = ROOT / "deploy" / "healthcheck.py"


def of(name: str, steps: list[Step] = LAST) -> list[str]:
    return [step.text for step in steps if step.name == name]


@pytest.mark.parametrize(
    "text, steps",
    [
        (
            "FROM a AS b\n# no\n\nRUN one \\\n    # no\n    && two\n",
            [Step("FROM", "a AS b"), Step("RUN", "one && two")],
        ),
        ('ENTRYPOINT ["a", "b"]', [Step("ENTRYPOINT", '["a", "b"]')]),
    ],
)
def test_a_dockerfile_is_read_as_steps(text: str, steps: list[Step]) -> None:
    assert parse(text) == steps


@pytest.mark.parametrize("text", ["ADD a b", "SHELL bash", "volume /data"])
def test_a_step_that_the_image_test_could_not_carry_out_is_an_error(text: str) -> None:
    with pytest.raises(ValueError, match="what is"):
        parse(text)


def test_every_stage_starts_from_a_base_that_stays_the_same() -> None:
    base = pairs(STEPS[0].text)
    for stage in stages(STEPS):
        assert re.match(r"debian:\w+-\d{8}-slim@sha256:[0-9a-f]{64}\b", fill(stage[0].text, base))


def test_every_package_comes_with_its_hash_and_nothing_is_compiled() -> None:
    installs = [run for run in of("RUN", STEPS) for run in run.split(" && ") if "pip install" in run]
    packages, ourselves = installs
    assert "--require-hashes -r requirements.txt" in packages and "--only-binary :all:" in packages
    assert "--no-deps ." in ourselves and "--no-build-isolation" in ourselves


def test_compiled_files_do_not_depend_on_times() -> None:
    (compiled,) = [run for run in of("RUN", STEPS) if "compileall" in run]
    assert "--invalidation-mode unchecked-hash /opt/dayz-relay/lib" in compiled
    installs = [part for run in of("RUN", STEPS) for part in run.split(" && ") if "pip install" in part]
    assert installs and all("--no-compile" in part for part in installs)


def test_the_version_is_that_of_the_project() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert f"VERSION={project['version']}" in of("ARG")
    labels = pairs(fill(of("LABEL")[0], {"VERSION": project["version"], "REVISION": "abc"}))
    assert labels["org.opencontainers.image.version"] == project["version"]
    assert labels["org.opencontainers.image.licenses"] == project["license"]


def test_copied_files_exist_and_pass_dockerignore() -> None:
    ignore = (ROOT / ".dockerignore").read_text().splitlines()
    rules = [line for line in ignore if line and not line.startswith("#")]
    assert rules[0] == "*"
    copied = [word for text in of("COPY", STEPS) if "--from" not in text for word in text.split()[:-1]]
    assert [f"!{source}" for source in copied] == [rule for rule in rules if rule.startswith("!")]
    assert all((ROOT / source).exists() for source in copied)


def test_the_image_runs_as_an_unprivileged_user_and_exposes_its_ports() -> None:
    environ, entrypoint, user = image()
    assert user == "1000:1000" and entrypoint == ["dayz-relay"]
    ports = {environ[name] for name in environ if name.endswith("PORT")}
    assert set(of("EXPOSE")[0].split()) == ports


def test_the_health_check_needs_nothing_but_python() -> None:
    command = words(of("HEALTHCHECK")[0])
    assert command == ["python3", "/opt/dayz-relay/healthcheck.py"]
    assert any(text == "deploy/healthcheck.py /opt/dayz-relay/healthcheck.py" for text in of("COPY", STEPS))


@contextmanager
def service(status: int) -> Iterator[int]:
    """An admin port of which /readyz answers `status`."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status if self.path == "/readyz" else 404)
            self.end_headers()
            self.wfile.write(b"the reason")

        def log_message(self, *_: object) -> None:
            pass

    server = http.server.HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def health(modapi: int, uplink: int) -> tuple[int, str]:
    environ = {"RELAY_MODAPI__ADMIN_PORT": str(modapi), "RELAY_UPLINK__ADMIN_PORT": str(uplink)}
    asked = subprocess.run([sys.executable, HEALTHCHECK], env=environ, capture_output=True, text=True)
    return asked.returncode, asked.stderr


def test_a_service_that_is_ready_is_healthy_whichever_it_is() -> None:
    with service(200) as port, service(200) as other:
        assert health(port, free_port()) == (0, "")
        assert health(free_port(), port) == (0, "")
        assert health(port, other) == (0, "")


def test_a_service_that_is_not_ready_is_unhealthy_with_its_reason() -> None:
    with service(503) as port, service(200) as other:
        for code, said in (health(port, free_port()), health(other, port)):
            assert code == 1 and "the reason" in said and str(port) in said


def test_a_container_without_a_listening_service_is_unhealthy() -> None:
    assert health(free_port(), free_port()) == (1, "no service listens\n")
