"""The log in both forms: one event a line, no secret, and no text that can forge a line."""

import json
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest

from services.relay.service import logs
from services.relay.service.logs import MESSAGE_CHARS, InstanceLogger, JsonFormatter, TextFormatter

SECRET = "Zq9-planted_secret-0123456789"
FORGED = "Bob\r\n04:12:33 uplink INFO    [main] linked to Takaro\x1b[2J\x85\u2028\u202e\ud800"


@pytest.fixture(autouse=True)
def hidden() -> Iterator[None]:
    logs.hide("test", [SECRET])
    yield
    logs.hide("test", [])


def record(
    message: str, *values: object, error: BaseException | None = None, **extra: str
) -> logging.LogRecord:
    info = (type(error), error, error.__traceback__) if error else None
    made = logging.LogRecord("services.test", logging.WARNING, "x.py", 1, message, values, info)
    made.__dict__.update(extra)
    return made


def raised(text: str) -> ValueError:
    try:
        raise ValueError(text)
    except ValueError as error:
        return error


FORMS = pytest.mark.parametrize(
    "form", [TextFormatter("modapi"), JsonFormatter("modapi")], ids=["text", "json"]
)


@FORMS
def test_a_name_cannot_forge_a_line_nor_move_the_cursor(form: logging.Formatter) -> None:
    line = form.format(record("%s joined", FORGED))
    assert len(line.splitlines()) == 1 and line.isprintable()
    assert "Bob" in line and "linked to Takaro" in line


@FORMS
def test_a_name_in_an_exception_cannot_forge_a_line_either(form: logging.Formatter) -> None:
    first, *rest = form.format(record("it failed", error=raised(FORGED))).split("\n")
    assert "it failed" in first
    assert all(line.startswith("    ") and line.isprintable() for line in rest)


@FORMS
def test_no_secret_is_in_a_line_or_a_traceback(form: logging.Formatter) -> None:
    line = form.format(record("token %s", SECRET, error=raised(f"with {SECRET} in it")))
    assert SECRET not in line and "ValueError" in line


@FORMS
def test_a_long_line_is_cut(form: logging.Formatter) -> None:
    assert len(form.format(record("%s", "x" * 1_000_000))) < MESSAGE_CHARS + 300
    assert len(form.format(record("x", error=raised("x" * 1_000_000)))) < 20_000


@FORMS
def test_a_secret_at_the_end_of_a_cut_text_is_not_cut_in_half(form: logging.Formatter) -> None:
    assert SECRET[:8] not in form.format(record("x" * (MESSAGE_CHARS - 10) + SECRET))


@FORMS
def test_a_log_text_that_does_not_fit_its_arguments_is_still_shown(form: logging.Formatter) -> None:
    assert "%d of %d" in form.format(record("%d of %d", 1))


def test_json_has_one_object_a_line_with_its_instance() -> None:
    read = json.loads(JsonFormatter("uplink").format(record("[main] x", instance="main")))
    assert (read["level"], read["service"], read["instance"], read["message"]) == (
        "warning",
        "uplink",
        "main",
        "[main] x",
    )
    assert read["time"].endswith("Z") and "trace" not in read


def test_the_logger_of_an_instance_names_it(caplog: pytest.LogCaptureFixture) -> None:
    InstanceLogger("services.test", "main").warning("it is %s", "there")
    assert caplog.messages == ["[main] it is there"]
    assert vars(caplog.records[0])["instance"] == "main"


CRASHES = {
    "an exception": "raise ValueError(SECRET)",
    "a thread": "import threading; t = threading.Thread(target=fail); t.start(); t.join()",
    "a task": "import asyncio\nasync def main():\n t = asyncio.create_task(afail())\n"
    " await asyncio.sleep(0.01)\n del t\nasyncio.run(main())",
    "a callback": "import asyncio\nasync def main():\n asyncio.get_running_loop().call_soon(fail)\n await"
    " asyncio.sleep(0.01)\nasyncio.run(main())",
    "a finalizer": "class A:\n def __del__(self): fail()\nA()",
    "a line that cannot be written": "logging.warning('%d', SECRET)",
}


@pytest.mark.parametrize("crash", CRASHES)
@pytest.mark.parametrize("form", ["text", "json"])
def test_uncaught_exceptions_go_through_the_log(crash: str, form: str) -> None:
    program = (
        "import logging\nfrom services.relay.service import logs\n"
        f"SECRET = '{SECRET[:9]}' + '{SECRET[9:]}'\n"
        f"logs.configure('test', '{form}')\nlogs.hide('x', [SECRET])\n"
        "def fail(): raise ValueError(SECRET)\nasync def afail(): fail()\n" + CRASHES[crash]
    )
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    told = ran.stdout + ran.stderr
    assert SECRET not in told and told
    assert "ValueError" in told or crash == "a line that cannot be written"
    if form == "json":
        assert all(json.loads(line)["service"] == "test" for line in told.splitlines())
