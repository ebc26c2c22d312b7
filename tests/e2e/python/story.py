"""Steps with names: a failure says which one, and every other step runs all the same."""

import asyncio
import inspect
import os
import sys
import traceback

REDACTED = "[REDACTED]"
# What a notification's payload becomes: for a principal with masks it is withheld, because a trigger
# may have put a masked value into it.
MASKED = os.environ.get("MASKED", "1") == "1"
LARGE = os.environ.get("LARGE", "1") == "1"

_steps = []


def step(function):
    """Marks a step; they run in the order they are written."""
    _steps.append(function)
    return function


def check(got, wanted, what="value"):
    if got != wanted:
        raise AssertionError(f"{what}: expected {wanted!r}, got {got!r}")


def tell():
    """Runs all steps; exits with 1 when one failed."""
    failed = []
    only = sys.argv[1:]
    for one in _steps:
        if only and one.__name__ not in only:
            continue
        try:
            if inspect.iscoroutinefunction(one):
                asyncio.run(asyncio.wait_for(one(), 120))
            else:
                one()
            print(f"ok {one.__name__}", flush=True)
        except Exception:
            failed.append(one.__name__)
            print(f"FAILED {one.__name__}\n{traceback.format_exc()}", flush=True)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")
