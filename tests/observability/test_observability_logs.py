"""Structured logs."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from typing import Any

import pytest

from signalbox.observability import LogFormat, configure_logging, level_of_verbosity


@pytest.fixture(autouse=True)
def _root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    # basicConfig(force=True) closes the handlers it finds: hide the test runner's own.
    root.handlers = []
    yield
    root.handlers, root.level = handlers, level


def logged(fmt: LogFormat, level: int | str = "info") -> tuple[logging.Logger, io.StringIO]:
    stream = io.StringIO()
    configure_logging(level, fmt, stream)
    return logging.getLogger("signalbox.test"), stream


def test_a_line_is_one_json_object_with_the_fields_of_the_call() -> None:
    log, stream = logged("json")
    log.info("routed %d", 3, extra={"request_id": "r-1", "scores": [0.5, 1], "endpoint": None})
    line: dict[str, Any] = json.loads(stream.getvalue())
    assert stream.getvalue().count("\n") == 1
    assert line.pop("time").endswith("Z")
    assert list(line.items()) == [
        ("level", "info"),
        ("logger", "signalbox.test"),
        ("message", "routed 3"),
        ("request_id", "r-1"),
        ("scores", [0.5, 1]),
        ("endpoint", None),
    ]


def test_the_time_is_that_of_the_record() -> None:
    _, stream = logged("json")
    record = logging.makeLogRecord({"created": 0.5, "msg": "x", "levelno": 40, "levelname": "ERROR"})
    logging.getLogger().handle(record)
    assert json.loads(stream.getvalue())["time"] == "1970-01-01T00:00:00.500Z"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (OSError("gone"), "gone"),
        ("two\nlines", "two\nlines"),
        ("half \ud800", "half \\ud800"),
        ({1.5: object}, "{1.5: <class 'object'>}"),
    ],
)
def test_any_value_of_a_field_makes_one_line(value: object, shown: str) -> None:
    log, stream = logged("json")
    log.info("x", extra={"field": value})
    assert stream.getvalue().count("\n") == 1
    assert str(json.loads(stream.getvalue())["field"]) in {shown, str({"1.5": str(object)})}


def test_a_field_does_not_replace_the_level() -> None:
    log, stream = logged("json")
    log.info("x", extra={"level": "mine"})
    line = json.loads(stream.getvalue())
    assert (line["level"], line["level_"]) == ("info", "mine")


def test_an_exception_is_a_field() -> None:
    log, stream = logged("json")
    try:
        raise ValueError("boom")
    except ValueError:
        log.exception("failed")
    line = json.loads(stream.getvalue())
    assert line["level"] == "error"
    assert line["exception"].endswith("ValueError: boom")


def test_the_console_shows_fields_for_people() -> None:
    log, stream = logged("console")
    log.warning("refused", extra={"request_id": "r-1"})
    assert stream.getvalue().rstrip().endswith("WARNING signalbox.test: refused request_id=r-1")


def test_the_level_filters_and_a_second_call_replaces_the_first() -> None:
    log, first = logged("json", logging.WARNING)
    log.info("quiet")
    log, second = logged("json", "DEBUG")
    log.debug("loud")
    assert first.getvalue() == ""
    assert json.loads(second.getvalue())["message"] == "loud"


def test_unknown_levels_and_formats_are_refused() -> None:
    with pytest.raises(ValueError, match="log level 'loud' is unknown: use one of debug"):
        configure_logging("loud")
    with pytest.raises(ValueError, match="log format 'xml' is unknown: use 'json' or 'console'"):
        configure_logging("info", "xml")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("verbosity", "level"),
    [
        (0, logging.WARNING),
        (2, logging.INFO),
        (3, logging.INFO),
        (4, logging.DEBUG),
        (5, logging.DEBUG),
        (9, logging.DEBUG),
    ],
)
def test_verbosity_is_that_of_the_reference(verbosity: int, level: int) -> None:
    assert level_of_verbosity(verbosity) == level
