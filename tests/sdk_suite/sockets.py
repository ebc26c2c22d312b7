"""A pytest plugin: what each test asked of the network, kept in its report.

A test that opened no connection, looked up no name and started no program proves little about a
gateway; compare.py counts it apart. Children that are Python processes are not followed here: what
they do is seen by the trace of system calls that scripts/sdk_suite.sh keeps.
"""

import sys

import pytest

WATCHED = {
    "socket.connect": "connect",
    "socket.getaddrinfo": "lookup",
    "socket.gethostbyname": "lookup",
    "subprocess.Popen": "program",
}
seen: set[str] | None = None


def watch(event, _arguments):
    if seen is not None and event in WATCHED:
        seen.add(WATCHED[event])


sys.addaudithook(watch)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item):
    global seen
    seen = set()
    try:
        return (yield)
    finally:
        seen = None


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(item, call):
    if call.when == "teardown":
        item.user_properties.extend(("network", what) for what in sorted(seen or ()))
    return (yield)
