"""Every masked column of every type still decodes: an integer is an integer or NULL, never text."""

import os

import psycopg

from story import check

KIND = os.environ["KIND"]
TEXT = {"text", "varchar", "bpchar", "name", "postcode"}

with psycopg.connect("", autocommit=True) as db:
    for binary in (False, True):
        with db.cursor(binary=binary) as cur:
            cur.execute("SELECT * FROM vault ORDER BY id")
            rows = cur.fetchall()
            check(len(rows), 2)
            check(rows[0][1], "visible")
            seen, names = 0, []
            for column, masked, empty in zip(cur.description, *rows):
                if not column.name.startswith("secret_"):
                    continue
                seen += 1
                names.append(column.name)
                check(empty, None, f"{column.name}: NULL stays NULL")
                kind = db.adapters.types.get(column.type_code)
                if masked is not None and kind is not None and kind.oid == column.type_code and kind.name in TEXT:
                    assert isinstance(masked, str), (column.name, masked)
            assert seen > 60, seen
    # Each column by itself too, so that one wrong column cannot hide behind another's error.
    for name in names:
        for binary in (False, True):
            with db.cursor(binary=binary) as cur:
                cur.execute(f"SELECT {name} FROM vault ORDER BY id")
                cur.fetchall()
print("ok", KIND)
