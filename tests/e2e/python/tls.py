"""TLS to the gateway, checked in full, with both ways to begin it."""

import asyncio
import os
import ssl
import sys

import asyncpg
import psycopg

direct = sys.argv[1] == "direct"

with psycopg.connect("", autocommit=True) as db:
    assert db.pgconn.ssl_in_use
    assert db.execute("SELECT ssn FROM customers WHERE id = 1").fetchone() == ("[REDACTED]",)


async def main():
    context = ssl.create_default_context(cafile=os.environ["PGSSLROOTCERT"])
    if direct:
        context.set_alpn_protocols(["postgresql"])
    db = await asyncpg.connect(host="localhost", ssl=context, direct_tls=direct)
    assert await db.fetchval("SELECT 42") == 42
    await db.close()


asyncio.run(main())
print("ok")
