"""The faults. Each makes one, checks what became of it, and returns what was seen."""

import contextlib
import http.client
import itertools
import json
import os
import pathlib
import random
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from place import NotHeld, NotPossible, check, postgres_programs, run, until
from wire import Refused, Wire, fields, query, startup

BIG = "SELECT i, repeat('x', 1000) FROM generate_series(1, 1000000) i"


def unharmed(gateway):
    """It serves others as if nothing had been, and nothing in it panicked."""
    gateway.alive()
    began = time.monotonic()
    wire = until("a new client is served", lambda: serves(gateway), 10)
    wire.close()
    check(gateway.readyz() == 200, "/readyz is not 200")
    check("panicked" not in gateway.log(), "something in it panicked")
    return time.monotonic() - began


def serves(gateway):
    with contextlib.suppress(OSError, Refused):
        wire = Wire(gateway.postgres, gateway.bystander, timeout=5)
        check(wire.ask("SELECT id, ssn FROM customers WHERE id = 7") == [["7", "[REDACTED]"]],
              "a masked value was not masked")
        return wire


def over(gateway):
    """Waits until no session is left."""
    until("no session is left", lambda: gateway.json("sessions", "--live") == [], 30)


class Crowd:
    """Connections that are kept, and closed together."""

    def __init__(self):
        self.all = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for one in self.all:
            one.close()

    def add(self, one):
        self.all.append(one)
        return one


# ---------------------------------------------------------------- peers that go away


def upstream_dies(gateway, size):
    """The server dies while it sends a large result to several clients."""
    clients = size(20, 5)
    with Crowd() as crowd:
        for _ in range(clients):
            wire = crowd.add(Wire(gateway.postgres, gateway.agent))
            wire.send(query(BIG))
            got = 0
            while got < 1 << 20:
                got += wire.more()
        gateway.server.die()
        began = time.monotonic()
        for wire in crowd.all:
            kinds = set()
            with contextlib.suppress(ConnectionError):
                while True:
                    kinds.add(wire.receive()[0])
            check(b"C" not in kinds, "a result that broke off was called complete")
        seconds = time.monotonic() - began
    over(gateway)
    for one in gateway.json("sessions", "--principal", "agent"):
        events = gateway.json("show", one["id"])["events"]
        ends = [event.get("outcome") or event.get("reason") for event in events[-2:]]
        check(ends == ["cut", "upstream_closed"], f"the record says {ends}")
    gateway.server.start()
    seen = unharmed(gateway)
    return (f"{clients} clients in the middle of a result of 1 GB: each was cut off within "
            f"{seconds:.1f} s, none was told that its result is complete, the record says `cut`, "
            f"`upstream_closed`; a new client was served {seen:.1f} s after the server was back")


def client_vanishes(gateway, size):
    """Clients are gone while their statements wait for a person; then the person says yes."""
    clients = size(60, 12)
    person = gateway.token("dora", "dba", "person")
    wires = []
    for number in range(clients):
        wires.append(Wire(gateway.postgres, gateway.agent))
        wires[-1].send(query(f"INSERT INTO held VALUES ('{number}')"))

    def waiting():
        found = [one["id"] for one in gateway.json("approvals")]
        return found if len(found) >= clients else None

    asked = until("all are asked about", waiting)
    check(gateway.server.sql("SELECT count(*) FROM held") == "0", "it ran before the yes")
    for number, wire in enumerate(wires):
        (wire.vanish if number % 2 else wire.close)()
    over(gateway)
    said = [gateway.narrows("approve", each, "--token", person)[0] for each in asked]
    time.sleep(1)
    check(gateway.server.sql("SELECT count(*) FROM held") == "0", "it ran for nobody")
    unharmed(gateway)
    taken = sum(answer is not None for answer in said)
    return (f"{clients} clients gone (reset or closed) while held: no session stayed, and none of "
            f"the statements ran, though {taken} of the questions were still answered yes")


# ---------------------------------------------------------------- the gateway itself ends


