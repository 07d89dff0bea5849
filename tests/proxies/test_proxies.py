"""Each proxy of the distribution, as docs/operations.md recommends it and as its manual begins."""

import os
import shutil
import subprocess

import httpx
import pytest

from tests.processes.service import Process
from tests.proxies.checks import CHECKS, a_quiet_stream_stays_open, serves_again
from tests.proxies.kinds import KINDS
from tests.waiting import eventually


def of_kinds(condition):
    """Run a test for those kinds only that meet a condition."""
    names = [name for name, kind in KINDS.items() if condition(kind)]
    return pytest.mark.parametrize("kind", names, indirect=True)


@pytest.mark.parametrize("check", CHECKS)
def test_it_holds_as_recommended(behind, check):
    CHECKS[check](behind("recommended"))


@of_kinds(lambda kind: kind.minimal)
@pytest.mark.parametrize("check", CHECKS)
def test_with_the_least_that_its_manual_shows_only_that_breaks_which_is_documented(
    behind, kind, check
):
    scene = behind("minimal")
    if check not in kind.minimal_breaks:
        CHECKS[check](scene)
        return
    with pytest.raises(Exception):  # noqa: B017, PT011
        CHECKS[check](scene)


def test_a_quiet_stream_stays_open_longer_than_the_proxys_time_outs(world, kind):
    """A line every second against time-outs of two."""
    user = world.caller(world.proxy(kind, "recommended", quick=bool(kind.quick)).url, kind)
    a_quiet_stream_stays_open(user, user.workstation(f"quiet-{kind.program}"), 2.7)


@of_kinds(lambda kind: kind.reload)
def test_a_reload_keeps_streams_and_serves_new_requests(world, behind, kind):
    scene = behind("recommended")
    stream = scene.user.stream(workstation_id=scene.workstation)
    stream.event("comment")
    kind.reload(world.proxy(kind, "recommended"))
    for _ in range(2):
        stream.event("comment", 2)
    # While the stream is open, and the reload surely under way.
    serves_again(scene.user)
    stream.event("comment", 2)
    stream.kill()


@of_kinds(lambda kind: kind.http2)
def test_streams_of_one_http2_connection_pass_and_end_with_it(world, behind, kind):
    """As a browser opens them; curl can, where it was built so."""
    if not shutil.which("curl") or b"HTTP2" not in subprocess.check_output(["curl", "--version"]):
        pytest.skip("needs curl with HTTP/2")
    scene = behind("recommended")
    url = httpx.URL(scene.user.url)
    workstations = [scene.direct.workstation(f"h2-{kind.program}-{n}") for n in range(2)]
    command = ["curl", "--http2", "--no-buffer", "--no-progress-meter", "--parallel"]
    command += ["--cacert", scene.user.certificate, "--header"]
    command += [f"Authorization: Bearer {scene.user.token}", "--write-out", "%{http_version}"]
    command += ["--resolve", f"{kind.host_name}:{url.port}:127.0.0.1"]
    command += [
        f"https://{kind.host_name}:{url.port}/api/events?workstation_id={pk}" for pk in workstations
    ]
    browser = Process(*command, env=dict(os.environ))
    try:
        eventually(lambda: browser.output.count("event: stream-open") == 2, browser.output)
        sessions = []
        for number, workstation in enumerate(workstations):
            answer = scene.direct.acquire(scene.part, workstation, f"{number}")
            sessions.append(answer.json()["id"])
        for session in sessions:
            eventually(lambda s=session: s in browser.output, browser.output)
    finally:
        browser.close()
    eventually(lambda: not held(scene, workstations), within=4)


def held(scene, workstations) -> list[str]:
    sessions = scene.direct.call("GET", "/api/edit-sessions").json()["sessions"]
    return [one["id"] for one in sessions if one["workstation"]["id"] in workstations]


@of_kinds(lambda kind: "bind :80" in kind.ours or "listen 80" in kind.ours)
def test_without_https_it_sends_browsers_to_https(world, kind):
    proxy = world.proxy(kind, "recommended")
    answer = httpx.get(f"http://{proxy.host}:{proxy.plain}/api/docs")
    assert answer.is_redirect
    assert answer.headers["location"].startswith("https://")
