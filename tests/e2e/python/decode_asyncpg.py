"""As decode_psycopg, with a driver that insists on binary and on the right type."""

import asyncio
import datetime
import decimal
import os
import uuid

import asyncpg

from story import check

KIND = os.environ["KIND"]
WANTED = {
    "bool": bool, "int2": int, "int4": int, "int8": int, "float4": float, "float8": float,
    "numeric": decimal.Decimal, "text": str, "varchar": str, "bytea": bytes, "date": datetime.date,
    "timestamptz": datetime.datetime, "uuid": uuid.UUID, "jsonb": str, "ints": list, "mood": str,
}


async def main():
    db = await asyncpg.connect(ssl=False)
    rows = await db.fetch("SELECT * FROM vault ORDER BY id")
    check(len(rows), 2)
    for name, wanted in WANTED.items():
        value = rows[0][f"secret_{name}"]
        assert value is None or isinstance(value, wanted), (name, value)
        check(rows[1][f"secret_{name}"], None, name)
    check(rows[0]["plain"], "visible")
    await db.close()
    print("ok", KIND)


asyncio.run(main())