def load(gateway, name, mode):
    """Starts clients that insert without pause; returns the process."""
    script = gateway.folder / f"{name}.sql"
    script.write_text(
        "\\set id random(1, 1000000000000)\n"
        f"INSERT INTO notes (body) VALUES ('{name}-' || :id || '-' || :client_id);\n"
    )
    environment = os.environ | {"PGPASSWORD": gateway.token(name), "PGSSLMODE": "disable"}
    words = ["-h", "127.0.0.1", "-p", str(gateway.postgres), "-U", "x", "-n", "-M", mode]
    words += ["-c", "6", "-j", "2", "-t", "1000000", "-f", str(script), "shop"]
    return subprocess.Popen(
        [postgres_programs() / "pgbench", *words], env=environment,
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )


def executed(gateway, name):
    text = gateway.server.sql(f"SELECT body FROM notes WHERE body LIKE '{name}-%'")
    return text.splitlines()


def recorded(gateway, name):
    """The statements of this principal that were let through, with their values put in."""
    text, said = gateway.narrows("audit", "export", "--principal", name, "--format", "jsonl")
    check(text is not None, f"audit export: {said[-600:]}")
    for event in map(json.loads, text.splitlines()):
        if event["kind"] == "operation" and event["decision"] in ("allow", "mask"):
            statement = event["text"]
            for number, parameter in enumerate(event.get("parameters") or [], 1):
                statement = statement.replace(f"${number}", parameter["value"])
            yield statement


def recorded_bodies(gateway, name):
    """What the statements of `load` insert."""
    form = re.compile(rf"VALUES \('({name}-)' \|\| (\d+) \|\| '(-)' \|\| (\d+)\)")
    found = map(form.search, recorded(gateway, name))
    return {"".join(match.groups()) for match in found if match}


def kill_9(gateway, size):
    """`kill -9` under load, again and again. What ran must be in the record."""
    ran = 0
    rounds = size(10, 2)
    for number in range(rounds):
        name = f"kill{number}"
        pgbench = load(gateway, name, ["simple", "extended"][number % 2])
        try:
            until("the load is on", lambda name=name: len(executed(gateway, name)) > 400)
            time.sleep(random.uniform(0, 0.7))
            gateway.kill()
        finally:
            pgbench.kill()
            pgbench.wait()
        count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'pgbench'"
        until("the server ended it", lambda count=count: gateway.server.sql(count) == "0")
        began = time.monotonic()
        gateway.start()
        slowest = time.monotonic() - began
        there = executed(gateway, name)
        lost = sorted(set(there) - recorded_bodies(gateway, name))
        check(not lost, f"round {number}: {len(lost)} of {len(there)} lost, {lost[:3]}")
        ran += len(there)
    open_ones = [one for one in gateway.json("sessions") if one["ended_at"] is None]
    check(not open_ones, f"sessions stay open: {open_ones}")
    unharmed(gateway)
    events = gateway.whole()
    return (f"{rounds} kills, simple and extended protocol: {ran} statements ran, "
            f"**0 of them lost** from the record; ready again within {slowest:.1f} s; "
            f"`audit verify`: {events} events, whole and unchanged")


