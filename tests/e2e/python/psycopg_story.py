"""psycopg 3 through the gateway: text, binary, pipeline, COPY, cursors, transactions, cancel."""

import threading
import time
from decimal import Decimal

import psycopg
from psycopg import errors
from psycopg.rows import dict_row

from story import LARGE, MASKED, REDACTED, check, step, tell


def connect(**more):
    return psycopg.connect("", autocommit=True, **more)


@step
def reads_are_masked_in_text_and_binary():
    with connect() as db:
        for binary in (False, True):
            with db.cursor(binary=binary, row_factory=dict_row) as cur:
                cur.execute("SELECT * FROM customers WHERE id = 7")
                row = cur.fetchone()
                check(row["id"], 7)
                check(row["email"], "customer7@shop.example")
                check(row["ssn"], REDACTED)
                check(row["credit_card"], REDACTED)
                check(row["joined"].isoformat(), "2021-01-08")


@step
def parameters_of_many_types():
    with connect() as db:
        for binary in (False, True):
            with db.cursor(binary=binary) as cur:
                cur.execute("SELECT id, amount FROM orders WHERE id = %s AND amount > %s", (3, Decimal("1.5")))
                check(cur.fetchone(), (3, Decimal("8.95")))
                cur.execute("SELECT %s::text, %b::bytea, %s::int[], %s::jsonb, %s::bool, %s::timestamptz IS NULL",
                            ("naïve ☃", b"\x00\xff", [1, None, 3], '{"a": 1}', True, None))
                check(cur.fetchone(), ("naïve ☃", b"\x00\xff", [1, None, 3], {"a": 1}, True, True))


@step
def prepared_statements_are_reused():
    with connect(prepare_threshold=1) as db:
        for n in range(1, 40):
            row = db.execute("SELECT id, ssn FROM customers WHERE id = %s", (n,)).fetchone()
            check(row, (n, REDACTED))


@step
def executemany_returns_results():
    with connect() as db, db.cursor() as cur:
        cur.executemany("SELECT credit_card FROM customers WHERE id = %s", [(n,) for n in range(1, 6)], returning=True)
        seen = []
        while True:
            seen.append(cur.fetchone()[0])
            if not cur.nextset():
                break
        check(seen, [REDACTED] * 5)


@step
def pipelines_keep_order():
    with connect() as db, db.pipeline():
        cursors = [db.execute("SELECT id, credit_card FROM customers WHERE id = %s", (n,)) for n in range(1, 30)]
        rows = [c.fetchone() for c in cursors]
    check(rows, [(n, REDACTED) for n in range(1, 30)])


@step
def a_refusal_in_a_pipeline_fails_the_rest_of_it_and_no_more():
    with connect() as db:
        try:
            with db.pipeline() as pipeline:
                db.execute("INSERT INTO notes (body) VALUES ('before the refusal /* pipeline-refused */')")
                db.execute("DROP TABLE notes")
                db.execute("INSERT INTO notes (body) VALUES ('after the refusal')")
                pipeline.sync()
            raise AssertionError("the DROP went through")
        except errors.InsufficientPrivilege as error:
            assert "destructive statement" in str(error), error
        # psycopg sends the segment in one implicit transaction: nothing of it may stay.
        check(db.execute("SELECT count(*) FROM notes WHERE body LIKE '%%the refusal%%'").fetchone()[0], 0, "rows left")
        check(db.info.transaction_status.name, "IDLE")


@step
def copy_in_and_out():
    with connect() as db, db.cursor() as cur:
        with cur.copy("COPY numbers (id, label) FROM STDIN") as copy:
            for n in range(20_000):
                copy.write_row((n, f"label {n}\t\\ \n"))
        check(cur.execute("SELECT count(*), max(label) FROM numbers").fetchone(), (20_000, "label 9999\t\\ \n"))
        with cur.copy("COPY numbers (id, label) FROM STDIN (FORMAT BINARY)") as copy:
            copy.set_types(["int8", "text"])
            for n in range(20_000, 21_000):
                copy.write_row((n, f"binary {n}"))
        check(cur.execute("SELECT count(*) FROM numbers").fetchone()[0], 21_000)
        with cur.copy("COPY numbers TO STDOUT") as copy:
            check(sum(1 for _ in copy.rows()) , 21_000)


