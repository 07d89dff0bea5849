"""The configuration file."""

import json
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured

from silo import config
from tests.unit.config_texts import NUMBERS, SECRET, in_limits, in_server, in_sessions

pytestmark = pytest.mark.usefixtures("bare_environment")

MAY_BE_ZERO = {"disconnect_grace_seconds", "idle_timeout_minutes"}


@pytest.mark.parametrize(
    "text", ["", "\n", "# nothing\n", "modules:\n", "modules:\n  sessions:\n", "server: {}"]
)
def test_nothing_said_is_the_defaults(load, text):
    sessions, server, *_ = load(text)
    assert sessions.model_dump() == NUMBERS
    assert server.model_dump() == {
        "allowed_hosts": ["127.0.0.1", "localhost", "[::1]"],
        "trusted_origins": [],
        "trusted_proxies": [],
        "https": False,
        "http_lane": True,
        "base_path": "",
        "database_standbys": 0,
        "log_format": "text",
        "log_level": "INFO",
        "secret_key": None,
    }


def test_no_file_is_the_defaults(tmp_path):
    assert config.load(tmp_path / "none.yaml", required=False)[0].heartbeat_seconds == 30


def test_a_file_that_was_named_must_exist(tmp_path):
    with pytest.raises(
        ImproperlyConfigured, match=r"SILO_CONFIG names .*none\.yaml, which does not exist"
    ):
        config.load(tmp_path / "none.yaml", required=True)


def test_a_folder_is_not_a_file(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="cannot be read"):
        config.load(tmp_path, required=True)


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize(
    ("written", "value"), [("7", 7), ("0.25", 0.25), ("1e-2", 0.01), ("'2.5'", 2.5)]
)
def test_every_number_may_be_a_decimal(load, key, written, value):
    assert getattr(load(in_sessions(key, written))[0], key) == value


BAD = ["-1", ".nan", ".inf", "-.inf", "1e300", "soon", "[1]", "{}", "true", "no", "2026-01-31"]


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", [*BAD, ""])
def test_a_bad_number_is_refused_with_its_key(refusal, key, value):
    assert f"modules.sessions.{key}: Input should be" in refusal(in_sessions(key, value))


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("colour: red", "colour"),
        ("Server: {}", "Server"),
        ("7: red", "7"),
        ("modules: {parts: {}}", "modules.parts"),
        (in_sessions("heartbeat", 30), "modules.sessions.heartbeat"),
        (in_sessions("Heartbeat_seconds", 30), "modules.sessions.Heartbeat_seconds"),
        (in_sessions("secret_key", SECRET), "modules.sessions.secret_key"),
        (in_sessions("_env_prefix", "EVIL_"), "modules.sessions._env_prefix"),
        (in_sessions("7", "7"), "modules.sessions.7"),
        (in_server("debug", "true"), "server.debug"),
        (in_server("_env_file", ".env"), "server._env_file"),
        (in_server("secret-key", SECRET), "server.secret-key"),
    ],
)
def test_an_unknown_key_is_refused_by_its_full_name(refusal, text, name):
    message = refusal(text)
    assert "unknown key" in message
    assert name in message


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("servers: {}", "did you mean server?"),
        (in_server("allowed_host", "a"), "did you mean allowed_hosts?"),
        (in_sessions("heartbeat", 30), "did you mean heartbeat_seconds?"),
    ],
)
def test_an_unknown_key_names_the_nearest(refusal, text, meant):
    assert meant in refusal(text)


def test_every_fault_of_a_section_is_named(refusal):
    message = refusal("modules: {sessions: {heartbeat_seconds: 0, sweep_seconds: soon}}")
    assert "heartbeat_seconds" in message
    assert "sweep_seconds" in message


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("[1, 2]", "the file"),
        ("just text", "the file"),
        ("7", "the file"),
        ("modules: [sessions]", "modules"),
        ("modules: {sessions: 7}", "modules.sessions"),
        (f"server: {SECRET}", "server"),
    ],
)
def test_a_section_is_a_mapping(refusal, text, what):
    assert f"{what} must be a mapping" in refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        f'server:\n  secret_key: "{SECRET}\n',
        f"server:\n  secret_key: {SECRET}: x\n",
        f"server: {{secret_key: !x {SECRET}}}",
        f"\tserver: {SECRET}",
        f"server: {{secret_key: {SECRET}",
        "server: {[]: hunter2}",
        "a: 2026-13-45",
        "[" * 100_000,
        "a: *nowhere",
        "a: \x00",
        "--- {}\n--- {}\n",
    ],
)
def test_a_file_that_is_not_yaml_is_refused_and_not_quoted(refusal, text):
    assert "silo.yaml is not valid YAML" in refusal(text)


def test_the_line_of_a_fault_is_named(refusal):
    assert "(line 2, column 7)" in refusal("server:\n  a: b: c\n")


def test_a_file_that_is_not_utf_8_is_refused(refusal):
    assert "cannot be read" in refusal(b"server:\n  secret_key: \xff\xfe\n")


