"""Stands in for Slack: its web API, incoming webhooks, and where replies to clicks go.

slack.py PORT FOLDER           serves; what is taken is a line of JSON in FOLDER/taken
slack.py sign SECRET TIME BODY prints the signature that Slack would send

What no Slack would take is written to FOLDER/wrong and answered with an error. FOLDER/fault, when
it is there, holds the error to answer with.
"""

import hashlib, hmac, http.server, json, pathlib, sys

if sys.argv[1] == "sign":
    secret, time, body = sys.argv[2:]
    print("v0=" + hmac.new(secret.encode(), f"v0:{time}:{body}".encode(), hashlib.sha256).hexdigest())
    sys.exit()

port, folder = int(sys.argv[1]), pathlib.Path(sys.argv[2])
TOKEN = "Bearer xoxb-test"


def text(of, most, kinds=("plain_text", "mrkdwn")):
    assert of["type"] in kinds and 1 <= len(of["text"]) <= most, of


def block(one):
    kind = one["type"]
    if kind == "header":
        text(one["text"], 150, ("plain_text",))
    elif kind == "section":
        assert "text" in one or 1 <= len(one["fields"]) <= 10, one
        for field in one.get("fields", []):
            text(field, 2000)
    elif kind == "context":
        assert 1 <= len(one["elements"]) <= 10
        for element in one["elements"]:
            text(element, 3000)
    elif kind == "rich_text":
        for element in one["elements"]:
            assert element["type"] in ("rich_text_section", "rich_text_preformatted"), element
            for part in element["elements"]:
                assert part["type"] == "text" and part["text"], part
    elif kind == "actions":
        assert 1 <= len(one["elements"]) <= 25 and len(one.get("block_id", "")) <= 255
        for element in one["elements"]:
            assert element["type"] == "button" and len(element["action_id"]) <= 255, element
            assert len(element["value"]) <= 2000 and element["style"] in ("primary", "danger")
            text(element["text"], 75, ("plain_text",))
    else:
        raise AssertionError(f"unknown block {kind}")


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    count = 0

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        method = self.path.removeprefix("/api/")
        try:
            assert self.headers["content-type"].startswith("application/json")
            assert body.get("text"), "no text for notifications"
            assert len(body.get("blocks", [])) <= 50
            for one in body.get("blocks", []):
                block(one)
            if method in ("chat.postMessage", "chat.update"):
                assert self.headers["authorization"] == TOKEN, "not_authed"
                assert body["channel"], "channel_not_found"
                assert (method == "chat.update") == ("ts" in body), "ts"
            else:
                assert self.path.startswith(("/services/", "/reply/")), self.path
        except Exception as error:
            with open(folder / "wrong", "a") as out:
                out.write(f"{type(error).__name__}: {error}\n")
            return self.answer({"ok": False, "error": "invalid_blocks"})
        fault = folder / "fault"
        if fault.exists():
            return self.answer({"ok": False, "error": fault.read_text()})
        Handler.count += 1
        with open(folder / "taken", "a") as out:
            out.write(json.dumps({"method": method, "body": body}) + "\n")
        self.answer({"ok": True, "channel": "C0DBA", "ts": body.get("ts", f"17000.{Handler.count}")})

    def answer(self, answer):
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
(folder / "port.new").write_text(str(server.server_address[1]))
(folder / "port.new").rename(folder / "port")
server.serve_forever()
