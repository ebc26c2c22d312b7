"""A second reader of the archive, written from docs/recording-schema.md alone.

    python verify.py STORE PUBLIC_KEY
    python verify.py STORE GATEWAY=PUBLIC_KEY...

A key is of one gateway: where several share a store, each is named. Checks every manifest and every event with pyarrow,
hashlib and cryptography, and shares no code with the gateway. Prints what is wrong, one line each,
and ends with 1; or what it counted, and ends with 0.
"""

import hashlib
import json
import pathlib
import sys

import pyarrow.parquet
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import load_pem_public_key

SIGNED_PREFIX = b"narrows manifest v1\n"
ZEROS = "0" * 64
# Columns that stand in the canonical form by their hash.
BINARY = {"payload", "sealed"}


def leaf(row):
    """The hash of an event: of its canonical form, which leaves out what is empty."""
    form = {}
    for name, value in row.items():
        if name == "hash" or value is None or value == []:
            continue
        if name in BINARY:
            value = hashlib.sha256(value).hexdigest()
        elif name == "rules":
            value = [{k: v for k, v in rule.items() if k != "observed" or v} for rule in value]
        elif name == "columns":
            value = [{k: v for k, v in field.items() if v is not None} for field in value]
        form[name] = value
    text = json.dumps(form, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(b"\x00" + text.encode()).digest()


def root(leaves):
    """RFC 6962, section 2.1."""
    if not leaves:
        return hashlib.sha256(b"").digest()
    if len(leaves) == 1:
        return leaves[0]
    split = 1 << ((len(leaves) - 1).bit_length() - 1)
    left, right = root(leaves[:split]), root(leaves[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


def rows(path):
    table = pyarrow.parquet.read_table(path, partitioning=None)
    time = table.column("time").cast("int64")
    table = table.set_column(table.schema.get_field_index("time"), "time", time)
    return table.to_pylist()


class Archive:
    def __init__(self, store, *keys):
        self.store = pathlib.Path(store)
        named = [key.rpartition("=")[::2] for key in keys]
        self.keys = {name: load_pem_public_key(pathlib.Path(file).read_bytes()) for name, file in named}
        self.wrong = []
        self.named = set()
        self.manifests = self.events = 0

    def say(self, place, what):
        self.wrong.append(f"{place}: {what}")

    def check(self):
        folders = sorted((self.store / "manifests").glob("gateway=*"))
        for folder in folders:
            self.chain(folder)
        if len(folders) != len(self.keys):
            self.say("manifests", f"{len(folders)} gateways, and {len(self.keys)} keys")
        for path in sorted((self.store / "events").rglob("*.parquet")):
            name = path.relative_to(self.store).as_posix()
            if name not in self.named:
                self.say(name, "no manifest names it")

    def chain(self, folder):
        gateway = folder.name.removeprefix("gateway=")
        paths = sorted(folder.rglob("*.manifest"), key=lambda path: path.name)
        number, previous, last = 0, ZEROS, 0
        for path in paths:
            text = path.read_bytes()
            manifest = self.believed(path, text, gateway)
            if manifest is None:
                continue
            self.manifests += 1
            if manifest["gateway"] != gateway or manifest["number"] != number + 1:
                self.say(path, f"manifest {manifest['number']} after {number}")
            elif manifest["previous"] != previous:
                self.say(path, "does not follow the one before")
            number, previous = manifest["number"], hashlib.sha256(text).hexdigest()
            for segment in manifest["segments"]:
                for file in segment["files"]:
                    if not file["path"].endswith(f"/{gateway}-{segment['segment']:010}.parquet"):
                        self.say(path, f"names {file['path']}, which belongs to another")
                if segment["rows"] and segment["first"] != last + 1:
                    self.say(path, f"event {segment['first']} after {last}")
                last = max(last, segment["last"])
                self.segment(path, segment)
            if manifest["last"] != last:
                self.say(path, f"says that event {manifest['last']} is the last, not {last}")
        if number == 0:
            self.say(folder, "holds no manifest of this gateway")

    def believed(self, path, text, gateway):
        first, _, second = text.partition(b"\n")
        try:
            signature = bytes.fromhex(json.loads(second)["signature"])
            key = self.keys.get(gateway) or self.keys[""]
            key.verify(signature, SIGNED_PREFIX + first)
            return json.loads(first)
        except (InvalidSignature, ValueError, KeyError) as error:
            self.say(path, f"not signed by this key ({error!r})")
            return None

    def segment(self, manifest, segment):
        found = []
        for file in segment["files"]:
            self.named.add(file["path"])
            path = self.store / file["path"]
            if not path.exists():
                self.say(file["path"], "is missing")
                return
            if hashlib.sha256(path.read_bytes()).hexdigest() != file["sha256"]:
                self.say(file["path"], "is not the file that was signed")
                return
            found += rows(path)
        found.sort(key=lambda row: row["number"])
        leaves = [leaf(row) for row in found]
        for row, computed in zip(found, leaves):
            if row["hash"] != computed:
                self.say(manifest, f"event {row['number']} has another hash: {row}")
        if root(leaves).hex() != segment["root"] or len(found) != segment["rows"]:
            self.say(manifest, f"segment {segment['segment']} has another root")
        self.events += len(found)


def main():
    archive = Archive(*sys.argv[1:])
    archive.check()
    for wrong in archive.wrong:
        print(wrong)
    if archive.wrong:
        return 1
    print(f"{archive.manifests} manifests, {archive.events} events")
    return 0


if __name__ == "__main__":
    sys.exit(main())