@step
def copy_out_is_masked_in_every_format():
    with connect() as db, db.cursor() as cur:
        with cur.copy("COPY (SELECT id, ssn, credit_card, name FROM customers WHERE id <= 3 ORDER BY id) TO STDOUT") as copy:
            rows = [row for row in copy.rows()]
        check([r[1:3] for r in rows], [(REDACTED, REDACTED)] * 3, "text")
        for options in ("FORMAT csv", "FORMAT csv, HEADER", "FORMAT csv, DELIMITER ';', QUOTE '''', FORCE_QUOTE *",
                        "FORMAT csv, DELIMITER E'\\t', NULL 'nil'", "FORMAT text, DELIMITER '|'"):
            with cur.copy(f"COPY (SELECT id, ssn, credit_card FROM customers WHERE id <= 50) TO STDOUT ({options})") as copy:
                text = b"".join(bytes(b) for b in copy).decode()
            check(text.count(REDACTED), 100, options)
        with cur.copy("COPY customers (id, ssn, credit_card) TO STDOUT (FORMAT BINARY)") as copy:
            copy.set_types(["int4", "text", "text"])
            row = next(iter(copy.rows()))
            check(row[1:], (REDACTED, REDACTED), "binary")
            for _ in copy.rows():
                pass


@step
def a_failed_copy_in_leaves_the_connection_usable():
    with connect() as db, db.cursor() as cur:
        try:
            with cur.copy("COPY numbers FROM STDIN") as copy:
                copy.write("not a number\tx\n")
            raise AssertionError("it was taken")
        except errors.InvalidTextRepresentation:
            pass
        check(cur.execute("SELECT 1").fetchone(), (1,))


@step
def server_side_cursors():
    with connect() as db, db.transaction():
        for binary in (False, True):
            with db.cursor(name=f"big_{binary}", binary=binary) as cur:
                cur.itersize = 500
                cur.execute("SELECT id, ssn FROM customers ORDER BY id LIMIT 5000")
                rows = cur.fetchmany(10) + cur.fetchmany(10)
                check([r[0] for r in rows], list(range(1, 21)))
                check({r[1] for r in rows}, {REDACTED})
                rest = sum(1 for _ in cur)
                check(rest, 4980)


@step
def errors_have_their_codes_and_transactions_their_true_state():
    with psycopg.connect("") as db:
        db.execute("INSERT INTO notes (body) VALUES ('kept out')")
        try:
            db.execute("SELECT 1 / 0")
            raise AssertionError("no error")
        except errors.DivisionByZero:
            pass
        check(db.info.transaction_status.name, "INERROR")
        db.rollback()
        check(db.execute("SELECT count(*) FROM notes WHERE body = 'kept out'").fetchone()[0], 0)
        db.execute("INSERT INTO notes (body) VALUES ('committed')")
        db.commit()
        check(db.execute("SELECT count(*) FROM notes WHERE body = 'committed'").fetchone()[0], 1)


@step
def a_refusal_inside_a_transaction_aborts_it_for_real():
    with psycopg.connect("") as db:
        db.execute("INSERT INTO notes (body) VALUES ('lost with the refusal')")
        try:
            db.execute("DELETE FROM notes")
            raise AssertionError("the DELETE went through")
        except errors.InsufficientPrivilege as error:
            assert "destructive statement" in str(error), error
        check(db.info.transaction_status.name, "INERROR", "status after the refusal")
        try:
            db.execute("SELECT 1")
            raise AssertionError("the transaction goes on")
        except errors.InFailedSqlTransaction:
            pass
        db.rollback()
        check(db.info.transaction_status.name, "IDLE")
        check(db.execute("SELECT count(*) FROM notes WHERE body = 'lost with the refusal'").fetchone()[0], 0)


@step
def savepoints_survive_refusals():
    with psycopg.connect("") as db:
        db.execute("INSERT INTO notes (body) VALUES ('before the savepoint')")
        try:
            with db.transaction():
                db.execute("TRUNCATE notes")
            raise AssertionError("the TRUNCATE went through")
        except errors.InsufficientPrivilege:
            pass
        check(db.info.transaction_status.name, "INTRANS")
        check(db.execute("SELECT count(*) FROM notes WHERE body = 'before the savepoint'").fetchone()[0], 1)
        db.rollback()


@step
def functions_that_change_something_and_return_a_row():
    with connect() as db:
        db.execute("SELECT set_config('statement_timeout', '8s', false)")
        check(db.execute("SHOW statement_timeout").fetchone()[0], "8s")
        first = db.execute("SELECT nextval('notes_id_seq')").fetchone()[0]
        check(db.execute("SELECT nextval('notes_id_seq') - %s", (first,)).fetchone()[0], 1)
        db.execute("SELECT pg_advisory_lock(7)")
        check(db.execute("SELECT pg_advisory_unlock(7)").fetchone()[0], True)
        row = db.execute("INSERT INTO notes (body) VALUES (%s), ('b') RETURNING body", ("a",)).fetchall()
        check(row, [("a",), ("b",)])
        # With RETURNING it would be held before it runs: nothing proves how many rows come (R3).
        db.execute("UPDATE notes SET body = 'c' WHERE id = -1")


