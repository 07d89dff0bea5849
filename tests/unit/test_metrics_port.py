"""The port of the metrics: its address, and clients that do not behave."""

import select
import socket
from argparse import ArgumentTypeError
from contextlib import suppress

import httpx
import pytest
from django.core.management.base import CommandError
from prometheus_client import Gauge

from events_app import measured
from events_app.serving import metrics_port
from events_app.serving.metrics_port import Address, address


def collectors(process):
    return [Gauge("silo_test", process, registry=None)]


@pytest.fixture
def shown(settings):
    settings.EVENTS_METRICS = f"{__name__}.collectors"
    return metrics_port.start(Address("127.0.0.1", 0), "serve")


@pytest.mark.parametrize(
    ("text", "host", "port"), [("127.0.0.1:9101", "127.0.0.1", 9101), ("[::1]:9101", "::1", 9101)]
)
def test_an_address(text, host, port):
    assert address(text) == Address(host, port)
    assert str(address(text)) == text


@pytest.mark.parametrize(
    "text", ["", "9101", ":9101", "127.0.0.1", "127.0.0.1:x", "::1:9101", "[a]:1", "a:70000"]
)
def test_no_address(text):
    with pytest.raises(ArgumentTypeError, match="HOST:PORT"):
        address(text)


def test_it_shows_the_metrics(shown):
    answer = httpx.get(f"http://{shown}/metrics")
    assert answer.status_code == 200
    assert "silo_test 0.0" in answer.text


def test_a_port_that_is_taken_is_a_sentence(shown):
    with pytest.raises(CommandError, match="another --metrics"):
        metrics_port.start(shown, "serve")


def test_the_next_worker_takes_the_next_port(shown):
    other = metrics_port.start(shown, "serve", processes=20)
    assert shown.port < other.port < shown.port + 20


def test_a_client_that_says_nothing_is_given_up(shown, monkeypatch):
    monkeypatch.setattr(metrics_port._Handler, "timeout", 0.05)
    with socket.create_connection((shown.host, shown.port)) as silent:
        assert httpx.get(f"http://{shown}/metrics").status_code == 200
        silent.settimeout(10)
        assert silent.recv(1) == b""


def test_a_client_that_says_a_byte_at_a_time_is_given_up(shown, monkeypatch):
    monkeypatch.setattr(metrics_port._Handler, "timeout", 0.2)
    with socket.create_connection((shown.host, shown.port)) as slow, suppress(ConnectionError):
        for _ in range(400):
            if select.select([slow], [], [], 0.02)[0]:
                assert slow.recv(1) == b""
                break
            slow.send(b"x")
        else:
            pytest.fail("it is still listened to")
    assert httpx.get(f"http://{shown}/metrics").status_code == 200


def test_durations_are_counted_by_their_bounds():
    durations = measured.Durations()
    for seconds in (0.0, measured.BOUNDS[0], measured.BOUNDS[-1], measured.BOUNDS[-1] + 1):
        durations.add(seconds)
    assert durations.counts[0] == 2
    assert durations.counts[-2:] == [1, 1]
