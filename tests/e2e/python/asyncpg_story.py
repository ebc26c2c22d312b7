"""asyncpg through the gateway: binary results, prepared statements, COPY, cursors, cancel."""

import asyncio
import datetime
from decimal import Decimal
from io import BytesIO

import asyncpg

from story import LARGE, MASKED, REDACTED, check, step, tell


async def connect(**more):
    return await asyncpg.connect(ssl=False, **more)


@step
async def binary_reads_are_masked():
    db = await connect()
    row = await db.fetchrow("SELECT * FROM customers WHERE id = $1", 7)
    check(row["email"], "customer7@shop.example")
    check((row["ssn"], row["credit_card"]), (REDACTED, REDACTED))
    check(row["joined"], datetime.date(2021, 1, 8))
    await db.close()


@step
async def parameters_of_many_types():
    db = await connect()
    row = await db.fetchrow(
        "SELECT $1::text, $2::bytea, $3::int[], $4::numeric, $5::timestamptz, $6::interval, $7::uuid IS NULL",
        "naïve ☃", b"\x00\xff", [1, None, 3], Decimal("12345678901234.56789"),
        datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc), datetime.timedelta(days=3), None)
    check(tuple(row), ("naïve ☃", b"\x00\xff", [1, None, 3], Decimal("12345678901234.56789"),
                       datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.timezone.utc),
                       datetime.timedelta(days=3), True))
    await db.close()


@step
async def prepared_statements_are_reused():
    db = await connect()
    statement = await db.prepare("SELECT id, ssn FROM customers WHERE id = $1")
    for n in range(1, 60):
        check(tuple(await statement.fetchrow(n)), (n, REDACTED))
    await db.executemany("INSERT INTO notes (body) VALUES ($1)", [(f"many {n}",) for n in range(500)])
    check(await db.fetchval("SELECT count(*) FROM notes WHERE body LIKE 'many %'"), 500)
    await db.close()


@step
async def cursors_inside_transactions():
    db = await connect()
    async with db.transaction():
        seen = 0
        async for row in db.cursor("SELECT id, credit_card FROM customers ORDER BY id LIMIT 3000", prefetch=200):
            seen += 1
            check(tuple(row), (seen, REDACTED))
        check(seen, 3000)
    await db.close()


@step
async def copy_in_and_out():
    db = await connect()
    await db.copy_records_to_table("numbers", records=[(n, f"record {n}") for n in range(100_000, 110_000)])
    check(await db.fetchval("SELECT count(*) FROM numbers WHERE id >= 100000"), 10_000)
    out = BytesIO()
    await db.copy_from_query("SELECT id, ssn FROM customers WHERE id <= $1", 100, output=out, format="csv")
    check(out.getvalue().decode().count(REDACTED), 100)
    out = BytesIO()
    await db.copy_from_table("customers", columns=["credit_card"], output=out, format="binary")
    check(out.getvalue().count(REDACTED.encode()), 60_000)
    await db.close()


@step
async def a_refusal_inside_a_transaction_aborts_it_for_real():
    db = await connect()
    transaction = db.transaction()
    await transaction.start()
    await db.execute("INSERT INTO notes (body) VALUES ('asyncpg, lost')")
    try:
        await db.execute("DROP TABLE notes")
        raise AssertionError("the DROP went through")
    except asyncpg.InsufficientPrivilegeError as error:
        assert "destructive statement" in str(error), error
    try:
        await db.fetchval("SELECT 1")
        raise AssertionError("the transaction goes on")
    except asyncpg.InFailedSQLTransactionError:
        pass
    await transaction.rollback()
    check(await db.fetchval("SELECT count(*) FROM notes WHERE body = 'asyncpg, lost'"), 0)
    await db.close()


@step
async def refused_while_preparing():
    db = await connect()
    try:
        await db.prepare("TRUNCATE orders")
        raise AssertionError("it was prepared")
    except asyncpg.InsufficientPrivilegeError as error:
        assert "destructive statement" in str(error), error
    check(await db.fetchval("SELECT 1"), 1)
    await db.close()


@step
async def listen_and_notify():
    db, other = await connect(), await connect()
    heard = asyncio.Queue()
    await db.add_listener("bell_async", lambda *about: heard.put_nowait(about[-1]))
    await other.execute("NOTIFY bell_async, 'ding'")
    check(await asyncio.wait_for(heard.get(), 60), "" if MASKED else "ding")
    await db.close()
    await other.close()


@step
async def cancel_stops_the_statement_and_keeps_the_session():
    db = await connect()
    try:
        await db.fetchval("SELECT pg_sleep(120)", timeout=1)
        raise AssertionError("it was not cancelled")
    except asyncio.TimeoutError:
        pass
    check(await db.fetchval("SELECT 42"), 42)
    await db.close()


@step
async def large_results():
    if not LARGE:
        return
    db = await connect()
    rows = await db.fetch("SELECT n, repeat('x', 50) AS filler FROM generate_series(1, 300000) AS n")
    check((len(rows), rows[-1]["n"]), (300_000, 300_000))
    rows = await db.fetch("SELECT id, ssn FROM customers")
    check((len(rows), {row["ssn"] for row in rows}), (60_000, {REDACTED}))
    await db.close()


@step
async def pools_and_reset():
    async with asyncpg.create_pool(ssl=False, min_size=2, max_size=5) as pool:
        async def one(n):
            return await pool.fetchval("SELECT id FROM customers WHERE id = $1", n)
        check(await asyncio.gather(*(one(n) for n in range(1, 101))), list(range(1, 101)))


@step
async def arrays_enums_and_composites_by_introspection():
    db = await connect()
    row = await db.fetchrow("SELECT ARRAY['happymarker']::mood[] AS moods, ROW('a', 2)::pair AS pair, "
                            "int4range(1, 5) AS span, '{\"k\": 1}'::jsonb AS doc")
    check((row["moods"], tuple(row["pair"]), row["doc"]), (["happymarker"], ("a", 2), '{"k": 1}'))
    await db.close()


if __name__ == "__main__":
    tell()