LISTS = {
    "allowed_hosts": ["a.example", "[::1]", ".b.example"],
    "trusted_origins": ["https://a.example", "http://[::1]:8000", "https://*.b.example"],
    "trusted_proxies": ["127.0.0.1/32", "10.0.0.0/8", "2001:db8::/32"],
}


lists = pytest.mark.parametrize(("key", "values"), LISTS.items())


def written_in_ways(values):
    """A list as it may be written in the environment, and, quoted, in the file."""
    return [json.dumps(values), ",".join(values), f" {' , ,'.join(values)},", f" {values[0]}"]


@lists
@pytest.mark.parametrize("way", range(4))
def test_a_list_is_in_json_or_separated_by_commas(load, key, values, way, monkeypatch):
    written = written_in_ways(values)[way]
    expected = values[:1] if way == 3 else values
    assert getattr(load(in_server(key, json.dumps(written)))[1], key) == expected
    monkeypatch.setenv(f"SILO_{key.upper()}", written)
    assert getattr(load(in_server(key, "[]"))[1], key) == expected


@lists
def test_a_list_in_the_file_is_one(load, key, values):
    assert getattr(load(in_server(key, json.dumps(values)))[1], key) == values


@lists
def test_an_ipv6_address_is_not_read_as_json(load, key, values, monkeypatch):
    monkeypatch.setenv(f"SILO_{key.upper()}", values[1])
    assert getattr(load()[1], key) == values[1:2]


@pytest.mark.parametrize("key", LISTS)
@pytest.mark.parametrize("value", ["7", "[7]", "[[a]]", "{a: b}", "true", "[no]"])
def test_a_bad_list_is_refused(refusal, key, value):
    assert f"server.{key}" in refusal(in_server(key, value))


@pytest.mark.parametrize(
    ("key", "value", "why"),
    [
        ("allowed_hosts", "https://a.example", "is no host name"),
        ("allowed_hosts", "a.example:443", "is no host name"),
        ("allowed_hosts", "*.a.example", "is no host name"),
        ("allowed_hosts", "a.example/", "is no host name"),
        ("allowed_hosts", '["a.example"', "is no host name"),
        ("allowed_hosts", "['a.example']", "is no host name"),
        ("allowed_hosts", "[1]", "should be a valid string"),
        ("trusted_origins", "a.example", "is no origin"),
        ("trusted_origins", "https://a.example/", "is no origin"),
        ("trusted_origins", "*", "is no origin"),
        ("trusted_origins", "null", "is no origin"),
        ("trusted_proxies", "proxy.example", "is neither an address nor a network"),
        ("trusted_proxies", "10.0.0.0/33", "is neither an address nor a network"),
    ],
)
def test_an_entry_that_would_match_nothing_is_refused_with_the_reason(
    refusal, key, value, why, monkeypatch
):
    monkeypatch.setenv(f"SILO_{key.upper()}", value)
    assert why in refusal()


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("server: {}\nmodules: {}\nserver: {}\n", "`server` stands twice (lines 1 and 3)"),
        (
            "modules:\n  sessions: {}\n  sessions: {}\n",
            "`sessions` stands twice (lines 2 and 3)",
        ),
        (
            in_sessions("sweep_seconds", 1) + "    sweep_seconds: 1\n",
            "`sweep_seconds` stands twice (lines 3 and 4)",
        ),
        ("server: {https: true, 'https': true}", "`https` stands twice (lines 1 and 1)"),
        (f"server:\n  secret_key: {SECRET}\n  secret_key: {SECRET}\n", "(lines 2 and 3)"),
    ],
)
def test_a_key_that_stands_twice_is_refused_with_its_lines(refusal, text, said):
    assert said in refusal(text)


@pytest.mark.parametrize("value", ["1:30", "1:30:00", "0x10", "0b11"])
def test_a_number_is_in_decimals(refusal, value):
    assert "sweep_seconds: Input should be" in refusal(in_sessions("sweep_seconds", value))


def test_a_leading_zero_changes_no_number(load):
    assert load(in_sessions("sweep_seconds", "010"))[0].sweep_seconds == 10


def test_keys_may_be_shared_by_anchors(load):
    text = "modules:\n  sessions: &s\n    sweep_seconds: 7\nserver: {}\n"
    assert load(text)[0].sweep_seconds == 7
    merged = "modules:\n  sessions:\n    <<: {sweep_seconds: 7}\n    heartbeat_seconds: 8\n"
    assert load(merged)[0].sweep_seconds == 7


def test_a_byte_order_mark_is_no_key(load):
    assert load("\ufeffserver: {https: true}".encode())[1].https is True


@pytest.mark.parametrize(("key", "value"), [("log_format", "xml"), ("log_level", "5")])
def test_another_log_is_refused(refusal, key, value):
    assert f"server.{key}: Input should be '" in refusal(in_server(key, value))


def test_a_bad_switch_is_refused(refusal):
    assert "server.https" in refusal(in_server("https", "maybe"))


