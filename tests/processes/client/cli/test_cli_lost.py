"""`silo edit` when its session is lost, or may be."""

import re
import signal

from sessions_app.models import ApiToken
from tests.waiting import eventually


def test_warns_and_ends_with_9_although_the_command_succeeds(ada, root, part, gate):
    process = ada.edit(part, gate.command(0))
    done = root.run("release", part, "--force", "--reason", "maintenance")
    assert done.returncode == 0, done.stderr
    told = process.line("LOST")
    assert "is no longer yours: root released it by force: “maintenance”." in told
    assert process.running
    gate.open()
    assert process.wait() == 9


def test_ends_the_command_where_told_to(ada, root, part, gate):
    process = ada.edit(part, gate.command(0), "--on-lost", "end")
    root.run("release", part, "--force", "--reason", "maintenance")
    assert process.wait() == 9
    assert "ended with 143" in process.output


def test_lost_session_without_a_command_ends_silo(ada, part):
    process = ada.edit(part)
    assert ada.run("release", part).returncode == 0
    assert process.wait() == 9
    assert "it was released from elsewhere" in process.output


def test_names_the_new_holder(ada, part, gate, bob):
    process = ada.edit(part, gate.command())
    waiting = bob.start("edit", part, "--wait", "--ask", "for me")
    request = process.line("bob asks for")
    assert request.endswith("“for me”")
    # What is printed can be typed.
    answer = process.line("To hand it over: silo handoff")
    words = re.findall(r"'[^']+'|\S+", answer.split("silo handoff ", 1)[1])
    done = ada.run("handoff", *[word.strip("'") for word in words])
    assert done.returncode == 0, done.stderr
    assert "bob on" in done.stderr
    assert "it was handed over" in process.line("LOST")
    process.line("bob is editing it on")
    waiting.line("until Ctrl-C")
    gate.open()
    assert process.wait() == 9


def test_says_once_that_it_is_not_certain_and_once_that_it_is_again(serve, cli_user_of, part, gate):
    server = serve(SILO_DISCONNECT_GRACE_SECONDS="3")
    ada = cli_user_of(server)
    process = ada.edit(part, gate.command(0))
    server.signal(signal.SIGSTOP)
    process.line("It is not certain that")
    server.signal(signal.SIGCONT)
    process.line("It is certain again that")
    gate.open()
    assert process.wait() == 0
    assert process.output.count("not certain") == 1


def test_ends_with_9_where_the_end_is_uncertain(serve, cli_user_of, part, gate):
    server = serve(SILO_DISCONNECT_GRACE_SECONDS="3")
    ada = cli_user_of(server)
    process = ada.edit(part, gate.command(0))
    server.kill()
    process.line("It is not certain that")
    gate.open()
    assert process.wait(40) == 9
    assert "was yours until the end" in process.output


def test_withdrawn_token_is_reported(ada, part, gate):
    process = ada.edit(part, gate.command(0))
    ApiToken.objects.filter(user__username="ada").delete()
    eventually(lambda: "not certain" in process.output or "LOST" in process.output, "told")
    gate.open()
    assert process.wait() == 9
