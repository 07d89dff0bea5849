"""The site of the pages: its reference is whole, its table of contents too, and no page breaks the server's policy."""

import re
from pathlib import Path

import pytest
from django.http import HttpResponse
from django.test import RequestFactory

from sessions_app.payloads.events import EVENTS
from silo.api import api
from silo.static_files import StaticFilesMiddleware
from tools import pages, reference

ROOT = Path(__file__).parents[2]
PAGE = """<html><head><style>body { color: red }</style></head><body class="a" style="opacity: 50%">
<script>document.body.dataset.theme = "auto";</script><script src="_static/furo.js"></script>
<p style="opacity: 50%">once more</p></body></html>"""


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The pages of the reference, by their names."""
    folder = tmp_path_factory.mktemp("reference")
    reference.main(folder)
    return {page.name: page.read_text() for page in folder.iterdir()}


def test_every_operation_is_in_the_reference(written):
    for path, operations in api.get_openapi_schema()["paths"].items():
        for method in operations:
            assert f"\n## {method.upper()} `{path}`\n" in written["http.md"]


def test_every_event_is_in_the_reference_with_its_members(written):
    assert re.findall(r"(?m)^## (.*)$", written["events.md"]) == list(EVENTS)
    for shape in EVENTS.values():
        for member, field in shape.model_fields.items():
            assert f"| `{field.alias or member}`" in written["events.md"]


def test_every_link_of_the_reference_leads_to_an_object(written):
    labels = set(re.findall(r"(?m)^\((object-\w+)\)=$", written["http.md"]))
    linked = set(re.findall(r"\(http\.md#([\w-]+)\)", "".join(written.values())))
    assert len(linked) > 30
    assert linked <= labels


def test_every_finding_is_told(written):
    scripts = [script.name for script in ROOT.glob("findings/*.sh")]
    assert scripts
    assert set(scripts) == set(re.findall(r"The script: `(.*)`", written["findings.md"]))
    assert written["findings.md"].count("\n\nWhat is so:") == len(scripts)


def test_a_cell_stays_in_its_row():
    assert reference.cell("one|two\n  three") == "one\\|two three"


def test_every_page_is_in_the_table_of_contents():
    listed = set(re.findall(r"(?m)^([\w./-]+)$", (ROOT / "docs/index.md").read_text()))
    for page in ROOT.glob("docs/*.md"):
        if page.name != "index.md":
            assert page.stem in listed, f"docs/index.md does not name {page.name}"


def test_scripts_and_styles_of_a_page_are_moved_into_files(tmp_path):
    page = tmp_path / "docs/page.html"
    page.parent.mkdir()
    page.write_text(PAGE)
    pages.make_strict(page, tmp_path)
    text = page.read_text()
    assert not re.search(r"<script>|<style>| style=", text)
    assert '<script src="_static/furo.js">' in text
    files = re.findall(r'(?:src|href)="\.\./(_static/inline-[\w.]+)"', text)
    kept = "".join((tmp_path / file).read_text() for file in files)
    assert 'dataset.theme = "auto"' in kept
    assert "body { color: red }" in kept
    [mark] = set(re.findall(r'data-style="(\w+)"', text))
    assert f'[data-style="{mark}"] {{ opacity: 50% }}' in kept


@pytest.mark.parametrize(
    ("path", "status"), [("/docs/", 200), ("/docs", 302), ("/docs/a.html", 200), ("/other/", 404)]
)
def test_the_site_is_served_where_there_is_one(settings, tmp_path, path, status):
    (tmp_path / "docs").mkdir()
    for name in ("index.html", "a.html"):
        (tmp_path / "docs" / name).write_text("page")
    settings.WHITENOISE_ROOT = tmp_path
    server = StaticFilesMiddleware(lambda request: HttpResponse(status=404))
    assert server(RequestFactory().get(path)).status_code == status