@pytest.mark.parametrize(
    "value", ["hunter2", "[hunter2]", "{hunter2: hunter2}", "hunter2, hunter2"]
)
def test_a_bad_secret_key_is_refused_and_never_shown(refusal, value, monkeypatch):
    assert "server.secret_key" in refusal(in_server("secret_key", value))
    monkeypatch.setenv("SILO_SECRET_KEY", "hunter2")
    assert "server.secret_key" in refusal()


def test_intervals_are_also_durations(load):
    sessions, *_ = load(
        "modules: {sessions: {session_timeout_minutes: 0.5, event_retention_hours: 2}}"
    )
    assert sessions.session_timeout == timedelta(seconds=30)
    assert sessions.event_retention == timedelta(hours=2)


@pytest.mark.parametrize("key", NUMBERS)
@pytest.mark.parametrize("value", ["0", "0.0", "-0.0"])
def test_zero_is_good_where_it_means_never_or_at_once(load, refusal, key, value):
    if key in MAY_BE_ZERO:
        assert getattr(load(in_sessions(key, value))[0], key) == 0
    else:
        assert f"modules.sessions.{key}: Input should be" in refusal(in_sessions(key, value))


def test_a_limit_is_a_whole_number_of_at_least_one(load, refusal, monkeypatch):
    assert load()[2].streams_per_user == 100
    assert load(in_limits("streams_per_user", 7))[2].streams_per_user == 7
    for wrong in ("0", "-1", "1.5", "yes", "many"):
        assert "limits.streams_per_user" in refusal(in_limits("streams_per_user", wrong))
    assert "limits.stream_per_user: unknown key" in refusal(in_limits("stream_per_user", 7))
    monkeypatch.setenv("SILO_STREAMS_PER_USER", "8")
    assert load(in_limits("streams_per_user", 7))[2].streams_per_user == 8
    monkeypatch.setenv("SILO_STREAM_PER_USER", "8")
    assert "did you mean SILO_STREAMS_PER_USER?" in refusal()


def test_the_number_of_standbys_is_a_small_whole_one(load, refusal, monkeypatch):
    assert load(in_server("database_standbys", 2))[1].database_standbys == 2
    for wrong in ("-1", "1.5", "yes", "101"):
        assert "server.database_standbys" in refusal(in_server("database_standbys", wrong))
    monkeypatch.setenv("SILO_DATABASE_STANDBYS", "1")
    assert load(in_server("database_standbys", 2))[1].database_standbys == 1


@pytest.mark.parametrize(
    ("written", "path"),
    [("''", ""), ("/", ""), ("/silo", "/silo"), ("/silo/", "/silo"), ("/a.b/c~1", "/a.b/c~1")],
)
def test_a_base_path_ends_without_a_slash(load, written, path):
    assert load(in_server("base_path", written))[1].base_path == path


@pytest.mark.parametrize(
    "path", ["silo", "/si lo", "//silo", "/../x", "/silo?", "/sil%C3%B6", "https://h/silo"]
)
def test_a_base_path_is_a_path(refusal, path):
    assert "is no path: give letters" in refusal(in_server("base_path", f"'{path}'"))


def test_a_base_path_is_none_of_the_services_own(refusal):
    from silo.urls import urlpatterns

    own = {str(pattern.pattern).split("/")[0] for pattern in urlpatterns} - {""}
    assert own <= config.OWN_PATHS
    for path in config.OWN_PATHS:
        assert "addresses of its own" in refusal(in_server("base_path", f"/{path}/x"))


@pytest.mark.parametrize(
    ("written", "network"),
    [
        ("::ffff:10.1.2.3", "10.1.2.3/32"),
        ("::ffff:10.1.2.0/120", "10.1.2.0/24"),
        ("2001:db8::1", "2001:db8::1/128"),
        ("::/0", "::/0"),
    ],
)
def test_an_ipv4_address_may_be_written_as_one_of_ipv6(load, written, network):
    assert load(in_server("trusted_proxies", f"['{written}']"))[1].trusted_proxies == [network]


@pytest.mark.parametrize(
    "issuer", ["https://login.example.com/realms/a", "http://127.0.0.1:8080", "https://a.example/"]
)
def test_an_issuer_is_taken_letter_for_letter(load, issuer):
    *_, accounts = load(f"accounts:\n  openid_issuer: {issuer}\n")
    assert accounts.openid_issuer == issuer


@pytest.mark.parametrize(
    "issuer", ["http://login.example.com", "login.example.com", "https://a:b@c.example", "https://"]
)
def test_an_issuer_is_reached_by_https(refusal, issuer):
    assert "accounts.openid_issuer" in refusal(f"accounts:\n  openid_issuer: {issuer}\n")


def test_the_clients_secret_is_in_no_message(refusal):
    said = refusal("accounts:\n  openid_client_secret: [hunter2]\n")
    assert "accounts.openid_client_secret" in said


def test_groups_are_a_list_or_separated_by_commas(load, monkeypatch):
    *_, accounts = load("accounts:\n  openid_editor_groups: [a, b c]\n")
    assert accounts.openid_editor_groups == ["a", "b c"]
    monkeypatch.setenv("SILO_OPENID_EDITOR_GROUPS", "a, b c")
    assert load()[-1].openid_editor_groups == ["a", "b c"]
