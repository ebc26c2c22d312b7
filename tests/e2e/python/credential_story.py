"""A host whose credential only the gateway has: whatever the client sends in its place."""

import httpx

from story import check, step, tell

OWN = {"Authorization": "Bearer sk-of-the-client"}


def fetch(url, headers=OWN):
    with httpx.Client() as client:
        answer = client.get(url, headers=headers)
    check(answer.status_code, 200)
    assert "4711" not in answer.text + str(answer.headers), answer.text


@step
def with_a_key_of_its_own_and_with_none():
    fetch("https://keyed.test/x")
    fetch("https://keyed.test/x", {})


@step
def another_port_of_it_is_another_host():
    fetch("https://keyed.test:8443/x")


@step
def another_host():
    fetch("https://listed.test/x")


if __name__ == "__main__":
    tell()