@step
def listen_and_notify():
    with connect() as db, connect() as other:
        db.execute("LISTEN bell")
        other.execute("NOTIFY bell, 'ding'")
        other.execute("SELECT pg_notify('bell', 'dong')")
        heard = [n.payload for n in db.notifies(timeout=60, stop_after=2)]
        check(heard, ["", ""] if MASKED else ["ding", "dong"])


@step
def notices_arrive():
    with connect() as db:
        said = []
        db.add_notice_handler(lambda diag: said.append(diag.message_primary))
        db.execute("CREATE TEMP TABLE IF NOT EXISTS twice (a int)")
        db.execute("CREATE TEMP TABLE IF NOT EXISTS twice (a int)")
        assert any("already exists" in text for text in said), said


@step
def cancel_stops_the_statement_and_keeps_the_session():
    with connect() as db:
        done = threading.Event()

        def cancel():
            while not done.wait(0.05):
                db.cancel_safe(timeout=30)

        canceller = threading.Thread(target=cancel)
        canceller.start()
        started = time.monotonic()
        try:
            db.execute("SELECT pg_sleep(120)")
            raise AssertionError("it was not cancelled")
        except errors.QueryCanceled:
            pass
        finally:
            done.set()
            canceller.join()
        assert time.monotonic() - started < 60, "slow cancel"
        for _ in range(3):  # a cancel that was on its way may hit one of these
            try:
                check(db.execute("SELECT 1").fetchone(), (1,))
                break
            except errors.QueryCanceled:
                continue
        else:
            raise AssertionError("still cancelled")


@step
def large_results():
    if not LARGE:
        return
    with connect() as db:
        for binary in (False, True):
            with db.cursor(binary=binary) as cur:
                cur.execute("SELECT n, repeat('x', 50) FROM generate_series(1, 300000) AS n")
                check(cur.rowcount, 300_000)
                check(cur.fetchone()[0], 1)
        rows = db.execute("SELECT id, ssn FROM customers").fetchall()
        check((len(rows), {r[1] for r in rows}), (60_000, {REDACTED}))
        value = db.execute("SELECT repeat('y', 20000000)").fetchone()[0]
        check(len(value), 20_000_000)


@step
def streaming_single_rows():
    with connect() as db, db.cursor() as cur:
        count = 0
        for row in cur.stream("SELECT id, credit_card FROM customers WHERE id <= 2000"):
            check(row[1], REDACTED)
            count += 1
        check(count, 2000)


@step
def several_statements_in_one_query():
    with connect() as db:
        cur = psycopg.ClientCursor(db)
        cur.execute("SELECT 1; SELECT ssn FROM customers WHERE id = 1; SELECT 3")
        seen = [cur.fetchone()[0]]
        while cur.nextset():
            seen.append(cur.fetchone()[0])
        check(seen, [1, REDACTED, 3])


@step
def settings_and_application_name():
    with connect(application_name="story-teller", options="-c statement_timeout=54321 -c TimeZone=Asia/Tokyo") as db:
        check(db.execute("SHOW application_name").fetchone()[0], "story-teller")
        check(db.execute("SHOW statement_timeout").fetchone()[0], "54321ms")
        check(db.info.parameter_status("TimeZone"), "Asia/Tokyo")
        db.execute("SET TimeZone = 'UTC'")
        check(db.info.parameter_status("TimeZone"), "UTC")


@step
def other_client_encodings():
    with connect(client_encoding="latin1") as db:
        check(db.execute("SELECT 'é' || %s::text", ("ü",)).fetchone()[0], "éü")
        check(db.execute("SELECT name FROM customers WHERE id = 1").fetchone()[0], "Ben Brandt")
        # The server fails on characters that latin1 does not have, and so would tell of them.
        try:
            db.execute("SELECT ssn FROM customers WHERE id = 1")
        except errors.CharacterNotInRepertoire as error:
            check(error.diag.message_detail, "narrows: encoding")
        else:
            raise AssertionError("a masked column is read in latin1")
        db.rollback()
        db.execute("SET client_encoding TO 'UTF8'")
        check(db.execute("SELECT ssn FROM customers WHERE id = 1").fetchone()[0], REDACTED)


if __name__ == "__main__":
    tell()
