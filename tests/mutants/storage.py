"""Mutants of `shared/database` and `shared/log`: locks, durability, what an error means, the two logs."""

from collections.abc import Sequence

from tests.mutants.mutant import ERRORS, LOOP, OPENING, SETS, TRANSACTIONS, Mutant, mutant

WRITER = "shared/log/sqlite/writer.py"
FILE = "shared/log/sqlite/file.py"
KAFKA_LOG, CONFIGURATION, MEMBERSHIP, READING, APPENDING = (
    f"shared/log/kafka/{name}.py" for name in ("log", "configuration", "membership", "reading", "appending")
)
SETTINGS = "tests/core/test_kafka_parts.py::test_the_clients_are_set_as_exactly_once_needs_it"

DATABASE: Sequence[Mutant] = (
    mutant(
        "rows are locked in any order",
        SETS,
        "    return sorted(rows, key=lambda row: tuple(row[place] for place in places))\n",
        "    return list(rows)\n",
        "database::test_rows_are_locked_in_the_order_of_their_keys",
        "database::test_writers_of_the_same_rows_never_wait_for_each_other_in_a_ring",
        needs="postgres",
    ),
    mutant(
        "a guard keeps nobody out",
        TRANSACTIONS,
        '        lock = "pg_advisory_xact_lock" if alone else "pg_advisory_xact_lock_shared"\n',
        '        lock = "pg_advisory_xact_lock_shared"\n',
        "database::test_who_asks_to_be_alone_is[postgres]",
        "database::test_class_changes_are_committed_in_the_order_of_their_numbers[postgres]",
        needs="postgres",
    ),
    mutant(
        "guards of one name are guards of all",
        TRANSACTIONS,
        '(f"cartera/{schema}/{name}",)',
        '("cartera",)',
        "database::test_who_asks_to_be_alone_is[postgres]",
        needs="postgres",
    ),
    mutant(
        "a writer begins as a reader",
        OPENING,
        '"BEGIN IMMEDIATE" if connection.get_execution_options().get("writes") else "BEGIN"',
        '"BEGIN"',
        "database::test_who_asks_to_be_alone_is[sqlite]",
    ),
    mutant(
        "a commit is not on disk, SQLite",
        OPENING,
        '            "synchronous=FULL",\n',
        '            "synchronous=NORMAL",\n',
        "database::test_a_commit_is_on_disk[sqlite]",
    ),
    mutant(
        "a commit is not on disk, PostgreSQL",
        OPENING,
        "SET LOCAL synchronous_commit = on; ",
        "",
        "database::test_a_commit_is_on_disk[postgres]",
        needs="postgres",
    ),
    mutant(
        "anybody may write",
        OPENING,
        "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; ",
        "BEGIN ISOLATION LEVEL REPEATABLE READ; ",
        "database::test_nobody_writes_but_in_a_transaction",
        needs="postgres",
    ),
    mutant(
        "a deadlock is an outage",
        ERRORS,
        'RETRY_AT_ONCE = {"40001", "40P01"}',
        "RETRY_AT_ONCE = set[str]()",
        "database::test_what_the_server_undid_is_a_conflict",
        needs="postgres",
    ),
    mutant(
        "a row that is there already is a fault of the program",
        TRANSACTIONS,
        "        raise Conflict(first_line(error.orig)) from error\n",
        "        raise\n",
        "database::test_a_row_that_is_there_is_replaced_left_refused_or_added_to[sqlite]",
        "database::test_a_refusal_names_no_data[sqlite]",
    ),
    mutant(
        "an unanswered statement is a fault of the program",
        ERRORS,
        "        if meaning is not None and not _wrote_as_a_reader(context):\n",
        "        if meaning is not None and isinstance(meaning, Conflict):\n",
        "database::test_a_file_that_takes_no_writes_now_is_unavailable",
    ),
)

