"""The site of the pages, as docs/site.md says.

python -m tools.pages SPHINX_BUILD FOLDER      builds it into the folder, which is made anew
"""

import hashlib
import html
import re
import shutil
import subprocess
import sys
from pathlib import Path

from tools import reference

ROOT = Path(__file__).parents[1]
# The server's policy allows nothing that is written inside of a page.
SCRIPT = re.compile(r"<script>(.*?)</script>", re.DOTALL)
STYLE = re.compile(r"<style>(.*?)</style>", re.DOTALL)
ATTRIBUTE = re.compile(r'(<[^<>]*?) style="([^"]*)"')
FIRST_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8"><title>Silo Sessions</title><meta http-equiv="refresh" content="0; url=docs/index.html">
</head>
<body><p><a href="docs/index.html">Silo Sessions</a></p></body>
</html>
"""


def main(sphinx_build: Path, folder: Path) -> None:
    """Make the reference, build the pages, and move what is written inside of them into files.

    Raises:
        subprocess.CalledProcessError: a page has a fault, which is printed.
    """
    reference.main(ROOT / "docs/reference")
    draft = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    options = ["--quiet", "--fail-on-warning", "--fresh-env", "--builder", "html"]
    command = [sphinx_build, *options, "--conf-dir", "docs", ".", draft]
    subprocess.run([str(part) for part in command], cwd=ROOT, check=True)  # noqa: S603  (ours)
    shutil.rmtree(draft / ".doctrees", ignore_errors=True)
    for page in sorted(draft.rglob("*.html")):
        make_strict(page, draft)
    (draft / "index.html").write_text(FIRST_PAGE, encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)


def make_strict(page: Path, folder: Path) -> None:
    """Move the scripts and styles of a page into files of the site."""
    text = page.read_text(encoding="utf-8")
    up = "../" * len(page.relative_to(folder).parts[:-1])

    def script(found: re.Match[str]) -> str:
        return f'<script src="{up}{keep(folder, found[1], "js")}"></script>'

    def style(found: re.Match[str]) -> str:
        return f'<link rel="stylesheet" href="{up}{keep(folder, found[1], "css")}">'

    attributes: set[str] = set()

    def attribute(found: re.Match[str]) -> str:
        attributes.add(found[2])
        return f'{found[1]} data-style="{digest(found[2])}"'

    text = STYLE.sub(style, SCRIPT.sub(script, text))
    text = ATTRIBUTE.sub(attribute, text)
    rules = "\n".join(
        f'[data-style="{digest(one)}"] {{ {html.unescape(one)} }}' for one in sorted(attributes)
    )
    if rules:
        link = f'<link rel="stylesheet" href="{up}{keep(folder, rules, "css")}">'
        text = text.replace("</head>", f"{link}</head>", 1)
    page.write_text(text, encoding="utf-8")


def keep(folder: Path, content: str, kind: str) -> str:
    """Write a file that is named by its content; return its path in the site."""
    name = f"_static/inline-{digest(content)}.{kind}"
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text(content, encoding="utf-8")
    return name


def digest(content: str) -> str:
    """Return what tells one content from another."""
    return hashlib.sha256(content.encode()).hexdigest()[:12]


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute())
    except subprocess.CalledProcessError as error:
        sys.exit(error.returncode)
