"""Mutants of `shared/runtime`: claims, the transaction of a batch, the outbox, timers, reading in step."""

from collections.abc import Sequence

from tests.mutants.mutant import (
    GUARDS,
    JOINED,
    LOOP,
    OUTBOX,
    PROCESSOR,
    WATERMARK,
    Edit,
    Mutant,
    mutant,
    node,
)

LEFT_OVER = """\
        await log.append(records, Told(group, positions))
        with transaction(engine) as connection:
            take_away(connection, part, seq)
"""
DELETED_FIRST = """\
        with transaction(engine) as connection:
            take_away(connection, part, seq)
        await log.append(records, Told(group, positions))
"""
APPENDED = """\
            await self._log.append(said, at)
            self._published[part] = seq
"""
COUNTED_FIRST = """\
            self._published[part] = seq
            await self._log.append(said, at)
"""
FINGERPRINT = "if last is not None and not is_blackened(last) and record_fingerprint(last) != last_fp:"
PROCESSED = """\
        applied = await self._in_thread(process, self.engine, self.service, slices, alignment, published)
        await self._publish(part, applied.said, {c.partition: c.position for c in applied.claims}, applied.outbox_seq)
"""
PUBLISHED_FIRST = """\
        running = asyncio.get_running_loop()
        early = lambda said: asyncio.run_coroutine_threadsafe(self.log.append(said), running).result()
        applied = await self._in_thread(process, self.engine, self.service, slices, alignment, published, early)
        await self._publish(part, [], {c.partition: c.position for c in applied.claims}, applied.outbox_seq)
"""

NEXT_START = """\
            await outbox.publish_left_over(self.engine, self.log, self.service.name, partition.partition)
"""

CLAIMS: Sequence[Mutant] = (
    mutant(
        "the offset is not compared",
        PROCESSOR,
        "                & (position.c.next_offset == held.position.offset)\n",
        "",
        "processor::test_the_same_batch_again_is_fenced_by_its_offset",
    ),
    mutant(
        "the epoch is not compared",
        PROCESSOR,
        "                & (position.c.epoch == held.epoch)\n",
        "",
        "processor::test_a_worker_that_lost_its_claim_changes_nothing",
    ),
    mutant(
        "a claim does not raise the epoch",
        PROCESSOR,
        "epoch=position.c.epoch + 1",
        "epoch=position.c.epoch",
        "processor::test_a_worker_that_lost_its_claim_changes_nothing",
    ),
    mutant(
        "the outcome of the fence is not looked at",
        PROCESSOR,
        "        if result.rowcount != 1:\n",
        "        if result.rowcount > 1:\n",
        "processor::test_the_same_batch_again_is_fenced_by_its_offset",
        "processor::test_a_worker_that_lost_its_claim_changes_nothing",
    ),
    mutant(
        "a conflict keeps the claim",
        LOOP,
        """reason=str(conflict))
                    self._let_go()
""",
        """reason=str(conflict))
""",
        "outbox::test_a_worker_that_was_robbed_claims_again",
    ),
    mutant(
        "records from before the claim are applied",
        JOINED,
        "and bool(records) and records[0].offset >= held.position.offset",
        "and bool(records)",
        "joined::test_what_was_read_before_the_claim_is_left_out",
    ),
    mutant(
        "the log is not verified",
        LOOP,
        "            await verify(self.log, held, last_fp)\n",
        "",
        "processor::test_a_log_that_is_another_than_was_read_is_refused",
    ),
    mutant(
        "the fingerprint is not compared",
        GUARDS,
        FINGERPRINT,
        "if last is None and False:",
        "processor::test_a_log_that_is_another_than_was_read_is_refused",
    ),
    mutant(
        "the fingerprint is not kept",
        PROCESSOR,
        '**({"last_fp": record_fingerprint(records[-1])} if records else {})',
        "**({})",
        "processor::test_a_log_that_is_another_than_was_read_is_refused",
    ),
    mutant(
        "a log that was cut off is read on",
        GUARDS,
        "    if offset > end:\n",
        "    if offset < 0:\n",
        "processor::test_a_log_that_is_another_than_was_read_is_refused",
    ),
    mutant(
        "records that retention took are passed over",
        GUARDS,
        "    if offset < beginning:\n",
        "    if offset < 0:\n",
        "processor::test_records_that_retention_took_unread_are_not_passed_over",
    ),
)

