"""`/client`: the client's package for workstations, as the server builds it."""

import io
import re
import zipfile
from pathlib import Path

import pytest
from django.test import Client

from silo import __version__, client_package

ROOT = Path(__file__).parents[2]
WHEEL = f"silo_client-{__version__}-py3-none-any.whl"
SOURCES = f"silo_client-{__version__}.tar.gz"
# What a browser, and what pip says that it takes.
BROWSER = "text/html,application/xhtml+xml,*/*;q=0.8"
PIP_INDEX = (
    "application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1,"
    " text/html; q=0.01"
)


@pytest.fixture
def get():
    """Ask for an address, without any credentials; return the answer."""

    def ask(address, **headers):
        return Client().get(address, headers=headers)

    return ask


def test_the_wheel_has_every_module_and_is_the_same_each_time(get):
    answer = get(f"/client/{WHEEL}")
    assert answer.status_code == 200
    assert answer["Content-Disposition"] == f'attachment; filename="{WHEEL}"'
    names = set(zipfile.ZipFile(io.BytesIO(answer.content)).namelist())
    source = ROOT / "client" / "src"
    assert {str(file.relative_to(source)) for file in source.rglob("*.py")} <= names
    assert not [name for name in names if name.endswith(".pyc")]
    client_package.build.cache_clear()
    assert get(f"/client/{WHEEL}").content == answer.content


@pytest.mark.parametrize("name", [WHEEL, SOURCES])
def test_a_file_is_asked_for_again_and_sent_once(get, name):
    first = get(f"/client/{name}")
    assert first["Cache-Control"] == "public, no-cache"
    again = get(f"/client/{name}", if_none_match=first["ETag"])
    assert (again.status_code, again.content) == (304, b"")
    assert again["ETag"] == first["ETag"]
    assert again["Cache-Control"] == "public, no-cache"
    head = Client().head(f"/client/{name}")
    assert (head.status_code, head.content) == (200, b"")
    assert head["Content-Length"] == str(len(first.content))


def test_the_address_without_a_name_is_a_page_for_people_and_the_sources_for_pip(get):
    page = get("/client/", accept=BROWSER)
    assert page["Content-Type"] == "text/html; charset=utf-8"
    text = page.content.decode()
    assert f'pip install "silo-client[cli] @ http://testserver/client/{WHEEL}"' in text
    assert f"pip install http://testserver/client/{WHEEL}<" in text
    assert "silo login http://testserver\n" in text
    package = get("/client/", accept="*/*")
    assert package["Content-Disposition"] == f'attachment; filename="{SOURCES}"'
    assert package["Content-Type"] == "application/gzip"
    assert page["Vary"] == package["Vary"] == "Accept"
    moved = get("/client", accept="*/*")
    assert (moved.status_code, moved["Location"]) == (301, "/client/")


@pytest.mark.parametrize("address", ["/client/", "/client/simple/silo-client/"])
def test_a_list_for_pip_has_addresses_that_need_no_name_of_the_server(get, address):
    text = get(address, accept=PIP_INDEX).content.decode()
    wheel = client_package.build(ROOT / "client").wheel
    up = "../../" if "simple" in address else ""
    assert f'href="{up}{WHEEL}#sha256={wheel.sha256}"' in text
    assert 'data-requires-python="&gt;=3.9"' in text
    assert text.lower().startswith("<!doctype html>")


def test_the_index_lists_the_project(get):
    text = get("/client/simple/").content.decode()
    assert re.findall(r'href="([^"]*)">([^<]*)<', text) == [("silo-client/", "silo-client")]
    assert get("/client/simple/other/").status_code == 404


def test_another_version_is_not_there_and_the_answer_names_the_one_that_is(get):
    answer = get("/client/silo_client-0.0.1-py3-none-any.whl")
    assert answer.status_code == 404
    assert WHEEL in answer.json()["message"]
    assert Client().post("/client/").status_code == 405


@pytest.mark.parametrize("address", ["", WHEEL, "simple/", "simple/silo-client/"])
def test_a_server_without_the_sources_says_so(get, settings, tmp_path, address):
    settings.CLIENT_FOLDER = tmp_path
    answer = get(f"/client/{address}")
    assert answer.status_code == 404
    assert answer.json()["error"] == "not_found"
    assert "without the folder client/" in answer.json()["message"]
