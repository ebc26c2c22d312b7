"""Runs the SQL of docs/guide/audit-sql.md with DuckDB on an archive.

    python questions.py STORE PAGE

Prints one JSON object: for each statement that follows a bold question, its rows. Places and times
of the page are replaced by those of the archive.
"""

import json
import pathlib
import re
import sys

import duckdb


def main():
    store, page = sys.argv[1:]
    text = pathlib.Path(page).read_text()
    text = text.replace("var/recordings", store)
    text = re.sub(r"TIMESTAMPTZ '[^']*02:12:00\+00'", "TIMESTAMPTZ '2000-01-01 00:00:00+00'", text)
    text = re.sub(r"TIMESTAMPTZ '[^']*02:22:00\+00'", "TIMESTAMPTZ '2100-01-01 00:00:00+00'", text)
    database = duckdb.connect()
    answers = []
    for block in re.findall(r"```sql\n(.*?)```", text, re.S):
        for statement in database.extract_statements(block):
            result = database.execute(statement)
            names = [column[0] for column in result.description]
            answers.append([dict(zip(names, row)) for row in result.fetchall()])
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()