def drain(gateway, size):
    """SIGTERM while clients work, wait, and do nothing at all."""
    long = size(True, False)
    seen = {}

    def sleeper():
        wire = Wire(gateway.postgres, gateway.agent, timeout=60)
        seen["sleeper"] = wire.ask("SELECT 'slept' FROM pg_sleep(3)")
        wire.close()

    def transaction():
        wire = Wire(gateway.postgres, gateway.agent, timeout=60)
        wire.ask("BEGIN")
        for number in range(10):
            wire.ask(f"INSERT INTO notes VALUES ('drain-{number}')")
            time.sleep(0.4)
        wire.ask("COMMIT")
        seen["transaction"] = True
        wire.close()

    def request():
        client = http.client.HTTPConnection("127.0.0.1", gateway.http, timeout=60)
        client.request("GET", "/r/api/slow/3", headers={"authorization": f"Bearer {gateway.agent}"})
        answer = client.getresponse()
        seen["request"] = answer.status, answer.read()
        client.close()

    idle = Wire(gateway.postgres, gateway.agent, timeout=60) if long else None
    def told(work):
        try:
            work()
        except Exception as error:
            seen[work.__name__] = error

    works = (sleeper, transaction, request)
    threads = [threading.Thread(target=told, args=(work,), daemon=True) for work in works]
    for thread in threads:
        thread.start()
    time.sleep(1)
    began = time.monotonic()
    gateway.signal(signal.SIGTERM)
    time.sleep(0.5)
    try:
        Wire(gateway.postgres, gateway.agent, timeout=5)
        raise NotHeld("a new session was let in after SIGTERM")
    except (OSError, Refused):
        pass
    for thread in threads:
        thread.join(60)
    check(seen.get("sleeper") == [["slept"]], f"a statement under way was cut off: {seen}")
    check(seen.get("transaction") is True, f"a transaction under way was cut off: {seen}")
    answer = (200, json.dumps({"path": "/slow/3"}).encode())
    check(seen.get("request") == answer, f"a request under way was cut off: {seen}")
    if idle:
        try:
            idle.answer()
            raise NotHeld("an idle session was told nothing")
        except Refused as error:
            check(error.code == "57P01", f"an idle session was told {error}")
    status = gateway.process.wait(60)
    seconds = time.monotonic() - began
    check(status == 0, f"it ended with {status}")
    check(seconds < 40, f"it took {seconds:.0f} s")
    there = gateway.server.sql("SELECT count(*) FROM notes WHERE body LIKE 'drain-%'")
    check(there == "10", f"{there} of 10 rows are there")
    gateway.start()
    unharmed(gateway)
    gateway.whole()
    rest = "an idle session was ended with 57P01 after 30 s; " if idle else ""
    return ("nobody new was let in; a statement, a transaction and an HTTP request under way came "
            f"to their ends; {rest}it ended with 0 after {seconds:.0f} s")


# ---------------------------------------------------------------- too little of something


DESCRIPTORS = 256


def descriptors(gateway, size):
    """More clients than descriptors."""
    clients = size(1000, 300)
    gateway.kill()
    gateway.before = f"ulimit -n {DESCRIPTORS};"
    gateway.start()
    with Crowd() as crowd:
        session = crowd.add(Wire(gateway.postgres, gateway.bystander))
        let_in = 0
        for _ in range(clients):
            one = crowd.add(socket.socket())
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.connect(("127.0.0.1", gateway.postgres))
        until("it has no descriptor left", lambda: gateway.descriptors() >= DESCRIPTORS - 2)
        used, slowest = gateway.processor(), 0.0
        for _ in range(20):
            began = time.monotonic()
            check(session.ask("SELECT 1") == [["1"]], "a session that was there is not served")
            slowest = max(slowest, time.monotonic() - began)
            time.sleep(0.25)
        used = gateway.processor() - used
        let_in = gateway.descriptors()
        check(used < 2.5, f"it spun: {used:.1f} s of processor in 5 s")
    check("cannot accept clients now" in gateway.log(), "it did not say that it has none left")
    seconds = unharmed(gateway)
    until("descriptors are given back", lambda: gateway.descriptors() < 60)
    events = gateway.whole()
    return (f"{clients} connections with `ulimit -n {DESCRIPTORS}` ({let_in} in use): a session "
            f"that was there went on (slowest answer {slowest * 1000:.0f} ms, {used / 5:.0%} of a "
            f"processor), the log says so; a new client was served {seconds:.1f} s after they "
            f"left; {events} events verified")


class Memory:
    """A group of processes with a limit of memory, of either version of cgroups."""

    def __init__(self, mebibytes):
        self.limit = mebibytes
        root = pathlib.Path("/sys/fs/cgroup")
        self.old = (root / "memory").is_dir()
        self.folder = (root / "memory" if self.old else root) / f"narrows-faults-{os.getpid()}"
        try:
            self.folder.mkdir()
            self.write("memory.limit_in_bytes" if self.old else "memory.max", mebibytes << 20)
        except OSError as error:
            raise NotPossible(f"no memory cgroup can be made here: {error}") from error

    def write(self, name, value):
        (self.folder / name).write_text(str(value))

    def read(self, old, new):
        return int((self.folder / (old if self.old else new)).read_text().split()[0])

    def peak(self):
        """The most that it ever was, page cache and sockets with it, MiB."""
        return self.read("memory.max_usage_in_bytes", "memory.peak") / (1 << 20)

    def killed(self):
        name = "memory.oom_control" if self.old else "memory.events"
        for line in (self.folder / name).read_text().splitlines():
            if line.startswith("oom_kill "):
                return int(line.split()[1])
        return 0

    def remove(self):
        with contextlib.suppress(OSError):
            self.folder.rmdir()


