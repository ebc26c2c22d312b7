"""An S3 server (moto) that can be told to misbehave.

    python s3.py PORT_FILE FAULT_FILE BUCKET

Writes its port to PORT_FILE. FAULT_FILE holds one word, read at every request: `none`, `slow` (each
answer takes a second), `errors` (two of three requests get 500), `denied` (403), `cut` (answers to reads
break off in the middle), `gone` (connections are dropped). Each request that meets one adds its word to
FAULT_FILE.met, a line of its own.
"""

import itertools
import pathlib
import socket
import sys
import threading
import time

import boto3
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, make_server

count = itertools.count()


class Faulty:
    def __init__(self, app, fault):
        self.app = app
        self.fault = fault

    def __call__(self, environ, start_response):
        fault = self.fault.read_text().strip() if self.fault.exists() else "none"
        if fault == "slow":
            self.meet(fault)
            time.sleep(1)
        elif fault == "errors" and next(count) % 3:
            self.meet(fault)
            return self.refuse(start_response, "500 Internal Server Error", "InternalError")
        elif fault == "denied":
            self.meet(fault)
            return self.refuse(start_response, "403 Forbidden", "AccessDenied")
        elif fault == "gone":
            self.meet(fault)
            environ["werkzeug.socket"].shutdown(socket.SHUT_RDWR)
            raise ConnectionAbortedError("gone")
        elif fault == "cut" and environ["REQUEST_METHOD"] == "GET":
            self.meet(fault)
            return self.cut(environ, start_response)
        return self.app(environ, start_response)

    def meet(self, fault):
        with self.fault.with_name(self.fault.name + ".met").open("a") as met:
            met.write(fault + "\n")

    @staticmethod
    def refuse(start_response, status, code):
        text = f"<Error><Code>{code}</Code><Message>told to</Message></Error>".encode()
        start_response(status, [("Content-Type", "application/xml"), ("Content-Length", str(len(text)))])
        return [text]

    def cut(self, environ, start_response):
        whole = b"".join(self.app(environ, start_response))
        # The length was announced; half of it comes.
        yield whole[: len(whole) // 2]


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        pass


def main():
    port_file, fault_file, bucket = sys.argv[1:]
    app = Faulty(DomainDispatcherApplication(create_backend_app), pathlib.Path(fault_file))
    server = make_server("127.0.0.1", 0, app, threaded=True, request_handler=Quiet)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.port}"
    client = boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    client.create_bucket(Bucket=bucket)
    pathlib.Path(port_file).write_text(str(server.port))
    threading.Event().wait()


if __name__ == "__main__":
    main()
