"""libpq's pipeline mode over Django's connection: several statements in one round trip, prepared once each.

psycopg has a pipeline mode of its own. It costs a cursor, a lock and two generators a statement: 150 us of CPU each,
where sending and reading it through psycopg's binding of libpq takes 10.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from itertools import count
from select import POLLIN, POLLOUT, poll
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

import psycopg
from psycopg import pq
from psycopg.adapt import Transformer
from psycopg.errors import error_from_result

from events_app.database.parameters import NO_PARAMETERS, Parameters, written

Row = tuple[Any, ...]

_PLACES: Final = re.compile(r"%(?:s|%)")
_IDLE: Final = pq.TransactionStatus.IDLE
_DONE: Final = frozenset({pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK})
# What PostgreSQL says of a prepared statement that a change of the schema has made useless, or that is not there.
_PREPARED_NO_MORE: Final = (
    psycopg.errors.FeatureNotSupported,
    psycopg.errors.InvalidSqlStatementName,
)


class Query(NamedTuple):
    """A statement with its parameters.

    Args:
        sql: with a `%s` for each parameter, as Django writes it.
        params: the parameters.
        is_hot: whether it is run again and again, so that PostgreSQL shall keep it prepared, with one plan for all
            parameters. It goes by one index of one table, or makes rows of its parameters: see docs/architecture.md.
    """

    sql: str
    params: Sequence[Any]
    is_hot: bool = False


# PostgreSQL keeps a plan until the table is analyzed again. One that reads a small table from its beginning to its end
# would still do so when a million rows have come, for up to a minute and at every request; one that goes by an index is
# right at any size. At the default cost of a random page, a list of unknown length is looked for by a bitmap. It never
# marks the index entries of deleted rows: after 1,300 releases since the last vacuum, counting a user's sessions took
# 225 us, where a plain index scan takes less than 60. This holds to the end of the transaction.
_BY_INDEX: Final = Query(
    "SELECT set_config('enable_seqscan', 'off', true), set_config('plan_cache_mode', 'force_generic_plan', true),"
    " set_config('random_page_cost', '1', true)",
    (),
    is_hot=True,
)


class _Written(NamedTuple):
    """A statement as it is sent."""

    sql: bytes
    parameters: Parameters
    is_hot: bool


_BEGIN: Final = _Written(b"BEGIN", NO_PARAMETERS, is_hot=True)
_COMMIT: Final = _Written(b"COMMIT", NO_PARAMETERS, is_hot=True)
# A statement that a connection has prepared: its text, and the types of its parameters.
_Key = tuple[bytes, tuple[int, ...]]


class _Known:
    """A connection as it is known here: the names of the statements that it has prepared, and how it plans."""

    def __init__(self) -> None:
        self.names: Final[dict[_Key, bytes]] = {}
        self.numbers: Final[Iterator[int]] = count(1)
        self.plans_by_index = False


_KNOWN: Final[WeakKeyDictionary[psycopg.Connection[Any], _Known]] = WeakKeyDictionary()


def plan_by_index(connection: psycopg.Connection[Any]) -> None:
    """Have all statements of a connection planned as hot ones, so that no transaction has to say it again."""
    connection.execute(_BY_INDEX.sql.replace("true)", "false)"))
    _known(connection).plans_by_index = True


def run(
    connection: psycopg.Connection[Any], queries: Sequence[Query], *, commits: bool = False
) -> list[list[Row]]:
    """Run these in their order and return the rows of each; a transaction is begun first where one is due.

    Args:
        connection: one that no other thread uses.
        queries: the statements.
        commits: whether the transaction is committed then.

    Raises:
        psycopg.Error: that of the first one that fails; those behind it are not run.
    """
    batch = _Batch(connection, queries, commits)
    try:
        return batch.run()
    except _PREPARED_NO_MORE:
        # The schema has changed. Nothing has happened in the transaction yet, if it was begun here.
        if not batch.has_begun:
            raise
        connection.rollback()
        return _Batch(connection, queries, commits).run()


def _known(connection: psycopg.Connection[Any]) -> _Known:
    known = _KNOWN.get(connection)
    if known is None:
        known = _KNOWN[connection] = _Known()
    return known


class _Sent(NamedTuple):
    """A command that was sent.

    Args:
        is_asked: whether its rows are asked for.
        prepares: what it prepares, if anything, and by which name.
    """

    is_asked: bool = False
    prepares: tuple[_Key, bytes] | None = None


class _Batch:
    """The commands of one round trip.

    Args:
        connection: that of the round trip.
        queries: the statements.
        commits: whether the transaction is committed then.

    Raises:
        psycopg.DataError: a parameter cannot be sent; nothing was.
    """

    def __init__(
        self, connection: psycopg.Connection[Any], queries: Sequence[Query], commits: bool
    ) -> None:
        self._connection = connection
        self._pgconn = connection.pgconn
        self._known = _known(connection)
        # Plans by an index are chosen for one transaction, where not for good: outside of one nothing is prepared.
        self._in_transaction = not connection.autocommit
        self._has_to_choose = (
            self._in_transaction
            and not self._known.plans_by_index
            and any(query.is_hot for query in queries)
        )
        self._commits = commits
        self._written = [self._write(query) for query in queries]
        self._sent: list[_Sent] = []
        # What is not prepared yet, but will be when the commands behind it are run.
        self._new: dict[_Key, bytes] = {}
        # Whether it began the transaction.
        self.has_begun = False

    def run(self) -> list[list[Row]]:
        """Send the statements; return the rows of each.

        Raises:
            psycopg.Error: one has failed.
        """
        self._pgconn.enter_pipeline_mode()
        try:
            self._send_all()
            self._pgconn.pipeline_sync()
            results = _results(self._pgconn)
        except BaseException:
            # What is under way would be taken for the answers to what comes next.
            self._connection.close()
            raise
        self._pgconn.exit_pipeline_mode()
        return self._rows(results)

    def _write(self, query: Query) -> _Written:
        return _Written(_numbered(query.sql), written(query.params, self._connection), query.is_hot)

    def _send_all(self) -> None:
        if self._in_transaction and self._pgconn.transaction_status == _IDLE:
            self._send(_BEGIN)
            self.has_begun = True
        if self._has_to_choose:
            self._send(self._write(_BY_INDEX))
        for one in self._written:
            self._send(one, is_asked=True)
        if self._commits:
            self._send(_COMMIT)

    def _send(self, one: _Written, *, is_asked: bool = False) -> None:
        values, types, formats = one.parameters
        if one.is_hot and self._in_transaction:
            name = self._name((one.sql, types))
            self._pgconn.send_query_prepared(name, values, formats)
        else:
            self._pgconn.send_query_params(one.sql, values, types, formats)
        self._sent.append(_Sent(is_asked))

    def _name(self, key: _Key) -> bytes:
        """Return the name of a prepared statement, which is prepared where it is not yet."""
        name = self._known.names.get(key) or self._new.get(key)
        if name is None:
            name = self._new[key] = b"silo_%d" % next(self._known.numbers)
            self._pgconn.send_prepare(name, *key)
            self._sent.append(_Sent(prepares=(key, name)))
        return name

    def _rows(self, results: Sequence[Any]) -> list[list[Row]]:
        rows: list[list[Row]] = []
        reader = Transformer.from_context(self._connection)
        for result, (is_asked, prepares) in zip(results, self._sent, strict=True):
            if result.status not in _DONE:
                raise self._error(result)
            if prepares is not None:
                self._known.names.update([prepares])
            if is_asked:
                if result.ntuples:
                    reader.set_pgresult(result)
                    rows.append(reader.load_rows(0, result.ntuples, tuple))
                else:
                    rows.append([])
        return rows

    def _error(self, result: Any) -> psycopg.Error:
        error = error_from_result(result, self._connection.info.encoding)
        if isinstance(error, _PREPARED_NO_MORE):
            self._known.names.clear()
        return error


def _results(pgconn: Any) -> list[Any]:
    """Return the results of the commands that were sent, up to the synchronization."""
    waiting = poll()
    waiting.register(pgconn.socket, POLLIN | POLLOUT)
    # Read while writing: the server stops reading where its answers are not read.
    while pgconn.flush():
        waiting.poll()
        pgconn.consume_input()
    waiting.modify(pgconn.socket, POLLIN)
    results: list[Any] = []
    while True:
        while pgconn.is_busy():
            waiting.poll()
            pgconn.consume_input()
        result = pgconn.get_result()
        if result is None:
            # The end of one command's results.
            continue
        if result.status == pq.ExecStatus.PIPELINE_SYNC:
            return results
        results.append(result)


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> bytes:
    """Return a statement with PostgreSQL's own places for its parameters."""
    numbers = count(1)
    return _PLACES.sub(lambda one: "%" if one[0] == "%%" else f"${next(numbers)}", sql).encode()
