"""Log-ins by a directory, with the settings of docs/accounts.md, against a slapd."""

import subprocess

import ldap
import pytest
from django.contrib.auth import get_user_model
from django.test import Client

from sessions_app import wrong_credentials
from sessions_app.roles import Role
from tests.documents import ROOT, blocks_of
from tests.factories import make_user
from tests.ports import reserved
from tests.waiting import eventually

SLAPD = "/usr/sbin/slapd"
pytestmark = pytest.mark.django_db

PASSWORD = "correct horse"
CONFIGURATION = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_ldif
database ldif
suffix dc=example,dc=com
rootdn cn=silo,dc=example,dc=com
rootpw secret
directory {folder}
access to attrs=userPassword by anonymous auth by * none
access to * by * none
"""
TREE = """
dn: dc=example,dc=com
objectClass: domain
dc: example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=silo,dc=example,dc=com
objectClass: organizationalUnit
ou: silo
"""
PERSON = """
dn: uid={uid},ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: {uid}
cn: {uid}
givenName: Ada
sn: Lovelace
userPassword: {password}
"""
GROUP = """
dn: cn={role},ou=silo,dc=example,dc=com
objectClass: groupOfNames
cn: {role}
member: uid={uid},ou=people,dc=example,dc=com
"""


@pytest.fixture(autouse=True)
def no_wrong_credentials():
    """What other tests have tried slows nobody down."""
    wrong_credentials.forget()
    yield
    wrong_credentials.forget()


@pytest.fixture
def directory(tmp_path, settings):
    """A slapd with ada (editor), bob (admin) and carol (no role), and the page's settings with its address."""
    (tmp_path / "data").mkdir()
    file = tmp_path / "slapd.conf"
    file.write_text(CONFIGURATION.format(folder=tmp_path / "data"))
    people = [PERSON.format(uid=uid, password=PASSWORD) for uid in ("ada", "bob", "carol")]
    groups = [GROUP.format(role="editor", uid="ada"), GROUP.format(role="admin", uid="bob")]
    tree = "\n".join([TREE, *people, *groups])
    subprocess.run([SLAPD, "-T", "add", "-f", file], input=tree, text=True, check=True)
    uri = f"ldap://127.0.0.1:{reserved()}"
    slapd = subprocess.Popen([SLAPD, "-f", file, "-h", uri, "-d", "0"])
    try:
        eventually(lambda: answers(uri))
        configure(settings, uri)
        yield slapd
    finally:
        slapd.kill()
        slapd.wait()


def answers(uri):
    try:
        ldap.initialize(uri).simple_bind_s("cn=silo,dc=example,dc=com", "secret")
    except ldap.SERVER_DOWN:
        return False
    return True


def configure(settings, uri):
    """Set what the page sets beside the settings of the service."""
    [block] = [one for one in blocks_of(ROOT / "docs/accounts.md") if one.language == "python"]
    code = block.code.replace('os.environ["LDAP_PASSWORD"]', '"secret"')
    named = {}
    exec(compile(code, str(block), "exec"), named)
    for name, value in named.items():
        if name.startswith(("AUTH_LDAP_", "AUTHENTICATION_")):
            setattr(settings, name, value)
    settings.AUTH_LDAP_SERVER_URI = uri


def log_in(name, password=PASSWORD):
    client = Client()
    return client, client.post("/board/log-in", {"username": name, "password": password})


def test_names_passwords_and_roles_are_the_directorys(directory):
    client, answer = log_in("Ada")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    assert client.get("/").status_code == 200
    ada = get_user_model().objects.get()
    assert (ada.username, ada.get_full_name(), ada.is_staff) == ("ada", "Ada Lovelace", False)
    assert Role.of(ada) == Role.EDITOR
    assert not ada.has_usable_password()
    me = client.get("/api/me").json()
    assert (me["user"], me["role"]) == ("ada", "editor")
    log_in("bob")
    bob = get_user_model().objects.get(username="bob")
    assert (Role.of(bob), bob.is_staff) == (Role.ADMIN, True)


def test_wrong_passwords_and_users_without_a_group_are_refused(directory):
    for name, password in (("ada", "wrong"), ("eve", PASSWORD), ("ada", " "), ("*", PASSWORD)):
        _, answer = log_in(name, password)
        assert answer.status_code == 200
    assert not get_user_model().objects.exists()
    _, answer = log_in("carol")
    assert answer.status_code == 200
    assert "no role" in answer.content.decode()


def test_each_log_in_renews_the_role_and_keeps_the_account(directory):
    ada = make_user("ada", Role.ADMIN)
    log_in("ada")
    assert get_user_model().objects.get() == ada
    assert Role.of(ada) == Role.EDITOR


def test_accounts_of_its_own_log_in_while_the_directory_is_away(directory):
    make_user("boss", Role.ADMIN)
    directory.kill()
    directory.wait()
    assert log_in("boss")[1].status_code == 302
    assert log_in("ada")[1].status_code == 200
    assert not get_user_model().objects.filter(username="ada").exists()
