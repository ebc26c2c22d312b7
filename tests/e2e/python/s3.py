"""An S3 server (moto) that can be told to misbehave.

    python s3.py PORT_FILE FAULT_FILE BUCKET [lock [POLICY]]

With `lock` objects of the bucket can be locked. With a POLICY (JSON), signatures are checked; PORT_FILE.key
holds the id and secret of a user whom the policy is for, PORT_FILE.owner those of one who may do anything.
Writes its port to PORT_FILE. FAULT_FILE holds one word, read at every request: `none`, `slow` (each
answer takes a second), `errors` (two of three requests get 500), `denied` (403), `cut` (answers to reads
break off in the middle), `gone` (connections are dropped), `unsigned` (403 to what writes below
`manifests/`). Each request that meets one adds its word to
FAULT_FILE.met, a line of its own.
"""

import itertools
import json
import pathlib
import re
import socket
import sys
import threading
import time

import boto3
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from moto import settings
from moto.iam.access_control import IAMRequestBase
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
        elif fault == "unsigned" and environ["REQUEST_METHOD"] == "PUT" and "/manifests/" in environ["PATH_INFO"]:
            self.meet(fault)
            return self.refuse(start_response, "403 Forbidden", "AccessDenied")
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


class Signed:
    """Checks signatures (AWS Signature Version 4) as the library of AWS for Python makes them, from the address
    as it was sent; and that every field that has to be signed is."""

    def __init__(self, app, secrets):
        self.app = app
        self.secrets = secrets

    def __call__(self, environ, start_response):
        wrong = self.wrong(environ) if self.secrets else None
        if wrong:
            return Faulty.refuse(start_response, "403 Forbidden", wrong)
        return self.app(environ, start_response)

    def wrong(self, environ):
        said = dict(re.findall(r"(\w+)=([^, ]+)", environ.get("HTTP_AUTHORIZATION", "")))
        if not said:
            return "MissingSignature"
        key, _, region, service, _ = said["Credential"].split("/")
        fields = {name[5:].replace("_", "-").lower(): value for name, value in environ.items() if name.startswith("HTTP_")}
        if "CONTENT_TYPE" in environ:
            fields["content-type"] = environ["CONTENT_TYPE"]
        signed = said["SignedHeaders"].split(";")
        if any(name.startswith("x-amz-") and name not in signed for name in fields):
            return "FieldNotSigned"
        request = AWSRequest(
            method=environ["REQUEST_METHOD"],
            url=f"http://{environ['HTTP_HOST']}{environ['REQUEST_URI']}",
            headers={name: fields[name] for name in signed},
        )
        request.context["timestamp"] = fields["x-amz-date"]
        auth = S3SigV4Auth(Credentials(key, self.secrets.get(key, "")), service, region)
        made = auth.signature(auth.string_to_sign(request, auth.canonical_request(request)), request)
        return None if made == said["Signature"] else "WrongSignature"


class Quiet(WSGIRequestHandler):
    protocol_version = "HTTP/1.1"

    def log(self, *args):
        pass


ANYTHING = json.dumps(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]}
)


def guard(url, port_file, policy, secrets):
    iam = boto3.client(
        "iam",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    users = {}
    for name, document in [("key", policy), ("owner", ANYTHING)]:
        iam.create_user(UserName=name)
        iam.put_user_policy(UserName=name, PolicyName=name, PolicyDocument=document)
        made = iam.create_access_key(UserName=name)["AccessKey"]
        users[made["AccessKeyId"]] = made["SecretAccessKey"]
        text = made["AccessKeyId"] + "\n" + made["SecretAccessKey"]
        port_file.with_name(port_file.name + "." + name).write_text(text)
    # That of moto is made from an address that is decoded already.
    IAMRequestBase.check_signature = lambda self: None
    settings.INITIAL_NO_AUTH_ACTION_COUNT = 0
    secrets.update(users)


def main():
    port_file, fault_file, bucket, *more = sys.argv[1:]
    lock, policy = "lock" in more[:1], more[1] if len(more) > 1 else None
    secrets = {}
    app = Signed(DomainDispatcherApplication(create_backend_app), secrets)
    app = Faulty(app, pathlib.Path(fault_file))
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
    client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=lock)
    if policy:
        guard(url, pathlib.Path(port_file), policy, secrets)
    pathlib.Path(port_file).write_text(str(server.port))
    threading.Event().wait()


if __name__ == "__main__":
    main()
