"""Parameters of statements as they are sent, for the types that hot statements have.

psycopg writes a list by Python objects of its own for each list and each element: a third of the CPU of an acquire.
Here are the same texts, by a function for each type. Other types are left to psycopg.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, NamedTuple
from uuid import UUID

from psycopg import Connection, pq
from psycopg.adapt import PyFormat, Transformer

_TEXT: Final = pq.Format.TEXT
_BINARY: Final = pq.Format.BINARY
# PostgreSQL's numbers of its types; with the first one it finds the type of the parameter by itself.
_UNKNOWN, _INT2, _INT4, _INT8, _UUID = 0, 21, 23, 20, 2950
_INT8_LIST, _UUID_LIST = 1016, 2951

# The bytes, the type and the format.
_Value = tuple[bytes | None, int, pq.Format]


class Parameters(NamedTuple):
    """The parameters of one statement.

    Args:
        values: as they are sent.
        types: the numbers of their types.
        formats: whether each is text or binary.
    """

    values: Sequence[Any]
    types: tuple[int, ...]
    formats: Sequence[pq.Format]


def written(params: Sequence[Any], connection: Connection[Any]) -> Parameters:
    """Return parameters as they are sent.

    Raises:
        psycopg.DataError: one cannot be sent.
    """
    done = [_value(one) for one in params]
    known = [one for one in done if one is not None]
    if len(known) < len(done):
        by_psycopg = Transformer.from_context(connection)
        values = by_psycopg.dump_sequence(params, [PyFormat.AUTO] * len(params))
        return Parameters(values, tuple(by_psycopg.types or ()), by_psycopg.formats or ())
    if not known:
        return NO_PARAMETERS
    return Parameters(*zip(*known, strict=True))


NO_PARAMETERS: Final = Parameters((), (), ())


def _value(one: Any) -> _Value | None:
    """Return a value as it is sent; None where psycopg has to write it, or refuse it."""
    if type(one) is list:
        return _list(one)
    write = _WRITTEN.get(type(one))
    return write(one) if write else None


def _list(some: list[Any]) -> _Value | None:
    if not some:
        return b"{}", _UNKNOWN, _TEXT
    kinds = {type(one) for one in some}
    write = _LISTS.get(kinds.pop()) if len(kinds) == 1 else None
    return write(some) if write else None


def _text(one: str) -> _Value | None:
    # libpq would take it for the text's end.
    return None if "\0" in one else (one.encode(), _UNKNOWN, _TEXT)


def _whole_number(one: int) -> _Value | None:
    for kind, bits in ((_INT2, 16), (_INT4, 32), (_INT8, 64)):
        if -(1 << bits - 1) <= one < 1 << bits - 1:
            return str(one).encode(), kind, _TEXT
    return None


def _texts(some: list[str]) -> _Value | None:
    quoted = [one.replace("\\", "\\\\").replace('"', '\\"') for one in some]
    between = '","'.join(quoted)
    return _text(f'{{"{between}"}}')


def _whole_numbers(some: list[int]) -> _Value | None:
    if not -(1 << 63) <= min(some) <= max(some) < 1 << 63:
        return None
    return b"{%s}" % ",".join(map(str, some)).encode(), _INT8_LIST, _TEXT


def _ids(some: list[UUID]) -> _Value:
    return b"{%s}" % ",".join([one.hex for one in some]).encode(), _UUID_LIST, _TEXT


_WRITTEN: Final[dict[type, Callable[[Any], _Value | None]]] = {
    type(None): lambda one: (None, _UNKNOWN, _TEXT),
    str: _text,
    int: _whole_number,
    UUID: lambda one: (one.bytes, _UUID, _BINARY),
}
_LISTS: Final[dict[type, Callable[[Any], _Value | None]]] = {
    str: _texts,
    int: _whole_numbers,
    UUID: _ids,
}
