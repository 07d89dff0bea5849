"""YAML as people mean it: a duplicate key is an error, `1:30` is not 90, and `010` is not eight."""

import re
from typing import Any

import yaml

_FLOAT = "tag:yaml.org,2002:float"
_INT = "tag:yaml.org,2002:int"
_DECIMAL = re.compile(
    r"([-+]?(\d+\.\d*|\.\d+)([eE][-+]?\d+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))$"
)
_WHOLE = re.compile(r"[-+]?(0|[1-9]\d*)$")


class Duplicate(Exception):
    """A key stands twice in one mapping."""


class _Loader(yaml.SafeLoader):
    """PyYAML reads YAML 1.1, where numbers may have bases of 8 and 60, and takes the last of two equal keys."""

    # Only decimal numbers are numbers; anything else stays text, which a key that needs a number then refuses.
    yaml_implicit_resolvers = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag not in {_INT, _FLOAT}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def construct_mapping(self, node: Any, deep: bool = False) -> dict[Any, Any]:
        """Make a mapping whose keys differ.

        Raises:
            Duplicate: naming the key and its lines.
        """
        lines: dict[str, int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                line = key.start_mark.line + 1
                if first := lines.setdefault(key.value, 0):
                    raise Duplicate(f"`{key.value}` stands twice (lines {first} and {line})")
                lines[key.value] = line
        return super().construct_mapping(node, deep)


_Loader.add_implicit_resolver(_FLOAT, _DECIMAL, list("-+.0123456789"))
_Loader.add_implicit_resolver(_INT, _WHOLE, list("-+0123456789"))


def load(text: str) -> Any:
    """Return the document of a text.

    Raises:
        Duplicate: a key stands twice.
        YAMLError, ValueError, RecursionError: the text is not valid YAML.
    """
    return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
