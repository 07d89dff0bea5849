"""Log-ins by OpenID Connect through a real provider."""

import logging
import re
from urllib.parse import parse_qs, urlsplit

import pytest
from django.contrib.auth import get_user_model
from django.core import signing
from joserfc.jwk import RSAKey

from board_app.openid import attempt
from board_app.openid.provider import PROVIDER, SET_UP_WRONG
from sessions_app.models import OpenIdAccount
from sessions_app.roles import Role
from silo.log_format import FieldsFormatter
from tests.factories import make_user
from tests.integration.admin_site import text_of
from tests.integration.test_security_headers import check_page
from tests.oidc.conftest import ANSWER, BEGIN, PEOPLE, configure

pytestmark = pytest.mark.django_db
User = get_user_model()
# As docs/operations.md gives it to fail2ban.
WRONG = r"\S+Z WARNING sessions_app\.wrong_credentials wrong log-in address=127\.0\.0\.1 why=.+"


def refused(answer, status, words):
    """Check that nobody was logged in, and that the page says why and takes a password."""
    text = text_of(answer)
    assert answer.status_code == status, text
    assert words in text
    assert 'role="alert"' in text
    assert 'type="password"' in text
    check_page(answer)
    assert "sessionid" not in answer.cookies


def unusable(answer):
    """Check that the page does not have its reader try again."""
    refused(answer, 503, "The answer of Company cannot be used here. Tell an administrator.")
    assert "Retry-After" not in answer


def lines_of(caplog):
    """What this service says, without the ids of requests."""
    ours = [one for one in caplog.records if one.name.startswith(("board_app", "sessions_app"))]
    return [re.sub(r" request_id=\w+$", "", FieldsFormatter().format(one)) for one in ours]


@pytest.mark.parametrize("started", ["userinfo", "id_token"], indirect=True)
def test_name_and_role_are_the_providers(provider, browser):
    answer = browser.log_in("1")
    assert (answer.status_code, answer["Location"]) == (302, "/")
    me = browser.silo.get("/api/me").json()
    assert (me["user"], me["role"]) == ("ada", "editor")
    ada = User.objects.get()
    assert (ada.get_full_name(), ada.is_staff, ada.has_usable_password()) == (
        "Ada Lovelace",
        False,
        False,
    )
    assert OpenIdAccount.objects.get().subject == "1"


def test_the_browser_is_sent_with_state_nonce_and_pkce(provider, browser):
    sent = parse_qs(urlsplit(browser.begin()).query)
    assert sent["redirect_uri"] == ["http://testserver/board/log-in/openid/answer"]
    assert (sent["response_type"], sent["code_challenge_method"]) == (["code"], ["S256"])
    assert {"state", "nonce", "code_challenge"} < sent.keys()
    assert browser.begin() != browser.begin()


def test_each_log_in_renews_name_and_role(provider, new_browser):
    new_browser().log_in("2")
    bob = User.objects.get()
    assert (Role.of(bob), bob.is_staff, bob.first_name) == (Role.ADMIN, True, "Bob")
    renamed = {"preferred_username": "robert", "given_name": "Rob", "groups": "silo-viewers"}
    provider.set_people(PEOPLE | {"2": renamed})
    new_browser().log_in("2")
    bob = User.objects.get()
    assert (bob.username, bob.first_name) == ("bob", "Rob")
    assert (Role.of(bob), bob.is_staff) == (Role.VIEWER, False)
    provider.set_people(PEOPLE | {"2": {"preferred_username": "bob"}})
    refused(new_browser().log_in("2"), 403, "This user has no role")
    assert Role.of(User.objects.get()) is None


def test_nobody_without_a_role_gets_an_account(provider, browser, caplog):
    refused(browser.log_in("3"), 403, "This user has no role")
    assert not User.objects.exists()
    assert re.search(
        r'refused address=127\.0\.0\.1 why="no role" user=carol$', lines_of(caplog)[-1]
    )


def test_roles_may_be_given_here(provider, new_browser, settings):
    configure(settings, provider.issuer, openid_groups_claim="")
    refused(new_browser().log_in("2"), 403, "This user has no role")
    bob = User.objects.get()
    Role.give(bob, Role.EDITOR)
    assert new_browser().log_in("2").status_code == 302
    assert Role.of(User.objects.get()) == Role.EDITOR


def test_a_deactivated_account_stays_out(provider, new_browser):
    new_browser().log_in("1")
    User.objects.update(is_active=False)
    refused(new_browser().log_in("1"), 403, "deactivated")


def test_an_account_of_this_name_is_not_taken_over(provider, new_browser, settings):
    # In another spelling, which is the same name.
    own = make_user("ADA", Role.ADMIN)
    refused(new_browser().log_in("1"), 403, "belongs to another account")
    assert not OpenIdAccount.objects.exists()
    configure(settings, provider.issuer, openid_take_over=True)
    assert new_browser().log_in("1").status_code == 302
    assert User.objects.get() == own
    assert Role.of(User.objects.get()) == Role.EDITOR
    # It is somebody's by now.
    provider.set_people(PEOPLE | {"4": PEOPLE["1"]})
    refused(new_browser().log_in("4"), 403, "belongs to another account")
    # Of a provider from before nobody comes any more.
    OpenIdAccount.objects.update(issuer="https://before.example.com")
    assert new_browser().log_in("4").status_code == 302
    whose = OpenIdAccount.objects.get()
    assert (whose.user_id, whose.issuer, whose.subject) == (own.pk, provider.issuer, "4")


