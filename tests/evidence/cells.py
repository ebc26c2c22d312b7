"""Prints every value of every column of an archive but the time, one row after another.

    python cells.py STORE

Bytes are printed as text, what is none of it as `?`.
"""

import pathlib
import sys

import pyarrow.parquet


def values(cell):
    if isinstance(cell, dict):
        cell = list(cell.values())
    if isinstance(cell, list):
        for one in cell:
            yield from values(one)
    elif isinstance(cell, bytes):
        yield cell.decode(errors="replace")
    elif cell is not None:
        yield str(cell)


def main():
    (store,) = sys.argv[1:]
    for path in sorted(pathlib.Path(store).glob("events/**/*.parquet")):
        for row in pyarrow.parquet.ParquetFile(path).read().drop_columns(["time"]).to_pylist():
            print(*values(row), sep="\n")


if __name__ == "__main__":
    main()