SQLITE: Sequence[Mutant] = (
    mutant(
        "an append is answered before it is committed",
        WRITER,
        "        try:\n            ends = self._commit(taken)\n",
        "        for request in taken:\n            request.done.set_result(None)\n"
        "        taken = []\n        try:\n            ends = self._commit(taken)\n",
        "log_sqlite::test_a_writer_that_never_gets_its_turn_is_unavailable",
    ),
    mutant(
        "positions are told although the records failed",
        WRITER,
        """\
        with answering(), transaction(self._connection):
            for batch in batches:
                ends[batch.place] = self._insert(batch, now)
""",
        """\
        for batch in batches:
            ends[batch.place] = self._insert(batch, now)
        with answering(), transaction(self._connection):
""",
        "log_sqlite::test_records_and_positions_stand_or_fall_together",
    ),
    mutant(
        "the log is not on disk",
        FILE,
        '("synchronous=FULL", ',
        '("synchronous=NORMAL", ',
        "log_sqlite::test_a_commit_is_on_disk_and_batches_stay_small",
    ),
)

KAFKA: Sequence[Mutant] = (
    mutant(
        "the client may jump", CONFIGURATION, '"auto_offset_reset": "none"', '"auto_offset_reset": "latest"', SETTINGS
    ),
    mutant("the client commits", CONFIGURATION, '"enable_auto_commit": False', '"enable_auto_commit": True', SETTINGS),
    mutant("one replica is enough", CONFIGURATION, '"acks": "all"', '"acks": 1', SETTINGS),
    mutant(
        "a batch may be sent twice",
        CONFIGURATION,
        '"enable_idempotence": True',
        '"enable_idempotence": False',
        SETTINGS,
    ),
    mutant(
        "records of a partition that nobody claimed are handed over",
        READING,
        "        if place in self._next and records:\n",
        "        self._next.setdefault(place, 0)\n        if records:\n",
        "tests/core/test_kafka_parts.py::test_a_backlog_hands_over_in_order_and_only_what_was_sought",
    ),
    mutant(
        "what stayed begins at the committed offset",
        MEMBERSHIP,
        "            self.consumer.seek(name, self._backlog.fetched_to(place) if place in sought else 0)\n",
        "            pass\n",
        "log_kafka::test_two_members_share_and_one_that_stops_leaves_its_share_at_once",
        needs="kafka",
    ),
    mutant(
        "what was lost and came back unnoticed stays claimed",
        MEMBERSHIP,
        "        self._missed |= lost\n",
        "",
        "log_kafka::test_what_was_lost_and_came_back_unnoticed_is_left_out_once",
        needs="kafka",
    ),
    mutant(
        "what a change of the group kept from being told stays untold",
        MEMBERSHIP,
        "        self._untold = bool(self._told)\n",
        "        self._untold = False\n",
        "log_kafka::test_what_was_refused_while_the_group_changed_is_told_after_it",
        needs="kafka",
    ),
    mutant(
        "a failed producer is kept",
        APPENDING,
        "                _settle(taken or self._take(), error)\n                await self._retire()\n",
        "                _settle(taken or self._take(), error)\n",
        "log_kafka::test_a_record_too_large_fails_alone",
        needs="kafka",
    ),
    mutant(
        "told before it is published",
        KAFKA_LOG,
        """\
        if rows:
            await self._append(rows, max(deadline - clock(), 0.0))
        if at is not None:
            await self.tell(at)
""",
        """\
        if at is not None:
            await self.tell(at)
        if rows:
            await self._append(rows, max(deadline - clock(), 0.0))
""",
        "log_kafka::test_what_was_not_published_is_not_told",
        needs="kafka",
    ),
    mutant(
        "partitions are claimed at the start only",
        LOOP,
        "        assigned = await self._consumer.assignment()\n",
        "        assigned = await self._consumer.assignment()\n        if self._claims:\n            return\n",
        "loops_on_kafka::test_partitions_are_claimed_as_they_come_and_taken_over_when_another_leaves",
        needs="kafka",
    ),
)

MUTANTS: Sequence[Mutant] = (*DATABASE, *SQLITE, *KAFKA)
"""All of them."""
