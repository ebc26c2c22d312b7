"""Why something was refused, told from what a client printed."""

import collections
import re

# Some clients print the message of an error without its details, which have the reason.
WORDS = {
    "is not in the catalog as this gateway knows it": "unknown_object",
    "would install code that runs untraced": "installs_code",
    "runs SQL that cannot be traced": "dynamic_query",
    "reaches large objects, for which no mask is known": "large_object",
    "this transaction changed definitions": "uncommitted_ddl",
    "changed definitions that masks depend on": "uncommitted_ddl",
    "would have columns that are masked for you": "uncommitted_ddl",
    "decides how the server plans": "plan_setting",
    "the server describes other columns": "catalog_changed",
    "FETCH and EXECUTE must be sent alone": "unknown_source",
    "text withheld: it may quote masked values": "withheld",
}


def reasons(text):
    """reason → how often it was given"""
    counts = collections.Counter()
    lines = text.splitlines()
    for line, following in zip(lines, lines[1:] + [""]):
        if found := re.search(r"narrows: ([a-z_]+)", line):
            counts[found[1]] += 1
        elif "narrows: " not in following:
            counts.update(reason for words, reason in WORDS.items() if words in line)
    return counts
