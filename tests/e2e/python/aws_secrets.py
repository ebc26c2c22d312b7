"""AWS Secrets Manager (moto) with two secrets.

    python aws_secrets.py PORT_FILE PASSWORD

`prod/appdb` is JSON with the password in it, `prod/plain` the password alone. Writes its port to PORT_FILE.
"""

import json
import pathlib
import sys
import threading

import boto3
from moto.server import ThreadedMotoServer

port_file, password = sys.argv[1:]
server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
server.start()
host, port = server.get_host_and_port()
client = boto3.client(
    "secretsmanager",
    endpoint_url=f"http://127.0.0.1:{port}",
    region_name="eu-central-1",
    aws_access_key_id="AKIATEST",
    aws_secret_access_key="test",
)
client.create_secret(Name="prod/appdb", SecretString=json.dumps({"password": password, "port": 5432}))
client.create_secret(Name="prod/plain", SecretString=password)
ready = pathlib.Path(port_file)
ready.with_suffix(".new").write_text(str(port), encoding="ascii")
ready.with_suffix(".new").rename(ready)
threading.Event().wait()
