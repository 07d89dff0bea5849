"""The secret key of an installation on the embedded database."""

import stat
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core.exceptions import ImproperlyConfigured

from silo.secret_key import load_or_generate


def test_it_is_long_and_stays_the_same(tmp_path):
    key = load_or_generate(tmp_path, allowed=True)
    assert len(key) >= 50
    assert load_or_generate(tmp_path, allowed=True) == key


def test_only_its_owner_may_read_it(tmp_path):
    load_or_generate(tmp_path, allowed=True)
    assert stat.S_IMODE((tmp_path / "secret-key").stat().st_mode) == 0o600


def test_the_data_folder_is_made(tmp_path):
    assert load_or_generate(tmp_path / "a" / "var", allowed=True)


def test_none_is_kept_where_there_is_no_database(tmp_path):
    var = tmp_path / "var"
    assert len(load_or_generate(var, allowed=True, keep=False)) >= 50
    assert not var.exists()
    kept = load_or_generate(var, allowed=True)
    assert load_or_generate(var, allowed=True, keep=False) == kept


def test_two_installations_have_two(tmp_path):
    one, other = (load_or_generate(tmp_path / name, allowed=True) for name in "ab")
    assert one != other


def test_a_shared_database_requires_a_configured_secret_key(tmp_path):
    with pytest.raises(ImproperlyConfigured, match="SILO_SECRET_KEY"):
        load_or_generate(tmp_path, allowed=False)
    assert not any(tmp_path.iterdir())


def test_many_that_start_at_once_agree_and_leave_no_drafts(tmp_path):
    with ThreadPoolExecutor(8) as threads:
        keys = set(threads.map(lambda _: load_or_generate(tmp_path, allowed=True), range(50)))
    assert len(keys) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["secret-key"]


def test_an_empty_file_is_named(tmp_path):
    (tmp_path / "secret-key").write_text("\n")
    with pytest.raises(ImproperlyConfigured, match="secret-key is empty"):
        load_or_generate(tmp_path, allowed=True)


@pytest.mark.parametrize("broken", ["a file for a folder", "a folder for a file", "not text"])
def test_an_unreadable_key_file_is_one_error_message(tmp_path, broken):
    var = tmp_path / "var"
    if broken == "a file for a folder":
        var.write_text("")
    else:
        var.mkdir()
        if broken == "not text":
            (var / "secret-key").write_bytes(b"\xff\xfe")
        else:
            (var / "secret-key").mkdir()
    with pytest.raises(ImproperlyConfigured, match="cannot be kept"):
        load_or_generate(var, allowed=True)
