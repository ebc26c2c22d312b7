"""HTTP clients behind one small face: `ask` sends a request, `complains` lets the client raise.

None of them is told of the gateway: proxies, certificates and keys come from the environment.
"""

import asyncio
import os
import subprocess
import threading
import urllib.error
import urllib.request


class Answer:
    def __init__(self, status, fields, body):
        self.status = status
        self.fields = {name.lower(): value for name, value in fields}
        self.body = body


class Httpx:
    version = 1

    def __init__(self):
        import httpx

        self.httpx = httpx
        self.clients = {}

    def client(self, url):
        # Over clear text HTTP/2 begins without being agreed on, so HTTP/1.1 is switched off.
        scheme = url.split(":")[0]
        if scheme not in self.clients:
            two = self.version == 2
            self.clients[scheme] = self.httpx.Client(
                http1=not two or scheme == "https", http2=two, timeout=60
            )
        return self.clients[scheme]

    def ask(self, method, url, body=None, fields=None):
        r = self.client(url).request(method, url, content=body, headers=fields)
        # A proxy is asked for clear text in HTTP/1.1.
        if self.version == 2 and url.startswith(("https:", "http://127.0.0.1")):
            assert r.http_version == "HTTP/2", r.http_version
        return Answer(r.status_code, r.headers.multi_items(), r.content)

    def complains(self, method, url, body=None, fields=None):
        try:
            r = self.client(url).request(method, url, content=body, headers=fields)
            r.raise_for_status()
        except self.httpx.HTTPStatusError as error:
            return error.response.status_code


class Httpx2(Httpx):
    version = 2


class Requests:
    def __init__(self):
        import requests

        self.requests = requests
        self.session = requests.Session()

    def ask(self, method, url, body=None, fields=None):
        r = self.session.request(method, url, data=body, headers=fields, timeout=60)
        return Answer(r.status_code, r.headers.items(), r.content)

    def complains(self, method, url, body=None, fields=None):
        try:
            r = self.session.request(method, url, data=body, headers=fields, timeout=60)
            r.raise_for_status()
        except self.requests.HTTPError as error:
            return error.response.status_code


class Urllib:
    def ask(self, method, url, body=None, fields=None):
        request = urllib.request.Request(url, body, fields or {}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as r:
                return Answer(r.status, r.headers.items(), r.read())
        except urllib.error.HTTPError as error:
            return Answer(error.code, error.headers.items(), error.read())

    def complains(self, method, url, body=None, fields=None):
        request = urllib.request.Request(url, body, fields or {}, method=method)
        try:
            urllib.request.urlopen(request, timeout=60)
        except urllib.error.HTTPError as error:
            return error.code


class Aiohttp:
    def __init__(self):
        import aiohttp

        self.aiohttp = aiohttp
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.session = self.wait(self.open())

    async def open(self):
        return self.aiohttp.ClientSession(trust_env=True)

    def wait(self, what):
        return asyncio.run_coroutine_threadsafe(what, self.loop).result(60)

    async def request(self, method, url, body, fields, strict=False):
        async with self.session.request(method, url, data=body, headers=fields) as r:
            if strict:
                r.raise_for_status()
            return Answer(r.status, r.headers.items(), await r.read())

    def ask(self, method, url, body=None, fields=None):
        return self.wait(self.request(method, url, body, fields))

    def complains(self, method, url, body=None, fields=None):
        try:
            self.wait(self.request(method, url, body, fields, strict=True))
        except self.aiohttp.ClientResponseError as error:
            return error.status


class Curl:
    def run(self, method, url, body, fields, *more):
        words = ["curl", "-sS", "--compressed", "--max-time", "60", "-X", method, *more]
        for name, value in (fields or {}).items():
            words += ["-H", f"{name}: {value}"]
        if body is not None:
            words += ["--data-binary", "@-", "-H", "Expect:"]
        return subprocess.run([*words, url], input=body, capture_output=True, check=False)

    def ask(self, method, url, body=None, fields=None):
        # The proxy's answer to CONNECT is not asked for; the head goes to stderr.
        done = self.run(method, url, body, fields, "--suppress-connect-headers", "-D", "/dev/stderr")
        assert done.returncode == 0, done.stderr
        head = done.stderr.decode("latin-1").strip().split("\r\n\r\n")[-1].split("\r\n")
        pairs = [line.split(": ", 1) for line in head[1:] if ": " in line]
        return Answer(int(head[0].split()[1]), pairs, done.stdout)

    def complains(self, method, url, body=None, fields=None):
        done = self.run(method, url, body, fields, "--fail-with-body")
        if done.returncode == 22:
            return int(done.stderr.decode().strip().rsplit(" ", 1)[-1])


CLIENTS = {
    "aiohttp": Aiohttp,
    "curl": Curl,
    "httpx": Httpx,
    "httpx2": Httpx2,
    "requests": Requests,
    "urllib": Urllib,
}


def reverse(resource, path):
    """An address of a resource on the reverse face, from what the environment says of a model."""
    base = os.environ["OPENAI_BASE_URL"].split("/r/")[0]
    return f"{base}/r/{resource}{path}"


def token():
    return {"Authorization": f"Bearer {os.environ['OPENAI_API_KEY']}"}


# A resource of the reverse face, TLS inside a tunnel, clear text by the proxy: address and fields.
FACES = {
    "reverse": lambda path: (reverse("api", path), token()),
    "tunnel": lambda path: (f"https://listed.test{path}", {}),
    "forward": lambda path: (f"http://listed.test{path}", {}),
}