def test_a_mail_address_says_nothing(provider, browser):
    make_user("ada.l", Role.ADMIN, email="ada@example.com")
    provider.set_people({"1": PEOPLE["1"] | {"email": "ada@example.com", "email_verified": True}})
    browser.log_in("1")
    assert browser.silo.get("/api/me").json()["user"] == "ada"


@pytest.mark.parametrize("name", ["a d a", "x" * 151, "<ada>"])
def test_a_name_that_cannot_be_one_here_makes_no_account(provider, browser, name):
    provider.set_people({"1": PEOPLE["1"] | {"preferred_username": name}})
    refused(browser.log_in("1"), 403, "cannot be one here")
    assert not User.objects.exists()


@pytest.mark.parametrize("name", [None, " ", 5, "ada\0", "ada\u200b", "x" * 200_003 + "\0"])
def test_without_a_usable_claim_nobody_is_let_in(provider, new_browser, caplog, name):
    provider.set_people({"1": PEOPLE["1"] | {"preferred_username": name}, "2": PEOPLE["2"]})
    answer = new_browser().log_in("1")
    unusable(answer)
    assert lines_of(caplog)[-1].endswith('"the provider sends no usable claim preferred_username"')
    # It is that user's trouble only.
    assert new_browser().log_in("2").status_code == 302


def test_a_consent_that_is_denied_leads_back(provider, browser, caplog):
    refused(browser.log_in("1", consents=False), 403, "cancelled or refused")
    assert not lines_of(caplog)


def test_an_answer_counts_only_in_the_browser_that_asked(provider, new_browser, caplog):
    """Else a link would log somebody in as somebody else."""
    one, other = new_browser(), new_browser()
    address = one.at_provider(one.begin(), "1")
    refused(other.back(address), 400, "started in another browser")
    other.begin()
    refused(other.back(address), 400, "started in another browser")
    assert one.back(address).status_code == 302


def test_of_two_tabs_the_second_one_logs_in(provider, browser):
    one = browser.at_provider(browser.begin("/items/1"), "1")
    two = browser.at_provider(browser.begin("/items/2"), "1")
    refused(browser.back(one), 400, "another browser or tab")
    assert browser.back(two)["Location"] == "/items/2"


def test_a_code_is_good_once(provider, browser, caplog):
    address = browser.at_provider(browser.begin(), "1")
    cookie = browser.silo.cookies[attempt.COOKIE].value
    assert browser.back(address).status_code == 302
    browser.silo.cookies.clear()
    refused(browser.back(address), 400, "started in another browser")
    # With the cookie from before, which somebody has kept.
    browser.silo.cookies[attempt.COOKIE] = cookie
    refused(browser.back(address), 400, "could not be verified")
    assert "invalid_grant" in lines_of(caplog)[-1]
    assert re.fullmatch(WRONG, lines_of(caplog)[-1])


def test_an_attempt_ends_after_a_while(provider, browser, monkeypatch):
    address = browser.at_provider(browser.begin(), "1")
    monkeypatch.setattr(attempt, "LASTS_SECONDS", -1)
    refused(browser.back(address), 400, "more than ten minutes ago")


@pytest.mark.parametrize(("place", "why"), [(1, "invalid_claim"), (2, "invalid_grant")])
def test_nonce_and_verifier_are_those_of_the_attempt(provider, browser, caplog, place, why):
    address = browser.at_provider(browser.begin(), "1")
    kept = signing.loads(browser.silo.cookies[attempt.COOKIE].value, salt=attempt._SALT)
    kept[place] = "x" * 48
    browser.silo.cookies[attempt.COOKIE] = signing.dumps(kept, salt=attempt._SALT)
    refused(browser.back(address), 400, "could not be verified")
    assert why in lines_of(caplog)[-1]


def test_an_id_token_for_somebody_else_is_not_believed(provider, browser, settings, caplog):
    address = browser.at_provider(browser.begin(), "1")
    # What is known of the provider still has the name from before.
    configure(settings, provider.issuer, openid_client_id="another")
    refused(browser.back(address), 400, "could not be verified")
    assert "invalid_claim" in lines_of(caplog)[-1]


def test_a_signature_is_by_a_key_of_the_provider(provider, browser, caplog):
    address = browser.at_provider(browser.begin(), "1")
    known = PROVIDER._client()
    [kid] = [key["kid"] for key in known.fetch_jwk_set()["keys"] if key["kty"] == "RSA"]
    known.server_metadata["jwks"] = {"keys": [a_key(kid)]}
    refused(browser.back(address), 400, "could not be verified")
    assert "bad_signature" in lines_of(caplog)[-1]


