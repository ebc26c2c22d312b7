"""Why the tests of a suite differ for someone with masks.

usage: reasons.py SUITE OUTPUT_FOLDER ACCEPTED < names of tests that differ

Prints a line for each: the suite, the test, and the reasons it was refused for with how often, or what
ACCEPTED says of it. Ends with 1 when a test has neither.
"""

import collections
import pathlib
import re
import sys

# isolationtester prints the message of some errors without their details, which have the reason.
WORDS = {
    "is not in the catalog as this gateway knows it": "unknown_object",
    "would install code that runs untraced": "installs_code",
    "runs SQL that cannot be traced": "dynamic_query",
    "this transaction changed definitions": "uncommitted_ddl",
    "would have columns that are masked for you": "uncommitted_ddl",
    "the server describes other columns": "catalog_changed",
    "FETCH and EXECUTE must be sent alone": "unknown_source",
    "text withheld: it may quote masked values": "withheld",
}


def reasons(text):
    counts = collections.Counter()
    lines = text.splitlines()
    for line, following in zip(lines, lines[1:] + [""]):
        if found := re.search(r"narrows: ([a-z_]+)", line):
            counts[found[1]] += 1
        elif "narrows: " not in following:
            counts.update(reason for words, reason in WORDS.items() if words in line)
    return counts


def main():
    suite, folder, accepted = sys.argv[1], pathlib.Path(sys.argv[2]), pathlib.Path(sys.argv[3])
    listed = {}
    for line in accepted.read_text().splitlines():
        words = line.split(maxsplit=3)
        if words[:2] == [suite, "masked"]:
            listed[words[2]] = words[3]
    unexplained = 0
    for test in sys.stdin.read().split():
        output = folder / "results" / f"{test}.out"
        output = output if output.exists() else folder / test
        found = reasons(output.read_text(errors="replace")).most_common()
        why = ", ".join(f"{reason} {count}" for reason, count in found) or listed.get(test)
        unexplained += not why
        print(suite, test, why or "NOT EXPLAINED")
    return min(unexplained, 1)


sys.exit(main())
