"""The help of a command: a flag takes no value, so none is shown beside it."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup


def _without_types(params: list[Any]) -> list[Any]:
    """Return the parameters of a command, of which flags show no `<bool>`."""
    for param in params:
        if getattr(param, "is_flag", False):
            param.metavar = ""
    return params


class Command(TyperCommand):
    """A command of `silo`."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, `--help` among them."""
        return _without_types(list(super().get_params(ctx)))


class Group(TyperGroup):
    """The command `silo` itself."""

    def get_params(self, ctx: Any) -> list[Any]:
        """Return the parameters, `--help` and `--version` among them."""
        return _without_types(list(super().get_params(ctx)))