def test_a_key_that_is_new_is_asked_for(provider, browser):
    address = browser.at_provider(browser.begin(), "1")
    PROVIDER._client().server_metadata["jwks"] = {"keys": [a_key("from before")]}
    assert browser.back(address).status_code == 302


def a_key(kid):
    return RSAKey.generate_key(2048, {"kid": kid, "use": "sig", "alg": "RS256"}).as_dict(
        private=False
    )


def test_another_providers_answer_is_none(provider, browser):
    address = browser.at_provider(browser.begin(), "1")
    assert "iss=" in address
    other = re.sub(r"iss=[^&]+", "iss=https%3A%2F%2Fevil.example", address)
    refused(browser.back(other), 400, "could not be verified")


def test_a_wrong_secret_is_the_operators_trouble(provider, browser, settings, caplog):
    configure(settings, provider.issuer, openid_client_secret="hunter2")
    unusable(browser.log_in("1"))
    assert "refuses this client: invalid_client" in lines_of(caplog)[-1]
    assert "hunter2" not in "".join(lines_of(caplog))


def answered(browser, **fields):
    """Begin, and come back with an answer that the provider has not given."""
    state = parse_qs(urlsplit(browser.begin()).query)["state"][0]
    return browser.silo.get(ANSWER, {"state": state, **fields})


@pytest.mark.parametrize("error", sorted(SET_UP_WRONG))
def test_a_client_that_is_refused_in_the_redirect_is_the_operators_trouble(
    provider, browser, caplog, error
):
    unusable(answered(browser, error=error))
    [line] = lines_of(caplog)
    assert line.endswith(f'why="the provider refuses this client: {error}"')


def test_many_wrong_answers_wait(provider, browser):
    for _ in range(50):
        answer = answered(browser, code="x", iss="https://evil.example")
        assert answer.status_code == 400
    answer = answered(browser, code="x", iss="https://evil.example")
    assert answer.status_code == 429
    assert 1 <= int(answer["Retry-After"]) <= 10


def test_no_page_of_the_web_can_have_an_address_banned(provider, browser, caplog):
    """Anybody's pictures may have this address, and browsers send no attempt with them."""
    with_attempt = browser.at_provider(browser.begin(), "1")
    for _ in range(51):
        refused(browser.silo.get(f"{ANSWER}?code=x&state=y"), 400, "started in another browser")
    assert not lines_of(caplog)
    assert browser.back(with_attempt).status_code == 302


@pytest.mark.parametrize(
    ("following", "led_to"),
    [
        ("/items/A01-0001?x=1", "/items/A01-0001?x=1"),
        ("https://evil.example/", "/"),
        ("//evil.example/", "/"),
        ("/\\evil.example", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_a_log_in_leads_to_where_one_wanted_and_to_no_other_service(
    provider, browser, following, led_to
):
    assert browser.log_in("1", following)["Location"] == led_to


def test_an_address_that_is_too_long_to_be_kept_is_not_cut(provider, browser):
    fits = "/items/" + "x" * (attempt.NEXT_MAX - 7)
    assert browser.log_in("1", fits)["Location"] == fits
    assert browser.log_in("1", f"{fits}x")["Location"] == "/"


def test_staff_come_to_the_admin_site(provider, browser):
    page = text_of(browser.silo.get("/admin/login/?next=/admin/"))
    [link] = re.findall(rf'href="({BEGIN}[^"]*)">Log in with Company<', page)
    assert link == f"{BEGIN}?next=%2Fadmin%2F"
    assert browser.log_in("2", "/admin/")["Location"] == "/admin/"
    assert browser.silo.get("/admin/").status_code == 200


@pytest.mark.parametrize("way_out", ["/board/log-out", "/admin/logout/"])
def test_a_log_out_ends_the_log_in_here_and_the_next_one_is_asked_who_it_is(
    provider, browser, way_out
):
    browser.log_in("2")
    # The provider knows the browser by now, and shows no page.
    assert browser.passes(browser.begin())
    # A link of another page logs nobody out.
    answer = browser.silo.get(way_out)
    assert answer.status_code == 405
    assert attempt.LOGGED_OUT_COOKIE not in answer.cookies
    browser.silo.post(way_out)
    assert browser.silo.get("/api/me").status_code == 401
    assert not browser.passes(browser.begin())
    browser.log_in("2")
    assert browser.silo.get("/api/me").json()["user"] == "bob"
    assert browser.passes(browser.begin())


def test_a_success_says_who_and_from_where(provider, browser, caplog):
    caplog.set_level(logging.INFO)
    browser.log_in("1")
    assert re.search(
        r"log-in by OpenID Connect accepted address=127\.0\.0\.1 user=ada$", lines_of(caplog)[-1]
    )
    said = "".join(lines_of(caplog))
    assert "the-secret" not in said
    assert "code=" not in said


def test_the_page_for_logging_in_has_the_button(provider, browser):
    page = browser.silo.get("/board/log-in?next=/items/A%261")
    check_page(page)
    assert f'href="{BEGIN}?next=%2Fitems%2FA%261"' in text_of(page)
    assert "Log in with Company" in text_of(page)
