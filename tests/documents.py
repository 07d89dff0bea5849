"""The code blocks of the pages: which are typed as they stand there, and which say why not.

A block that is not typed has a comment `<!-- not run: reason -->` before it. `text` is no code: a picture, an output.
"""

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Without the table of contents of the site.
PAGES = [ROOT / "README.md", *sorted({*ROOT.glob("docs/*.md")} - {ROOT / "docs/index.md"})]
BLOCK = re.compile(
    r"(?ms)(?:^ *<!-- not run: (?P<reason>.+?) -->\n+)?"
    r"^(?P<indent> *)```(?P<language>\w*)\n(?P<code>.*?)^(?P=indent)```$"
)


@dataclass(frozen=True)
class Block:
    """A code block.

    Args:
        page, line: where it begins.
        language: the word behind its fence.
        code: what is between its fences.
        reason: why it is not typed as it stands there; "" where it is.
    """

    page: Path
    line: int
    language: str
    code: str
    reason: str

    def __str__(self) -> str:
        return f"{self.page.relative_to(ROOT)}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in their order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            page,
            text.count("\n", 0, found.start("indent")) + 1,
            found["language"],
            re.sub(rf"(?m)^{found['indent']}", "", found["code"]),
            found["reason"] or "",
        )
        for found in BLOCK.finditer(text)
    ]


def commands_of(code: str) -> list[str]:
    """Return the commands of a shell block: a line each, or several that end with a backslash, without comments."""
    lines = code.replace("\\\n", " ").splitlines()
    return [line for line in lines if line.strip() and not line.lstrip().startswith("#")]