BATCHES: Sequence[Mutant] = (
    mutant(
        "the inbox is not consulted",
        PROCESSOR,
        "if key not in seen and keys[key] == number:",
        "if keys[key] == number:",
        "processor::test_a_copy_is_dropped_within_a_batch_and_later",
    ),
    mutant(
        "copies within a batch are not dropped",
        PROCESSOR,
        "if key not in seen and keys[key] == number:",
        "if key not in seen:",
        "processor::test_a_copy_is_dropped_within_a_batch_and_later",
    ),
    mutant(
        "the inbox is not written",
        PROCESSOR,
        "        _remember(connection, service, applied)\n",
        "",
        "processor::test_a_copy_is_dropped_within_a_batch_and_later",
    ),
    mutant(
        "what was refused counts as seen",
        PROCESSOR,
        "_remember(connection, service, applied)",
        "_remember(connection, service, fresh)",
        "processor::test_what_was_refused_may_come_again_and_is_no_event_that_was_applied",
    ),
    mutant(
        "dead letters are not kept with the batch",
        PROCESSOR,
        "seq = outbox.put(connection, part, said, told) if said else 0",
        'said_only = [one for one in said if one.topic != "dead-letters"]\n'
        "        seq = outbox.put(connection, part, said_only, told) if said else 0",
        "outbox::test_dead_letters_are_kept_with_what_was_said",
    ),
    mutant(
        "a bad event takes its batch with it",
        PROCESSOR,
        "                letters.append((index, record, error))\n                continue\n",
        "                raise error\n",
        "processor::test_what_cannot_be_read_or_applied_becomes_a_dead_letter_and_blocks_nothing",
    ),
    mutant(
        "a topic may be drained into the bin",
        LOOP,
        "        refuse_to_drain(self.service.name, self._rejections)\n",
        "",
        "processor::test_too_many_rejections_in_a_row_stop_the_consumer",
        "processor::test_rejections_by_the_core_stop_the_consumer_too",
    ),
)

PUBLICATION: Sequence[Mutant] = (
    Mutant(
        name="published before it is committed",
        edits=(
            Edit(LOOP, PROCESSED, PUBLISHED_FIRST),
            Edit(
                PROCESSOR,
                "alignment: Alignment = ALONE, published: int = 0\n) -> Applied:",
                "alignment: Alignment = ALONE, published: int = 0, early: Any = None\n) -> Applied:",
            ),
            Edit(
                PROCESSOR,
                "        seq = outbox.put(connection, part, said, told) if said else 0\n",
                "        seq = outbox.put(connection, part, said, told) if said else 0\n"
                "        if early:\n            early(said)\n",
            ),
        ),
        tests=(node("outbox::test_nothing_is_published_of_a_transaction_that_was_not_committed"),),
    ),
    mutant(
        "deleted before it is published, at a start",
        OUTBOX,
        LEFT_OVER,
        DELETED_FIRST,
        "outbox::test_what_cannot_be_published_stays_in_the_outbox",
    ),
    mutant(
        "deleted before it is published, while running",
        OUTBOX,
        APPENDED,
        COUNTED_FIRST,
        "outbox::test_what_was_given_up_is_published_by_the_next",
    ),
    mutant(
        "what an earlier owner left is not published",
        LOOP,
        NEXT_START,
        "",
        "outbox::test_a_loop_publishes_what_its_predecessor_left",
    ),
    mutant(
        "what an earlier owner left is published newest first",
        OUTBOX,
        "query.order_by(outbox.c.seq)",
        "query.order_by(outbox.c.seq.desc())",
        "outbox::test_what_was_left_is_published_oldest_first",
    ),
    mutant(
        "rows of other partitions are taken away too",
        OUTBOX,
        "(outbox.c.seq <= upto) & (outbox.c.part == part)",
        "outbox.c.seq <= upto",
        "outbox::test_rows_of_other_partitions_stay",
    ),
    mutant(
        "newer rows are taken away too",
        OUTBOX,
        "(outbox.c.seq <= upto) & (outbox.c.part == part)",
        "outbox.c.part == part",
        "outbox::test_rows_that_came_later_stay",
    ),
    mutant(
        "the number of a row is given again",
        "shared/runtime/migrations/v0002_numbers_of_the_outbox.py",
        "        sqlite_autoincrement=True,\n",
        "",
        "outbox::test_who_lost_a_partition_takes_nothing_of_his_successor_away[sqlite]",
    ),
    mutant(
        "published rows stay in the outbox after an outage",
        OUTBOX,
        "        upto = self._published.get(part, 0)\n        if upto:\n",
        "        upto = self._published.get(part, 0)\n        self._published[part] = 0\n        if upto:\n",
        "outbox::test_what_an_outage_kept_in_the_outbox_is_taken_away_the_next_time",
    ),
    mutant(
        "published rows stay in the outbox",
        OUTBOX,
        "    connection.execute(delete(outbox).where((outbox.c.seq <= upto) & (outbox.c.part == part)))\n",
        "    return\n",
        "processor::test_a_clean_stop_leaves_nothing_that_the_next_start_would_publish_again",
        "outbox::test_a_batch_takes_away_what_was_published_before_it",
    ),
)

