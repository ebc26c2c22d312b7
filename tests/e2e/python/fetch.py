"""Copies every object of a bucket into a folder.

    python fetch.py ENDPOINT BUCKET FOLDER
"""

import pathlib
import sys

import boto3


def main():
    endpoint, bucket, folder = sys.argv[1:]
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
    )
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket):
        for listed in page.get("Contents", []):
            path = pathlib.Path(folder, listed["Key"])
            path.parent.mkdir(parents=True, exist_ok=True)
            client.download_file(bucket, listed["Key"], str(path))


if __name__ == "__main__":
    main()
