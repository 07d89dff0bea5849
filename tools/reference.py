"""The reference of HTTP API and events, made from the API's own description, and the findings: in Markdown.

python -m tools.reference FOLDER      writes http.md, events.md and findings.md into the folder
"""

import json
import os
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import django

Json = Mapping[str, Any]

HTTP = """# HTTP reference

This page is made from the code of the server, as is `/api/openapi.json` on a running one, for generators of clients.
The events of the streams are in the [event reference](events.md).

"""
EVENTS = """# Event reference

This page is made from the code of the server: each event of the streams, with the members of its payload. Clients
ignore events and members that they do not know. How streams work: [streams](../streams.md); how they are opened:
[HTTP reference](http.md).

"""

FINDINGS = """# Findings

Surprises about other software, where a good guess from memory is wrong. A script in `findings/` shows each.

"""
ROOT = Path(__file__).parents[1]


def main(folder: Path) -> None:
    """Write both pages."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "silo.settings")
    django.setup()
    from sessions_app.payloads.events import EVENTS as events
    from silo.api import api

    schema = api.get_openapi_schema()
    shapes = {name: shape.__name__ for name, shape in events.items()}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "http.md").write_text(http_page(schema, set(shapes.values())), encoding="utf-8")
    (folder / "events.md").write_text(events_page(schema, shapes), encoding="utf-8")
    (folder / "findings.md").write_text(findings_page(), encoding="utf-8")


def http_page(schema: Json, of_events: set[str]) -> str:
    """Return the page of the operations, and of all objects but those of events."""
    parts = [HTTP, str(schema["info"]["description"]), "\n\n"]
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            parts += [*operation_lines(method, path, operation), "\n"]
    parts += ["## Objects\n\n"]
    for name, shape in sorted(schema["components"]["schemas"].items()):
        if name not in of_events:
            parts += [*shape_lines("###", name, shape), "\n"]
    return "".join(parts)


def events_page(schema: Json, shapes: Mapping[str, str]) -> str:
    """Return the page of the events.

    Args:
        schema: the API's description.
        shapes: the schema of each event's payload, by the event's name.
    """
    known = schema["components"]["schemas"]
    parts = [EVENTS]
    for event, name in shapes.items():
        shape = known[name]
        parts += [f"## {event}\n\n", text_of(shape.get("description", "")), "\n\n"]
        parts += [*members_table(shape), *example_of(shape), "\n"]
    return "".join(parts)


def findings_page() -> str:
    """Return the page of the findings: the first comment of each script."""
    parts = [FINDINGS]
    for script in sorted((ROOT / "findings").glob("*.sh")):
        comment = script.read_text(encoding="utf-8").partition("\nset -euo pipefail\n")[0]
        title, *lines = (line.removeprefix("#").strip() for line in comment.splitlines()[1:])
        parts += [f"## {title}\n\n", *finding_lines(lines), f"\nThe script: `{script.name}`\n\n"]
    return "".join(parts)


def finding_lines(lines: Iterable[str]) -> Iterator[str]:
    """Yield the lines of a finding, each part of it in a paragraph of its own."""
    for line in lines:
        if line.startswith(("One would guess:", "What is so:", "Seen", "Needs")):
            yield "\n"
        yield f"{line}\n"


def operation_lines(method: str, path: str, operation: Json) -> Iterator[str]:
    """Yield an operation: what it does, its parameters, its body and its answers."""
    yield f"## {method.upper()} `{path}`\n\n{operation.get('summary', '')}.\n\n"
    if description := operation.get("description"):
        yield f"{description}\n\n"
    if parameters := operation.get("parameters"):
        yield "| parameter | in | type | |\n|---|---|---|---|\n"
        for one in parameters:
            named = f"`{one['name']}`" + ("" if one.get("required") else " (optional)")
            kind, text = type_of(one["schema"]), cell(one.get("description", ""))
            yield f"| {named} | {one['in']} | {kind} | {text} |\n"
        yield "\n"
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        yield f"The body, `{kind}`: {type_of(content.get('schema', {}))}.\n\n"
    yield "| answer | body | |\n|---|---|---|\n"
    for status, answer in operation["responses"].items():
        bodies = (type_of(one.get("schema", {})) for one in answer.get("content", {}).values())
        yield f"| {status} | {', '.join(bodies)} | {cell(answer.get('description', ''))} |\n"


def shape_lines(level: str, name: str, shape: Json) -> Iterator[str]:
    """Yield an object with its members, under a heading that links lead to."""
    yield f"({label(name)})=\n{level} {name}\n\n{text_of(shape.get('description', ''))}\n\n"
    if "enum" in shape:
        yield "One of " + ", ".join(f"`{value}`" for value in shape["enum"]) + ".\n"
    yield from members_table(shape)


def members_table(shape: Json) -> Iterator[str]:
    """Yield a table of an object's members; nothing where it has none."""
    members = shape.get("properties", {})
    if not members:
        return
    yield "| member | type | |\n|---|---|---|\n"
    required = set(shape.get("required", ()))
    for name, member in members.items():
        optional = "" if name in required else " (optional)"
        yield f"| `{name}`{optional} | {type_of(member)} | {cell(member.get('description', ''))} |\n"


def example_of(shape: Json) -> Iterator[str]:
    """Yield the example of a payload, where there is one."""
    examples = shape.get("examples") or [shape["example"]] if "example" in shape else []
    for example in examples[:1]:
        yield f"\n```json\n{json.dumps(example, indent=2, ensure_ascii=False)}\n```\n"


def type_of(schema: Json) -> str:
    """Return a type as a reader calls it, with a link to an object."""
    if "$ref" in schema:
        name = str(schema["$ref"]).rpartition("/")[2]
        return f"[{name}](http.md#{label(name)})"
    for several in ("anyOf", "oneOf", "allOf"):
        if several in schema:
            return " or ".join(dict.fromkeys(type_of(one) for one in schema[several]))
    if schema.get("type") == "array":
        return f"list of {type_of(schema.get('items', {}))}"
    if "const" in schema:
        return f"`{json.dumps(schema['const'])}`"
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("format") or schema.get("type") or "any"
    return " or ".join(kind) if isinstance(kind, list) else str(kind)


def label(name: str) -> str:
    """Return the label of an object."""
    return f"object-{name.lower()}"


def text_of(text: str) -> str:
    """Return a docstring as a paragraph."""
    return "\n".join(line.strip() for line in text.splitlines())


def cell(text: str) -> str:
    """Return a text for a cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