def greedy(gateway, size, clients, ask, what, connect=None):
    """Many clients that take more than they should, and a limit of memory around the gateway.

    They speak PostgreSQL, unless they `connect` otherwise.
    """
    def session():
        return Wire(gateway.postgres, gateway.agent, window=8192, timeout=60)

    limit = size(2048, 512)
    gateway.kill()
    memory = Memory(limit)
    gateway.before = f"echo $$ >{memory.folder}/cgroup.procs;"
    try:
        gateway.start()
        before, slowest, answers = gateway.rss(), 0.0, 0
        with Crowd() as crowd:
            bystander = crowd.add(Wire(gateway.postgres, gateway.bystander))
            for number in range(clients):
                ask(crowd.add((connect or session)()))
                if number % 25 == 0:
                    began = time.monotonic()
                    check(bystander.ask("SELECT 1") == [["1"]], "the bystander is not served")
                    slowest, answers = max(slowest, time.monotonic() - began), answers + 1
            for _ in range(size(40, 10)):
                began = time.monotonic()
                check(bystander.ask("SELECT 1") == [["1"]], "the bystander is not served")
                slowest, answers = max(slowest, time.monotonic() - began), answers + 1
                time.sleep(0.25)
            gateway.alive()
            check(memory.killed() == 0, "the kernel killed something of it")
            peak, group = gateway.peak(), memory.peak()
        if not connect:
            over(gateway)
        unharmed(gateway)
        time.sleep(size(5, 1))
        after = gateway.rss()
        gateway.whole()
        return (f"{clients} clients {what}, cgroup limit {limit} MiB: resident {before:.0f} → at "
                f"most {peak:.0f} → {after:.0f} MiB after they left, group at most {group:.0f} MiB "
                f"with page cache, nothing killed; a bystander's slowest answer of {answers}: "
                f"{slowest * 1000:.0f} ms")
    finally:
        if gateway.process.poll() is None:
            gateway.kill()
        memory.remove()


def greedy_readers(gateway, size):
    """Huge results that nobody reads."""
    return greedy(gateway, size, size(1000, 80), lambda wire: wire.send(query(BIG)),
                  "that ask for 1 GB each and read nothing")


def greedy_writers(gateway, size):
    """Statements of nearly the longest that is allowed, never finished."""
    def ask(wire):
        wire.socket.settimeout(2)
        with contextlib.suppress(OSError):
            wire.send(b"Q" + struct.pack("!i", 1_000_000) + b"x" * 990_000)

    return greedy(gateway, size, size(1000, 80), ask,
                  "that send 990 KB of a statement of 1 MB, and stop")


def greedy_values(gateway, size):
    """Values and rows that are as long as they may be, and never whole."""
    bind = b"\0\0\0\0\0\1" + struct.pack("!i", 60_000_000)
    turn, told = itertools.count(), []

    def ask(wire):
        wire.socket.settimeout(5)
        if next(turn) % 10 == 9:
            wire.send(query("SELECT repeat('x', 100000000)"))
            return
        with contextlib.suppress(OSError):
            wire.send(b"B" + struct.pack("!i", len(bind) + 60_000_006) + bind)
            for _ in range(50):
                wire.send(b"x" * 1_000_000)
        wire.socket.settimeout(0.2)
        with contextlib.suppress(OSError):
            while True:
                kind, body = wire.receive()
                if kind == b"E":
                    told.append(fields(body)["C"])

    clients = size(60, 20)
    seen = greedy(gateway, size, clients, ask, "that send 50 MB of a value of 60 MB and stop, or "
                  "ask for a row of 100 MB and do not read it")
    check(set(told) == {"53200"}, f"those that were too many were told {set(told)}")
    return seen + f"; {len(told)} past the common bound were told 53200"


