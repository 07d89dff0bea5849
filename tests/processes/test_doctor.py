"""`manage.py doctor` beside a server and a sweeper."""

import json
import sys

from sessions_app.models import SweeperProcess
from sessions_app.roles import Role
from silo.doctor import public_url
from silo.doctor.findings import Level
from tests.factories import make_token, make_user
from tests.processes import warm
from tests.processes.service import environment
from tests.waiting import eventually


def doctor(*arguments, **env):
    command = (sys.executable, "-W", "error", "manage.py", "doctor", *arguments)
    return warm.run(command, environment(**env))


def test_a_running_service_has_no_problem(serve, runsweeper):
    server, _ = serve(), runsweeper()
    eventually(lambda: SweeperProcess.objects.filter(sweep_ended__isnull=False).exists())
    done = doctor("--json", "--url", server.url)
    answer = json.loads(done.stdout)
    problems = [one for one in answer["findings"] if one["level"] == "problem"]
    # The tests' database forgets on purpose.
    assert [one for one in problems if one["subject"] != "durability"] == []
    assert done.returncode == int(bool(problems))
    assert any(one["source"] == "SILO_HEARTBEAT_SECONDS" for one in answer["settings"])


def test_where_nothing_runs_it_says_what_to_do(committed_db):
    done = doctor()
    assert done.returncode == 1
    assert "PROBLEM  sweepers" in done.stdout
    assert "Start manage.py serve" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr


def test_streams_pass_on_the_way_to_a_real_server(serve):
    server = serve()
    token = make_token(make_user("eve", Role.VIEWER))
    service = public_url.Service(server.url, token, watch_seconds=1)
    ones = list(public_url.findings(service, token_is_good=True, https=False))
    assert {one.subject for one in ones if one.level == Level.OK} >= {
        "url",
        "slashes",
        "bodies",
        "authorization",
        "streams",
        "Last-Event-ID",
    }
