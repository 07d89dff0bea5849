"""The files of a container: read here, built and run by nobody."""

import json
import os
import re
import shutil
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import yaml
from django.core.management import load_command_class

from silo import config, environment
from tests.documents import ROOT

CONTAINERFILE = ROOT / "deploy/Containerfile"
APP_OF = {"serve": "events_app", "runsweeper": "sessions_app", "migrate": "django.core"}
SERVICES = ("migrate", "server", "sweeper")


def instructions():
    """Return each instruction of the Containerfile and what stands behind it."""
    lines = CONTAINERFILE.read_text().splitlines()
    return [tuple(line.split(" ", 1)) for line in lines if line and not line.startswith("#")]


def of_kind(kind):
    return [rest for instruction, rest in instructions() if instruction == kind]


@pytest.fixture(scope="module")
def services():
    return yaml.safe_load((ROOT / "deploy/compose.yaml").read_text())["services"]


def parsed(command):
    name, *arguments = command
    parser = load_command_class(APP_OF[name], name).create_parser("manage.py", name)
    return name, vars(parser.parse_args(arguments))


def copied():
    return [part for rest in of_kind("COPY") for part in rest.split()[:-1]]


def test_the_image_serves_and_not_as_root():
    assert [json.loads(rest) for rest in of_kind("ENTRYPOINT")] == [["python", "manage.py"]]
    [command] = [json.loads(rest) for rest in of_kind("CMD")]
    name, options = parsed(command)
    assert (name, options["host"], options["port"]) == ("serve", "0.0.0.0", 8000)
    assert of_kind("EXPOSE") == ["8000"]
    [user] = of_kind("USER")
    assert all(int(part) > 0 for part in user.split(":"))


def test_what_is_copied_is_what_is_not_ignored():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in lines if line.startswith("!")} == set(copied())
    assert all((ROOT / name).exists() for name in copied())


def test_openid_connect_is_installed_where_it_is_asked_for(services):
    assert of_kind("ARG") == ["OPENID="]
    [run] = of_kind("RUN")
    texts = {}
    for openid in ("", "requirements-oidc.txt"):
        done = subprocess.run(
            ["/bin/sh", "-ec", run.replace("pip", "echo", 1)],
            env={"OPENID": openid},
            capture_output=True,
            text=True,
            check=True,
        )
        texts[openid] = re.findall(r"-r (\S+)", done.stdout)
    assert texts[""] == ["requirements-server.txt"]
    assert texts["requirements-oidc.txt"] == ["requirements-server.txt", "requirements-oidc.txt"]
    assert set(texts["requirements-oidc.txt"]) < set(copied())
    for name in SERVICES:
        assert services[name]["build"]["args"] == {"OPENID": "${OPENID:-}"}


def test_what_is_copied_is_enough(tmp_path):
    for name in copied():
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tmp_path / name)
        else:
            shutil.copy(ROOT / name, tmp_path)
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("SILO_", "PYTHONPATH", "DJANGO_"))
    }
    own = {"DATABASE_URL": "postgresql://silo:x@127.0.0.1:1/silo", "SILO_SECRET_KEY": "x" * 40}
    done = subprocess.run(
        [sys.executable, "-W", "error", "manage.py", "check"],
        cwd=tmp_path,
        env=kept | own,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, ""), done.stderr


def test_the_services_run_the_commands_that_there_are(services):
    assert services.keys() == {"database", *SERVICES}
    commands = {name: parsed(services[name]["command"]) for name in SERVICES}
    assert {name: command for name, (command, _) in commands.items()} == {
        "migrate": "migrate",
        "server": "serve",
        "sweeper": "runsweeper",
    }
    assert commands["server"][1]["port"] == 8000


def test_nothing_starts_before_it_is_migrated(services):
    assert services["migrate"]["depends_on"] == {"database": {"condition": "service_healthy"}}
    assert services["migrate"]["restart"] == "no"
    for name in ("server", "sweeper"):
        after = {"migrate": {"condition": "service_completed_successfully"}}
        assert services[name]["depends_on"] == after
        assert services[name]["restart"] == "unless-stopped"


def test_only_this_machine_reaches_the_server_and_nobody_the_database(services):
    assert services["server"]["ports"] == ["127.0.0.1:8000:8000"]
    assert not any("ports" in services[name] for name in ("database", "migrate", "sweeper"))


@pytest.mark.parametrize(("status", "code"), [(200, 0), (503, 1)])
def test_health_is_whether_the_server_is_ready(services, status, code):
    asked = []

    class Server(BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args):
            pass

    *program, script = services["server"]["healthcheck"]["test"]
    assert program == ["CMD", "python", "-c"]
    assert script.count("8000") == 1
    with HTTPServer(("127.0.0.1", 0), Server) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        here = script.replace("8000", str(server.server_port))
        done = subprocess.run([sys.executable, "-c", here], check=False)
        thread.join()
    assert (done.returncode, asked) == (code, ["/ready"])


@pytest.mark.parametrize("name", SERVICES)
def test_every_variable_is_known(services, name):
    sections = (
        config.SessionsConfig,
        config.ServerConfig,
        config.LimitsConfig,
        config.AccountsConfig,
    )
    known = {environment.variable(key) for one in sections for key in one.model_fields}
    given = services[name]["environment"]
    assert given.keys() <= known | {*environment.OTHERS, *environment.OF_SETTINGS}
    # Neither has a default: compose refuses to start without.
    assert ":?" in given["SILO_SECRET_KEY"]
    assert ":?" in given["DATABASE_URL"]