def greedy_http(gateway, size):
    """Long replies of an API that nobody reads."""
    def connect():
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8192)
        client.settimeout(60)
        client.connect(("127.0.0.1", gateway.http))
        return client

    def ask(client):
        client.sendall(f"GET /r/api/many/1000 HTTP/1.1\r\nhost: api\r\nauthorization: Bearer "
                       f"{gateway.agent}\r\n\r\n".encode())
        answer = client.recv(12)
        check(answer == b"HTTP/1.1 200", f"it answers {answer}")

    return greedy(gateway, size, size(1000, 80), ask,
                  "that ask an API for 1 GB each and read nothing", connect)


def full_disk(gateway, size):
    """The disk under the data folder is full, and then is not."""
    rounds = size(5, 2)
    gateway.stop()
    folder = gateway.folder / "var"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "tmpfs", str(folder)],
        capture_output=True, text=True, check=False,
    )
    if mounted.returncode != 0:
        raise NotPossible(f"no disk can be mounted: {mounted.stderr.strip()}")
    try:
        gateway.start()
        agent = gateway.token("full")
        wires, denied, slowest = [Wire(gateway.postgres, agent)], set(), 0.0
        more = itertools.count()

        def insert(body):
            """Whether it ran."""
            try:
                # Longer than what may be left of a block.
                wires[0].ask(f"INSERT INTO notes VALUES ('{body}') /* {'x' * 20000} */")
                return True
            except Refused as error:
                check(error.code == "58030", f"refused with {error}")
                denied.add(body)
            except ConnectionError:
                # Its last reply could not be recorded.
                wires[0] = Wire(gateway.postgres, agent)
            return False

        def unready():
            insert(f"full-more-{next(more)}")
            return gateway.readyz() == 503

        for number in range(rounds):
            check(insert(f"full-{number}-before"), "refused before the disk is full")
            with Filler(folder):
                for turn in range(20):
                    insert(f"full-{number}-{turn}")
                until("/readyz says so", unready)
            began = time.monotonic()
            until("it is ready again", lambda: gateway.readyz() == 200)
            slowest = max(slowest, time.monotonic() - began)
            check(insert(f"full-{number}-after"), "refused although there is room again")
        wires[0].close()
        check(len(denied) >= 15 * rounds, f"only {len(denied)} statements were refused")
        ran = gateway.server.sql("SELECT body FROM notes WHERE body LIKE 'full-%'").split()
        text = "\n".join(recorded(gateway, "full"))
        lost = [body for body in ran if f"'{body}'" not in text]
        check(not lost, f"ran and is not recorded: {lost}")
        check(not denied.intersection(ran), f"refused and ran: {denied.intersection(ran)}")
        gateway.bystander, gateway.agent = gateway.token("bystander"), gateway.token("agent")
        unharmed(gateway)
        events = gateway.whole()
        return (f"{rounds} times full and free again: {len(denied)} statements refused (58030) and "
                f"none of them ran, {len(ran)} ran and all of them are recorded; /readyz was 503, "
                f"and 200 by itself {slowest:.1f} s after there was room; {events} events, whole "
                "and unchanged")
    finally:
        if gateway.process.poll() is None:
            gateway.kill()
        run(["umount", str(folder)])


class Filler:
    """Keeps a disk full, whatever others delete on it."""

    def __init__(self, folder):
        self.path, self.over = folder / "filler", threading.Event()
        self.thread = threading.Thread(target=self.fill, daemon=True)

    def fill(self):
        with open(self.path, "wb", buffering=0) as file:
            while not self.over.wait(0.01):
                with contextlib.suppress(OSError):
                    while True:
                        file.write(b"\7" * 4096)

    def __enter__(self):
        self.thread.start()
        time.sleep(0.3)

    def __exit__(self, *_):
        self.over.set()
        self.thread.join()
        self.path.unlink()


