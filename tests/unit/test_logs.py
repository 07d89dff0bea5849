"""The ids that lines have, and at which level what is logged."""

import json
import logging
import logging.config
import re
import sys

import pytest
from django.http import HttpResponse
from django.test import RequestFactory
from django.urls import ResolverMatch

from silo import config, database, logs
from silo.log_format import JsonFormatter


def answered(given=None, kwargs=None, extra=None):
    """The record that is logged while a request is answered, and the answer."""
    headers = {} if given is None else {"X-Request-ID": given}
    request = RequestFactory().get("/", headers=headers)
    record = logging.makeLogRecord({"name": "silo.test", "msg": "done", **(extra or {})})

    def view(request):
        if kwargs is not None:
            request.resolver_match = ResolverMatch(view, (), kwargs)
        assert logs.IdsFilter().filter(record)
        return HttpResponse()

    return record, logs.RequestIdMiddleware(view)(request)


@pytest.mark.parametrize("given", ["a", "7f3c-1.2_Z", "x" * 64])
def test_a_short_and_plain_id_is_taken_over_and_answered(given):
    record, answer = answered(given)
    assert answer["X-Request-ID"] == record.request_id == given


@pytest.mark.parametrize("given", [None, "", "x" * 65, "a b", "a\nb", "Größe", 'a"', "a=b"])
def test_elsewhere_one_is_made(given):
    record, answer = answered(given)
    assert re.fullmatch(r"[0-9a-f]{16}", record.request_id)
    assert answer["X-Request-ID"] == record.request_id != answered(given)[0].request_id


def test_a_line_has_the_ids_of_the_address():
    record, _ = answered("a", {"workstation_id": "w", "session_id": "s" * 99, "part_number": "p"})
    assert (record.workstation_id, record.session) == ("w", "s" * 36)
    assert not hasattr(record, "part_number")


def test_what_the_line_says_itself_wins():
    record, _ = answered("a", {"workstation_id": "w"}, {"workstation_id": "other"})
    assert record.workstation_id == "other"


def test_outside_of_requests_there_is_none():
    answered("a")
    record = logging.makeLogRecord({"msg": "done"})
    assert logs.IdsFilter().filter(record)
    assert not hasattr(record, "request_id")


def test_nor_after_one_that_failed():
    def fail(request):
        raise LookupError

    with pytest.raises(LookupError):
        logs.RequestIdMiddleware(fail)(RequestFactory().get("/"))
    test_outside_of_requests_there_is_none()


@pytest.mark.parametrize(
    ("level", "ours", "libraries"),
    [("DEBUG", "DEBUG", "INFO"), ("INFO", "INFO", "INFO"), ("ERROR", "ERROR", "ERROR")],
)
def test_libraries_say_no_more_than_info(level, ours, libraries):
    made = logs.configuration("text", level)
    assert {made["loggers"][name]["level"] for name in ("silo", "sessions_app", "events_app")} == {
        ours
    }
    assert made["root"]["level"] == made["loggers"]["django"]["level"] == libraries
    assert made["loggers"]["daphne"]["level"] == ("ERROR" if level == "ERROR" else "WARNING")
    logging.config.DictConfigurator(made)


def in_json(message="done", *args, exc_info=None, **extra):
    text = JsonFormatter().format(
        logging.makeLogRecord(
            {
                "name": "silo.test",
                "levelname": "INFO",
                "msg": message,
                "args": args,
                "exc_info": exc_info,
                "created": 1769860800.25,
                "msecs": 250.0,
                **extra,
            }
        )
    )
    assert text.isprintable()
    return json.loads(text)


HEAD = {"time": "2026-01-31T12:00:00.250Z", "level": "INFO", "logger": "silo.test"}


def test_a_line_in_json_is_an_object():
    said = in_json("swept %d", 3, user="ada", count=2, items=["A01"], error=ValueError("no"))
    extra = {"user": "ada", "count": 2, "items": ["A01"], "error": "no"}
    assert said == {**HEAD, "message": "swept 3", **extra}
    assert [*said][:4] == ["time", "level", "logger", "message"]


@pytest.mark.parametrize("text", ["Größe", "a\nb", "\x1b[31m", "\u2028", "\u202e", "\ud800", '"'])
def test_any_text_stays_in_its_member(text):
    assert in_json(text, field=text) == {**HEAD, "message": text, "field": text}


def test_no_extra_poses_as_time_level_or_logger():
    assert in_json(time="never", level="DEBUG", logger="x") == {**HEAD, "message": "done"}


def test_a_traceback_is_a_member():
    try:
        raise ValueError("broken\nforged")
    except ValueError:
        said = in_json(exc_info=sys.exc_info())
    assert said["exception"].startswith("Traceback (most recent call last):\n")
    assert said["exception"].endswith("ValueError: broken\nforged")


def test_no_secret_is_said_at_the_start():
    server = config.ServerConfig(secret_key="hunter2" * 5)
    accounts = config.AccountsConfig(openid_client_secret="hunter2")
    said = config.for_log(config.SessionsConfig(), server, config.LimitsConfig(), accounts)
    assert said["heartbeat_seconds"] == 30
    assert not {"secret_key", "openid_client_secret"} & said.keys()
    assert "hunter2" not in repr(said)
    url = "postgresql://silo:hunter2@db.example.com:5432/parts"
    parts = ("host", "port", "name", "user")
    named = ("db.example.com", "5432", "parts", "silo")
    expected = {f"database_{part}": value for part, value in zip(parts, named, strict=True)}
    assert database.for_log(database._from_url(url)) == expected
