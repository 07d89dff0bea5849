"""Which process a lock file of PostgreSQL names, and which content names none."""

import os
from pathlib import Path

import pytest

from django_embedded_postgres.accounts import Account
from django_embedded_postgres.lock_files import UnreadableLockFile, read_pid


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "postmaster.pid"


@pytest.mark.parametrize(
    "content", [b"4711", b"4711\n/data\n", b"-4711\n", b"4711 \n", b"4711\r\n"]
)
def test_the_number_is_read(file, content):
    file.write_bytes(content)
    assert read_pid(file) == 4711


def test_a_missing_file_names_no_process(file):
    assert read_pid(file) is None


@pytest.mark.parametrize(
    "content",
    [
        b"\0" * 40,
        b"\xff\xfe",
        b"0\n",
        b"-\n",
        b"1_0\n",
        b"+5\n",
        b" 5\n",
        "٣\n".encode(),
        b"no\n",
        b"9" * 5000,
    ],
)
def test_other_content_is_unreadable(file, content):
    file.write_bytes(content)
    with pytest.raises(UnreadableLockFile, match="does not begin with the number of a process"):
        read_pid(file)


@pytest.mark.parametrize("content", [b"", b"\n4711\n"])
def test_an_empty_file_is_unreadable(file, content):
    file.write_bytes(content)
    with pytest.raises(UnreadableLockFile, match="is empty"):
        read_pid(file)


def test_a_folder_is_unreadable(file):
    file.mkdir()
    with pytest.raises(UnreadableLockFile, match="cannot be read"):
        read_pid(file)


def test_a_file_that_the_server_cannot_read_is_unreadable(file):
    file.write_text("4711\n")
    file.chmod(0o600)
    assert read_pid(file, Account(os.getuid(), os.getgid())) == 4711
    with pytest.raises(UnreadableLockFile, match="cannot be read by"):
        read_pid(file, Account(os.getuid() + 1, os.getgid()))
    file.chmod(0o644)
    assert read_pid(file, Account(os.getuid() + 1, os.getgid())) == 4711
