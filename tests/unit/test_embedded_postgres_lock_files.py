"""Which process a lock file of PostgreSQL names, and what is no such file."""

import os
from pathlib import Path

import pytest

from silo.embedded_postgres.accounts import Account
from silo.embedded_postgres.processes import Garbled, first_number


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "postmaster.pid"


@pytest.mark.parametrize(
    "content", [b"4711", b"4711\n/data\n", b"-4711\n", b"4711 \n", b"4711\r\n"]
)
def test_a_number_is_found(file, content):
    file.write_bytes(content)
    assert first_number(file) == 4711


def test_no_file_is_no_fault(file):
    assert first_number(file) is None


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
def test_what_is_no_number_is_garbled(file, content):
    file.write_bytes(content)
    with pytest.raises(Garbled, match="does not begin with the number of a process"):
        first_number(file)


@pytest.mark.parametrize("content", [b"", b"\n4711\n"])
def test_nothing_is_garbled(file, content):
    file.write_bytes(content)
    with pytest.raises(Garbled, match="is empty"):
        first_number(file)


def test_a_folder_is_garbled(file):
    file.mkdir()
    with pytest.raises(Garbled, match="cannot be read"):
        first_number(file)


def test_what_the_server_cannot_read_is_garbled(file):
    file.write_text("4711\n")
    file.chmod(0o600)
    assert first_number(file, Account(os.getuid(), os.getgid())) == 4711
    with pytest.raises(Garbled, match="cannot be read by"):
        first_number(file, Account(os.getuid() + 1, os.getgid()))
    file.chmod(0o644)
    assert first_number(file, Account(os.getuid() + 1, os.getgid())) == 4711
