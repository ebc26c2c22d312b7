"""Asks the S3 server of s3.py, as its owner.

    python s3_ask.py PORT_FILE BUCKET list                  every version of every object, as JSON
    python s3_ask.py PORT_FILE BUCKET lock                  has the bucket lock objects from now on
    python s3_ask.py PORT_FILE BUCKET put KEY TEXT          writes an object
    python s3_ask.py PORT_FILE BUCKET remove KEY            hides it
    python s3_ask.py PORT_FILE BUCKET delete KEY VERSION    deletes a version; prints ok or the error
"""

import json
import pathlib
import sys

import boto3
from botocore.exceptions import ClientError


def versions(client, bucket):
    listed = []
    for page in client.get_paginator("list_object_versions").paginate(Bucket=bucket):
        for of in page.get("Versions", []):
            key, version = of["Key"], of["VersionId"]
            head = client.head_object(Bucket=bucket, Key=key, **({"VersionId": version} if version != "null" else {}))
            until = head.get("ObjectLockRetainUntilDate")
            listed.append(
                {
                    "key": key,
                    "version": version,
                    "latest": of["IsLatest"],
                    "mode": head.get("ObjectLockMode"),
                    "until": until and int(until.timestamp()),
                    "hold": head.get("ObjectLockLegalHoldStatus") == "ON",
                    "encryption": head.get("ServerSideEncryption"),
                    "kms_key": head.get("SSEKMSKeyId"),
                    "bucket_key": head.get("BucketKeyEnabled"),
                    "bytes": head["ContentLength"],
                }
            )
    return listed


def main():
    port_file, bucket, what, *more = sys.argv[1:]
    port = pathlib.Path(port_file)
    owner = port.with_name(port.name + ".owner")
    key, secret = owner.read_text().split("\n") if owner.exists() else ("test", "test")
    client = boto3.client(
        "s3",
        endpoint_url=f"http://127.0.0.1:{port.read_text()}",
        region_name="us-east-1",
        aws_access_key_id=key,
        aws_secret_access_key=secret,
    )
    if what == "list":
        print(json.dumps(versions(client, bucket)))
    elif what == "lock":
        client.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
        client.put_object_lock_configuration(
            Bucket=bucket, ObjectLockConfiguration={"ObjectLockEnabled": "Enabled"}
        )
    elif what == "put":
        client.put_object(Bucket=bucket, Key=more[0], Body=more[1].encode())
    elif what == "remove":
        client.delete_object(Bucket=bucket, Key=more[0])
    elif what == "delete":
        key, version = more
        try:
            client.delete_object(Bucket=bucket, Key=key, VersionId=version)
            print("ok")
        except ClientError as error:
            print(error.response["Error"]["Code"])


if __name__ == "__main__":
    main()
