"""A strict receiver of what a gateway tells others: webhooks (Standard Webhooks) and OTLP logs.

receiver.py webhook|otlp PORT FOLDER [SECRET]

Whatever is taken is appended to FOLDER/taken, a line of JSON for each event, and the name that a
webhook gave it to FOLDER/names; what is wrong with a
request to FOLDER/wrong, and the request is answered with 400. FOLDER/fault, when it is there, holds
the status to answer with instead. PORT 0 chooses one; FOLDER/port says which.
"""

import base64, hashlib, hmac, http.server, json, pathlib, sys, time

mode, port, folder = sys.argv[1], int(sys.argv[2]), pathlib.Path(sys.argv[3])
secret = sys.argv[4] if len(sys.argv) > 4 else ""


def key():
    if secret.startswith("whsec_"):
        return base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    return secret.encode()


def webhook(headers, body):
    name, sent = headers["webhook-id"], headers["webhook-timestamp"]
    assert name and "." not in name, f"webhook-id {name!r}"
    assert abs(time.time() - int(sent)) < 300, f"webhook-timestamp {sent}"
    signed = f"{name}.{sent}.".encode() + body
    right = "v1," + base64.b64encode(hmac.digest(key(), signed, hashlib.sha256)).decode()
    given = headers["webhook-signature"].split(" ")
    assert any(hmac.compare_digest(right, one) for one in given), "the signature is wrong"
    events = json.loads(body)
    return events if isinstance(events, list) else [events]


def value(of):
    """The one value that an AnyValue holds."""
    which = of.WhichOneof("value")
    assert which in ("string_value", "int_value"), which
    return getattr(of, which)


def otlp(path, headers, body):
    from google.protobuf import json_format
    from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

    assert path == "/v1/logs", path
    # Unknown fields, and known ones of another type, are errors.
    request = json_format.Parse(body, ExportLogsServiceRequest(), ignore_unknown_fields=False)
    events = []
    for resource in request.resource_logs:
        about = {one.key: value(one.value) for one in resource.resource.attributes}
        assert about["service.name"] == "narrows", about
        for scope in resource.scope_logs:
            assert scope.scope.name == "narrows"
            for record in scope.log_records:
                event = json.loads(value(record.body))
                assert record.time_unix_nano == event["at"], (record.time_unix_nano, event["at"])
                assert record.observed_time_unix_nano > 0
                assert 1 <= record.severity_number <= 24 and record.severity_text
                assert record.event_name == "narrows." + event["kind"], record.event_name
                named = {one.key: value(one.value) for one in record.attributes}
                assert named["narrows.number"] == event["number"], named
                assert about["service.instance.id"] == event["gateway"], about
                event["severity_text"], event["authorization"] = record.severity_text, headers.get("authorization")
                events.append(event)
    return events


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        fault = folder / "fault"
        if fault.exists():
            status, _, more = fault.read_text().partition(" ")
            # `400 7`: only what holds the event of this number is refused.
            numbers = [one.get("number") for one in json.loads(body)] if more else []
            if not more or int(more) in numbers:
                return self.answer(int(status), b"out of order")
        try:
            assert self.headers["content-type"] == "application/json"
            events = webhook(self.headers, body) if mode == "webhook" else otlp(self.path, self.headers, body)
        except Exception as error:
            with open(folder / "wrong", "a") as out:
                out.write(f"{type(error).__name__}: {error}\n")
            return self.answer(400, b"wrong")
        if mode == "webhook":
            with open(folder / "names", "a") as out:
                out.write(self.headers["webhook-id"] + "\n")
        with open(folder / "taken", "a") as out:
            out.write("".join(json.dumps(event) + "\n" for event in events))
        self.answer(200, b"{}" if mode == "otlp" else b"")

    def answer(self, status, body):
        self.send_response(status)
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