JUMPS = [5 * 3600, -7 * 3600, 400 * 86400, 0]


def clock(gateway, size):
    """The machine's clock jumps while sessions live."""
    gateway.kill()
    source = pathlib.Path(__file__).resolve().parents[2] / "tests/e2e/c/faults.c"
    library, orders = gateway.folder / "faults.so", gateway.folder / "orders"
    run(["cc", "-shared", "-fPIC", "-O1", "-o", str(library), str(source), "-ldl"])
    orders.write_bytes(bytes(8 + 4096))
    # The gateway alone lives in another time; its commands do not.
    gateway.before = f"LD_PRELOAD={library} FAULTS={orders}"
    gateway.start()
    wire = Wire(gateway.postgres, gateway.agent)
    jumps = JUMPS * size(3, 1)
    for seconds in jumps:
        with open(orders, "r+b") as file:
            file.write(struct.pack("=q", seconds))
        check(wire.ask("SELECT 1") == [["1"]], "a session did not survive a jump")
        unharmed(gateway)
        new = Wire(gateway.postgres, gateway.token(f"at{seconds}"))
        check(new.ask("SELECT 1") == [["1"]], "a token made now is not taken")
        new.close()
        time.sleep(1.5)
    check(wire.ask("SELECT 1") == [["1"]], "the session that lived through all of it")
    wire.close()
    events = gateway.whole()
    return (f"{len(jumps)} jumps (+5 h, −7 h, +400 days, back): a session lived through all of "
            f"them, new ones and new tokens worked at once; {events} events, whole and unchanged")


# ---------------------------------------------------------------- bad input


def listeners(gateway):
    return {
        "postgres": gateway.postgres, "http": gateway.http, "egress": gateway.egress,
        "admin": gateway.admin,
    }


def slow_loris(gateway, size):
    """Clients that send a byte a second, on every listener."""
    each = size(200, 25)
    beginnings = {
        "postgres": startup()[:-1] + b"\0" * 200,
        "http": b"GET /r/api/x HTTP/1.1\r\nhost: x\r\nx-slow: " + b"a" * 400,
        "egress": b"GET http://example.invalid/ HTTP/1.1\r\nhost: x\r\nx-slow: " + b"a" * 400,
        "admin": b"GET /readyz HTTP/1.1\r\nhost: x\r\nx-slow: " + b"a" * 400,
    }
    crowd = []
    for name, number in listeners(gateway).items():
        for _ in range(each):
            one = socket.create_connection(("127.0.0.1", number), timeout=10)
            one.setblocking(False)
            crowd.append([name, one, 0])
    began, ended, slowest, before = time.monotonic(), {}, 0.0, gateway.rss()
    while crowd:
        check(time.monotonic() - began < 100, f"{len(crowd)} are still let wait: "
              f"{sorted({name for name, *_ in crowd})}")
        for entry in list(crowd):
            name, one, sent = entry
            try:
                with contextlib.suppress(BlockingIOError):
                    one.send(beginnings[name][sent:sent + 1] or b"a")
                    entry[2] += 1
                with contextlib.suppress(BlockingIOError):
                    if one.recv(4096):
                        continue
                    raise ConnectionResetError
            except OSError:
                crowd.remove(entry)
                one.close()
                ended[name] = time.monotonic() - began
        turn = time.monotonic()
        unharmed(gateway)
        slowest = max(slowest, time.monotonic() - turn)
        time.sleep(0.8)
    grown = gateway.rss() - before
    ends = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in sorted(ended.items()))
    return (f"{each} clients on each of 4 listeners, a byte a second: all were sent away (last "
            f"after: {ends}); meanwhile others connected and were served within "
            f"{slowest * 1000:.0f} ms; memory {grown:+.0f} MiB")


