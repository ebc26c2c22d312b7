"""Protocol 3.2, which libpq 18 speaks when it is told to: longer cancel keys, negotiation."""

import sys
import threading
import time

import psycopg

if psycopg.pq.version() < 180000:
    sys.exit("libpq 18 is needed")

with psycopg.connect(min_protocol_version="3.2", max_protocol_version="3.2", autocommit=True) as db:
    assert db.pgconn.full_protocol_version == 30002, db.pgconn.full_protocol_version
    assert db.execute("SELECT ssn FROM customers WHERE id = 1").fetchone() == ("[REDACTED]",)
    threading.Thread(target=lambda: (time.sleep(1), db.cancel_safe()), daemon=True).start()
    try:
        db.execute("SELECT pg_sleep(60)")
        sys.exit("it was not cancelled")
    except psycopg.errors.QueryCanceled:
        pass
    assert db.execute("SELECT 42").fetchone() == (42,)
print("ok")
