"""What a program sees that `narrows run` started: a loopback interface, the gateway, nothing else.

`HOST_PORT` is a port that something listens on outside, `ADMIN_PORT` the gateway's admin API, and
`OUTSIDE` a process on the machine's own network.
"""

import errno
import os
import socket
import subprocess
import urllib.request

import psycopg

from story import REDACTED, check, step, tell


def fails(what, *numbers):
    """The system's error of a call that must fail."""
    try:
        what()
    except OSError as error:
        if numbers and error.errno not in numbers:
            raise
        return error
    raise AssertionError("it went through")


@step
def there_is_no_interface_but_the_loopback():
    check([name for _, name in socket.if_nameindex()], ["lo"])
    with open("/proc/net/route") as routes:
        check(len(routes.readlines()), 1, "a heading and no route")
    # Which addresses the loopback interface has besides is the kernel's business.
    with open("/proc/net/if_inet6") as addresses:
        check({line.split()[-1] for line in addresses}, {"lo"})


@step
def no_name_is_looked_up():
    fails(lambda: socket.getaddrinfo("example.com", 443))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        fails(lambda: udp.sendto(b"query", ("9.9.9.9", 53)), errno.ENETUNREACH)


@step
def what_goes_around_the_gateway_fails():
    for address in (("203.0.113.9", 443), ("169.254.169.254", 80), ("10.0.0.1", 80)):
        fails(lambda: socket.create_connection(address, 5), errno.ENETUNREACH)
    # The loopback addresses of the machine are not those of the namespace.
    outside = ("127.0.0.1", int(os.environ["HOST_PORT"]))
    fails(lambda: socket.create_connection(outside, 5), errno.ECONNREFUSED)
    done = subprocess.run(
        ["curl", "-sS", "--noproxy", "*", "--max-time", "5", "https://listed.test/"],
        capture_output=True,
        check=False,
    )
    check(done.returncode, 6, "curl finds no host")


@step
def no_other_network_can_be_entered_or_reached():
    outside = os.environ["OUTSIDE"]
    for words in (
        ["nsenter", f"--net=/proc/{outside}/ns/net", "true"],
        ["ip", "link", "add", "cable0", "type", "veth", "peer", "name", "cable1", "netns", outside],
        ["ip", "link", "add", "cable0", "type", "dummy"],
        ["unshare", "--net", "true"],
    ):
        done = subprocess.run(words, capture_output=True, check=False)
        assert done.returncode != 0, f"{words} went through"


@step
def the_admin_api_is_not_there():
    admin = ("127.0.0.1", int(os.environ["ADMIN_PORT"]))
    fails(lambda: socket.create_connection(admin, 5), errno.ECONNREFUSED)


@step
def nothing_of_the_gateway_is_in_the_environment_but_the_token():
    names = [name for name in os.environ if name.startswith("NARROWS") or "UPSTREAM" in name]
    check(names, [])


@step
def the_gateway_is_reached_as_the_environment_says():
    with urllib.request.urlopen("https://listed.test/customers", timeout=30) as answer:
        assert REDACTED.encode() in answer.read()
    base = os.environ["OPENAI_BASE_URL"]
    key = {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}
    request = urllib.request.Request(f"{base}/models", headers=key)
    with urllib.request.urlopen(request, timeout=30) as answer:
        check(answer.status, 200)


@step
def postgresql_is_reached_as_the_environment_says():
    with psycopg.connect() as db:
        check(db.execute("SELECT id, ssn FROM customers WHERE id = 7").fetchone(), (7, REDACTED))


if __name__ == "__main__":
    tell()
