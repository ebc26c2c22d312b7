"""The internet of ./quickstart: one small server that stands for every host the agent asks for, on one
port of this machine. It answers with a customer as JSON, and writes down what reached it."""

import http.server
import json
import sys

CUSTOMER = {
    "id": 7,
    "name": "Ann Brandt",
    "ssn": "536-22-8714",
    "card": {"credit_card": "4929 1234 5678 9016", "expires": "2029-01"},
}


class Host(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length).decode("utf-8", "replace")
        print(f"{self.command} {self.headers['Host']}{self.path} {body}".rstrip(), flush=True)
        content = json.dumps(CUSTOMER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = answer

    def log_message(self, *_):
        pass


if __name__ == "__main__":
    http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Host).serve_forever()