def garbage(gateway, size):
    """Random bytes, and TLS that is none, on every listener."""
    each, luck = size(1500, 150), random.Random(7)
    tls = b"\x16\x03\x01"
    beginnings = {
        "postgres": [b"", startup(), struct.pack("!ii", 8, 80877103), tls, startup()[:20],
                     struct.pack("!ii", 8, 80877104), struct.pack("!i", 2**31 - 1)],
        "http": [b"", b"GET / HTTP/1.1\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", tls,
                 b"POST /r/api/ HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n",
                 b"GET /r/api/ HTTP/1.1\r\ncontent-length: 99999999999999999999\r\n\r\n"],
        "egress": [b"", b"CONNECT x:443 HTTP/1.1\r\n\r\n", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", tls,
                   b"GET http://[::1]:1/ HTTP/1.1\r\n", b"CONNECT \xff:0 HTTP/1.1\r\n\r\n"],
        "admin": [b"", b"GET /readyz HTTP/1.1\r\n", tls, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
                  b"POST /api/v1/tokens HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\r\n{\"\xff"],
    }
    before, tried, sent, began = gateway.descriptors(), 0, 0, time.monotonic()
    first, lines = None, gateway.log().count("\n")
    for turn in range(each):
        for name, number in listeners(gateway).items():
            head = luck.choice(beginnings[name])
            if head == tls:
                # A record of some kind and length, with a hello that is none.
                head += struct.pack("!H", luck.randrange(1, 20000)) + luck.choice([b"", b"\1\0"])
            with contextlib.suppress(OSError), socket.create_connection(
                ("127.0.0.1", number), timeout=5
            ) as one:
                one.settimeout(0.05)
                tried += 1
                one.sendall(head)
                if head == struct.pack("!ii", 8, 80877103):
                    one.recv(1)
                body = luck.randbytes(luck.choice([0, 1, 7, 100, 5000]))
                one.sendall(body)
                sent += len(head) + len(body)
                if luck.random() < 0.5:
                    one.shutdown(socket.SHUT_WR)
                    one.recv(4096)
        if turn == each // 4:
            first = gateway.rss()
        if turn % 100 == 0:
            unharmed(gateway)
    until("descriptors are given back", lambda: gateway.descriptors() <= before + 20, 90)
    grown = gateway.rss() - first
    check(grown < 32, f"it grew by {grown:.0f} MiB")
    unharmed(gateway)
    for _ in range(400):
        client = http.client.HTTPConnection("127.0.0.1", gateway.admin, timeout=10)
        client.request("GET", "/api/v1/sessions")
        check(client.getresponse().status == 401, "the admin API answers without a token")
        client.close()
    lines, minutes = gateway.log().count("\n") - lines, (time.monotonic() - began) / 60
    refused = gateway.log().count("an administrative request was refused")
    check(refused <= 60 * (minutes + 2), f"{refused} refusals in the log in {minutes:.1f} minutes")
    return (f"{tried} connections with {sent / 1e6:.1f} MB of random bytes, TLS that is none, and "
            "well-begun messages of PostgreSQL, HTTP/1 and HTTP/2 that go on so, on all 4 "
            f"listeners: it served others, nothing panicked, memory {grown:+.0f} MiB over the last "
            f"three quarters, every descriptor given back; with 400 calls of the admin "
            f"API without a token {lines} lines of log")


# ---------------------------------------------------------------- for long


