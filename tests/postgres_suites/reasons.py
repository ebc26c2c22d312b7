"""Why the tests of a suite differ for someone with masks.

usage: reasons.py SUITE OUTPUT_FOLDER ACCEPTED < names of tests that differ

Prints a line for each: the suite, the test, and the reasons it was refused for with how often, or what
ACCEPTED says of it. Ends with 1 when a test has neither.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from refusals import reasons

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