TIMERS: Sequence[Mutant] = (
    mutant(
        "timers fire without a fence",
        LOOP,
        "            fence(connection, [Slice(held, ()) for held in claims])\n",
        "",
        "firing::test_who_lost_his_claim_fires_nothing",
    ),
    mutant(
        "timers do not look at the stages before",
        WATERMARK,
        "        mark = min(mark, _stage(told, ends, now))\n",
        "        _stage(told, ends, now)\n",
        "firing::test_timers_wait_for_a_stage_that_is_behind",
        "firing::test_timers_wait_for_a_stage_that_has_said_nothing",
    ),
    mutant(
        "a stage that has said nothing counts as done",
        WATERMARK,
        "            return EPOCH\n",
        "            continue\n",
        "firing::test_timers_wait_for_a_stage_that_has_said_nothing",
    ),
    mutant(
        "timers fire before the stream is read",
        LOOP,
        "        if horizon.is_reached(self.positions()):\n",
        "        if horizon is not None:\n",
        "firing::test_timers_wait_for_what_is_not_applied_yet",
    ),
    mutant(
        "a watermark is never old enough",
        LOOP,
        "        horizon, self._horizon = self._horizon, None\n",
        "        horizon = self._horizon = None\n",
        "firing::test_an_unbroken_stream_does_not_keep_timers_from_firing",
    ),
)

UNDISTURBED: Sequence[Mutant] = (
    mutant(
        "what is published stays in the outbox until something comes",
        LOOP,
        "        if not pieces:\n            await self._in_thread(self._publisher.leave_all)\n",
        "",
        "processor::test_what_is_published_leaves_the_outbox_when_nothing_comes",
    ),
    mutant(
        "what was refused while it waited for its turn is written",
        "services/ingest/appender.py",
        "[one for one in self._waiting if not one[1].done()]",
        "self._waiting",
        "ingest_api::test_a_log_that_hangs_keeps_nobody_waiting_and_what_was_refused_in_the_queue_is_not_written",
    ),
    mutant(
        "what is read again begins where it was",
        "shared/runtime/rereading.py",
        "next_offset=0, ",
        "",
        "processor::test_a_refused_partition_is_read_again_and_nothing_counts_twice",
    ),
)

IN_STEP: Sequence[Mutant] = (
    mutant(
        "input is read past its gate",
        JOINED,
        "told[tp].offset if tp in told else 0",
        "1 << 60",
        "joined::test_input_and_output_come_whole_and_in_step",
    ),
    mutant(
        "output is read ahead of its input",
        JOINED,
        "    _wait(consumer, slices, [(tp, _reached(claims, slices, tp)) for tp in limits])\n",
        "",
        "joined::test_output_that_came_while_we_looked_waits_for_its_input",
    ),
    mutant(
        "input is read on although its output is cut short",
        JOINED,
        "                _lower(limits, claims, tp, records)\n",
        "                pass\n",
        "joined::test_input_waits_for_the_rest_of_its_output_when_that_is_much",
    ),
)

MUTANTS: Sequence[Mutant] = (*CLAIMS, *BATCHES, *PUBLICATION, *TIMERS, *UNDISTURBED, *IN_STEP)
"""All of them."""