def soak(gateway, size):
    """Millions of operations, and memory that stays as it is.

    While it archives the gateway has more, and then less again. So the load comes in parts, and
    what stays is what it has after each, when nothing is left to archive.
    """
    clients, parts, operations = 8, size(4, 2), size(500_000, 12_000)
    environment = os.environ | {"PGPASSWORD": gateway.agent, "PGSSLMODE": "disable"}
    server = ["-h", "127.0.0.1", "-p", str(gateway.server.port), "-U", "app"]
    run([postgres_programs() / "pgbench", "-i", "-q", "-s", "5", *server, "shop"])
    words = ["-h", "127.0.0.1", "-p", str(gateway.postgres), "-U", "x", "-n", "-S"]
    words += ["-M", "prepared", "-c", str(clients), "-j", "2", "-t", str(operations // clients)]
    most, stays, seconds, behind = 0.0, [], 0.0, 0.0
    for _ in range(parts):
        began = time.monotonic()
        pgbench = subprocess.Popen(
            [postgres_programs() / "pgbench", *words, "shop"], env=environment,
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
        )
        try:
            while pgbench.poll() is None:
                gateway.alive()
                most = max(most, gateway.rss())
                time.sleep(0.5)
                check(time.monotonic() - began < 900, "it takes too long")
        finally:
            pgbench.kill()
        check(pgbench.returncode == 0, f"pgbench: {pgbench.stderr.read()[-600:]}")
        seconds += time.monotonic() - began
        began = time.monotonic()
        gateway.settle()
        behind = max(behind, time.monotonic() - began)
        time.sleep(3)
        stays.append(gateway.rss())
    operations *= parts
    said = " → ".join(f"{each:.0f}" for each in stays)
    check(stays[-1] <= 1.1 * stays[0] + 8, f"memory grew: {said} MiB")
    unharmed(gateway)
    found = [one["operations"] for one in gateway.json("sessions", "--principal", "agent")]
    check(sum(found) >= operations, f"{sum(found)} of {operations} operations are in the index")
    events = gateway.whole()
    check(events >= 2 * operations, f"{events} events of {operations} operations are archived")
    return (f"{operations:,} operations by {clients} clients in {seconds:.0f} s "
            f"({operations / seconds:,.0f} a second), each recorded with its reply: resident "
            f"{said} MiB after each {operations // parts:,}, at most {most:.0f} MiB while it works "
            f"and archives; the archive had caught up within {behind:.0f} s of the load's end; "
            f"{events:,} events, whole and unchanged, **0 lost**")


def reconnects(gateway, size):
    """A session for each transaction."""
    sessions = size(10_000, 600)
    environment = os.environ | {"PGPASSWORD": gateway.agent, "PGSSLMODE": "disable"}
    words = ["-h", "127.0.0.1", "-p", str(gateway.postgres), "-U", "x", "-n", "-C", "-c", "4"]
    script = gateway.folder / "one.sql"
    script.write_text("SELECT name FROM customers WHERE id = 1;\n")
    words += ["-j", "2", "-f", str(script), "-t", str(sessions // 8), "shop"]
    seen = []
    for _ in range(2):
        used, began = gateway.processor(), time.monotonic()
        run([postgres_programs() / "pgbench", *words], env=environment)
        seen.append((gateway.processor() - used, gateway.rss(), time.monotonic() - began))
    (first, _, _), (second, memory, _) = seen
    before = seen[0][1]
    check(memory <= 1.25 * before + 16, f"memory grew from {before:.0f} to {memory:.0f} MiB")
    check(second <= size(1.5, 3) * first, f"a session cost {first:.1f} s, then {second:.1f} s")
    until("descriptors are given back", lambda: gateway.descriptors() < 60)
    unharmed(gateway)
    gateway.whole()
    cost = [part[0] / (sessions / 2) * 1000 for part in seen]
    return (f"{sessions:,} sessions of one statement: processor time for each {cost[0]:.2f} ms in "
            f"the first half and {cost[1]:.2f} ms in the second, resident {seen[0][1]:.0f} and "
            f"{memory:.0f} MiB")


FAULTS = [
    ("upstream-dies", "the server dies in the middle of results", upstream_dies),
    ("client-vanishes", "clients vanish while their statements are held", client_vanishes),
    ("kill-9", "`kill -9` under load", kill_9),
    ("drain", "SIGTERM under load", drain),
    ("descriptors", "no file descriptor left", descriptors),
    ("greedy-readers", "little memory, and results that nobody reads", greedy_readers),
    ("greedy-writers", "little memory, and statements that never end", greedy_writers),
    ("greedy-values", "little memory, and values that are never whole", greedy_values),
    ("greedy-http", "little memory, and replies of an API that nobody reads", greedy_http),
    ("slow-loris", "slow-loris on every listener", slow_loris),
    ("full-disk", "the disk of the journal is full, and free again", full_disk),
    ("clock", "the clock jumps", clock),
    ("garbage", "random bytes and TLS that is none on every listener", garbage),
    ("reconnects", "a session for every statement", reconnects),
    ("soak", "many operations, flat memory", soak),
]
