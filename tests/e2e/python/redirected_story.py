"""A client that knows of no proxy: urllib and requests, with nothing but a file of authorities."""

import os
import ssl
import urllib.error
import urllib.request

import requests

assert not [name for name in os.environ if "proxy" in name.lower()], "no proxy variables"
context = ssl.create_default_context(cafile=os.environ["CA"])


def urllib_gets(url):
    with urllib.request.urlopen(url, context=context, timeout=30) as reply:
        return reply.read().decode()


assert urllib_gets("https://listed.test/urllib") == "GET /urllib listed.test 0"
print("ok urllib, TLS")
assert urllib_gets("http://clear.test/urllib") == "GET /urllib clear.test 0"
print("ok urllib, clear")
with requests.Session() as session:
    session.verify = os.environ["CA"]
    for number in range(3):
        reply = session.post("https://listed.test/requests", data="x" * number, timeout=30)
        assert reply.text == f"POST /requests listed.test {number}", reply.text
    print("ok requests, one connection")
    reply = session.post("https://evil.test/", data="x", timeout=30)
    assert reply.status_code == 403 and "not on the list" in reply.json()["detail"], reply.text
    print("ok requests, refused")
