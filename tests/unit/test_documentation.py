"""Pages and docstrings: prose wraps at 120, links lead somewhere, no sentence opens with "Who" or "What" as a noun."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("[!.]*/README.md")]
MODULES = [path for app in ("events_app", "silo") for path in ROOT.glob(f"{app}/**/*.py")]

WIDTH = 120
# A code span or a link is not broken, so it may be what makes a line long.
UNBROKEN = re.compile(r"`[^`]*`|\]\([^)]*\)|https?://\S+")
LINK = re.compile(r"\]\(([^)#\s:]*)(#[^)\s]+)?\)")
# Not a question. `What's` and a quoted "Who" are none either.
RIDDLE = re.compile(
    r"(?:^|(?<=[.;!?] ))(?:Who|Whoever|Whom|Whomever|What|Whatever) [a-z][^.?!]*[.:;]"
)


def prose(text: str) -> list[tuple[int, str]]:
    """Return the lines outside of code blocks and tables, with their numbers."""
    lines, in_code = [], False
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_code = not in_code
        elif not in_code and not line.startswith(("|", "    ")):
            lines.append((number, line))
    return lines


def paragraphs(text: str) -> list[str]:
    """Return the paragraphs and items of lists, each in one line, without their marks."""
    joined = "\n".join(line for _, line in prose(text) if not line.startswith("#"))
    parts = re.split(r"\n\s*\n|\n(?=\s*(?:[*-]|\d+\.) )", joined)
    return [re.sub(r"^(?:[*-]|\d+\.) ", "", " ".join(part.split())) for part in parts]


def anchors(page: Path) -> set[str]:
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text())
    plain = (re.sub(r"[^\w\- ]", "", heading.lower()) for heading in headings)
    return {f"#{heading.replace(' ', '-')}" for heading in plain}


def shown(page: Path) -> str:
    return str(page.relative_to(ROOT))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_prose_wraps_at_120(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("its entries are kept as they were released")
    long = [
        (number, line)
        for number, line in prose(page.read_text())
        if len(line) > WIDTH and not UNBROKEN.search(line)
    ]
    assert long == []


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_links_lead_to_a_page_and_a_heading(page):
    for name, anchor in LINK.findall("\n".join(line for _, line in whole(page))):
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), f"{shown(page)} links to {name}"
        if anchor and target.suffix == ".md":
            assert anchor in anchors(target), f"{shown(page)} links to {name}{anchor}"


def whole(page: Path) -> list[tuple[int, str]]:
    """Return the lines outside of code blocks, tables included."""
    text = re.sub(r"(?ms)^\s*```.*?^\s*```", "", page.read_text())
    return list(enumerate(text.splitlines(), 1))


@pytest.mark.parametrize("page", PAGES, ids=shown)
def test_no_sentence_of_a_page_opens_with_who_or_what_as_a_noun(page):
    if page.name == "CHANGELOG.md":
        pytest.skip("its entries are kept as they were released")
    assert [riddle for part in paragraphs(page.read_text()) for riddle in riddles(part)] == []


@pytest.mark.parametrize("module", MODULES, ids=shown)
def test_no_sentence_of_a_docstring_opens_with_who_or_what_as_a_noun(module):
    nodes = ast.walk(ast.parse(module.read_text()))
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    texts = [ast.get_docstring(node) or "" for node in nodes if isinstance(node, kinds)]
    assert [riddle for text in texts for part in paragraphs(text) for riddle in riddles(part)] == []


def riddles(text: str) -> list[str]:
    return [found[0] for found in RIDDLE.finditer(text)]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("Who reads up to an id has seen all before it.", True),
        ("It waits. What fails alone is retried.", True),
        ("Who may do that? An admin.", False),
        ("What a client has to know", False),
        ('No sentence begins with "Who" or "What" as a noun.', False),
    ],
)
def test_a_riddle_is_told_from_a_question(text, found):
    assert bool(riddles(text)) is found
