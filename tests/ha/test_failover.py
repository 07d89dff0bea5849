"""The primary is killed, frozen and cut off under load: nothing that was answered is lost, and all goes on in time."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest

from tests.ha.cluster import FAKETIME
from tests.ha.holders import MOST_SECONDS
from tests.ha.scene import SOME_PAIRS, WHOLE_SECONDS, since
from tests.waiting import eventually

# The first one also starts everything.
pytestmark = pytest.mark.timeout(300)

WITNESS = "INSERT INTO witness VALUES ({})"
ALONE, AWAKE = 1, 2
# More than the time after which sessions expire: a jump ahead by so much must not end any.
OTHER_CLOCK_SECONDS = 60


@pytest.fixture
def witness(scene):
    """A table of the administrator's, to write what nobody else has."""
    primary = scene.cluster.primary
    primary.sql("CREATE TABLE IF NOT EXISTS witness (number int)", "silo")
    primary.sql("GRANT INSERT, SELECT ON witness TO silo; TRUNCATE witness", "silo")
    return primary


def numbers(node):
    return {int(number) for (number,) in node.sql("SELECT number FROM witness", "silo")}


def fails_over(scene, measured, how, act):
    """Break the primary; wait until everybody works again, on another one. Return the former one and the moment."""
    former = scene.cluster.primary
    how += " with etcd's leader" if former.leads_etcd() else ""
    streams = scene.streams()
    assert len(streams) == len(scene.holders)
    at = time.monotonic()
    act(former)
    eventually(lambda: scene.answered_since(at), f"an acquire after {how}", 2 * MOST_SECONDS)
    measured(f"primary {how}, until an acquire is answered", scene.answered_since(at), MOST_SECONDS)
    assert scene.cluster.primary is not former
    scene.hears_again(at)
    eventually(
        lambda: all(len(since(holder, at)) >= SOME_PAIRS for holder in scene.holders),
        "everybody works",
        MOST_SECONDS,
    )
    assert scene.streams() == streams
    scene.check()
    return former, at


def rejoins(scene, former):
    """Wait until the former primary is a standby that acknowledges."""
    eventually(scene.cluster.whole, f"{former.name} as a standby", WHOLE_SECONDS)
    assert former in scene.cluster.standbys


def test_servers_on_two_machines_share_one_database(scene):
    """Each of two servers passes on what was acquired at the other, and neither gives a lock twice."""
    at = time.monotonic()
    scene.hears_again(at)
    scene.check()
    shared = {one.holder for one in scene.acquired if one.object_id == "shared"}
    assert {0, 1} <= {number % 2 for number in shared}


def test_the_primary_is_killed(scene, measured):
    former, _ = fails_over(scene, measured, "killed", lambda node: node.kill())
    assert scene.ready().json()["warning"].startswith("1 of 2 standbys")
    former.start()
    rejoins(scene, former)


def test_postgresql_crashes_and_its_patroni_lives(scene, measured):
    former, _ = fails_over(scene, measured, "crashed", lambda node: node.crash())
    rejoins(scene, former)


def test_the_primary_is_frozen_and_wakes(scene, witness, measured):
    """What it is asked to commit when it wakes is not acknowledged, and gone once it has rejoined."""
    with ThreadPoolExecutor(1) as thread, witness.connect() as connection:
        former, _ = fails_over(scene, measured, "frozen", lambda node: node.freeze())
        assert former is witness
        writing = thread.submit(connection.execute, WITNESS.format(AWAKE))
        former.thaw()
        with pytest.raises(psycopg.OperationalError):
            writing.result(MOST_SECONDS)
    rejoins(scene, former)
    for node in scene.cluster.nodes:
        assert AWAKE not in numbers(node)


def test_the_primary_is_cut_off(scene, witness, measured):
    """What it has committed by itself meanwhile is gone once it has rejoined."""

    def cut(node):
        node.machine.pull()
        node.sql(f"SET synchronous_commit = off; {WITNESS.format(ALONE)}", "silo")
        assert numbers(node) == {ALONE}

    former, _ = fails_over(scene, measured, "cut off", cut)
    assert former is witness
    former.machine.plug_in()
    rejoins(scene, former)
    for node in scene.cluster.nodes:
        assert numbers(node) == set()


def switches(scene, measured, to):
    """Have a standby take the primary's place in order; wait until everybody works again."""
    streams, at = scene.streams(), time.monotonic()
    scene.cluster.switch(to)
    eventually(to.is_primary, to.name, MOST_SECONDS)
    scene.hears_again(time.monotonic())
    measured("planned switch, the longest pause", scene.longest_pause(at), MOST_SECONDS)
    scene.sweeps()
    assert scene.streams() == streams
    scene.check()


def test_a_standby_that_is_missing_shows_and_delays_nobody(scene, measured):
    standby = scene.cluster.standbys[0]
    at = time.monotonic()
    standby.freeze()
    eventually(
        lambda: all("warning" in scene.ready(number).json() for number in (0, 1)),
        within=MOST_SECONDS,
    )
    measured("standby frozen, until /ready says so", time.monotonic() - at, MOST_SECONDS)
    answer = scene.ready()
    assert answer.status_code == 200
    assert answer.json()["warning"].startswith("1 of 2 standbys")
    scene.servers[0].line("standbys are missing")
    found = scene.run("doctor")
    assert found.returncode == 1
    assert "PROBLEM  standbys" in found.stdout
    waits = [one.answered_at - one.asked_at for one in scene.acquired if one.asked_at > at]
    measured("standby frozen, the longest acquire", max(waits), MOST_SECONDS / 3)
    standby.thaw()
    scene.whole()
    scene.servers[0].line("all standbys are there")
    assert "standbys         All that are expected" in scene.run("doctor").stdout


def test_without_any_standby_nothing_is_answered(scene, measured):
    standbys = scene.cluster.standbys
    for standby in standbys:
        standby.kill()
    eventually(lambda: scene.ready().status_code == 503, "not ready", MOST_SECONDS)
    at = time.monotonic()
    eventually(lambda: time.monotonic() > at + 3, within=5)
    assert scene.answered_since(at) is None
    for standby in standbys:
        standby.start()
    eventually(lambda: scene.answered_since(at), "an acquire", WHOLE_SECONDS)


@pytest.mark.skipif(not FAKETIME.exists(), reason="needs libfaketime")
def test_the_next_primary_has_another_clock(scene, measured):
    """Its clock is behind, so that all that was noted lies in the future; then there is one whose clock is ahead."""
    former, behind = scene.cluster.primary, scene.cluster.standbys[0]
    behind.kill()
    behind.start(clock=-OTHER_CLOCK_SECONDS)
    scene.whole()
    switches(scene, measured, to=behind)
    ((ahead,),) = scene.cluster.query(
        "SELECT extract(epoch FROM now() - to_timestamp(%s))", time.time()
    )
    assert -OTHER_CLOCK_SECONDS - 5 < ahead < -OTHER_CLOCK_SECONDS + 5
    for server in scene.servers:
        server.line("the database's clock went back")
    scene.whole()
    switches(scene, measured, to=former)
