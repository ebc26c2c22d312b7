"""What the faults happen to: a private PostgreSQL server, a gateway, an HTTP API."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
NARROWS = os.environ.get("NARROWS_BIN", str(ROOT / "target/release/narrows"))
MEGABYTE = b"x" * (1 << 20)
# Below the ports that the kernel gives to connections.
FIRST_PORT = 21500


class NotHeld(Exception):
    """What was promised is not what was seen."""


class NotPossible(Exception):
    """This machine cannot make the fault."""


def check(held, words):
    """Ends the fault unless it was held."""
    if not held:
        raise NotHeld(words)


def until(what, look, seconds=30.0):
    """Waits until `look` gives something, and returns it."""
    end = time.monotonic() + seconds
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise NotHeld(f"{what}: not within {seconds:.0f} s")
        time.sleep(0.05)


_ports = iter(range(FIRST_PORT, 32000))
_ports_lock = threading.Lock()


def port():
    """A port that nobody listens on and nobody else was given."""
    with _ports_lock:
        for number in _ports:
            with socket.socket() as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                with contextlib.suppress(OSError):
                    trial.bind(("127.0.0.1", number))
                    return number
    raise NotPossible("no port is free")


def run(words, **more):
    """Runs a command to its end and returns it; it must not fail."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **more)
    if done.returncode != 0:
        raise NotHeld(f"{' '.join(map(str, words[:4]))}…: {done.stderr.strip()[-600:]}")
    return done


def postgres_programs():
    """The folder of the newest PostgreSQL of this machine."""
    found = sorted(pathlib.Path("/usr/lib/postgresql").glob("*/bin"), key=lambda of: of.parts[-2])
    if not found:
        raise NotPossible("no PostgreSQL in /usr/lib/postgresql")
    return found[-1]


def as_postgres(words):
    """PostgreSQL does not run as root."""
    if os.getuid() != 0:
        return words
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups"]
    return [*user, "env", "-C", "/", *words]


class Server:
    """A private PostgreSQL server with what the faults read and write."""

    def __init__(self, connections=1200):
        self.programs = postgres_programs()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="narrows-faults-pg-", dir="/var/tmp"))
        self.port = port()
        if os.getuid() == 0:
            shutil.chown(self.folder, "postgres", "postgres")
        initdb = [self.programs / "initdb", "-D", self.folder / "data", "-U", "app", "-N"]
        run(as_postgres([*map(str, initdb), "-E", "UTF8", "--locale=C", "--auth=trust"]))
        with open(self.folder / "data/postgresql.conf", "a", encoding="utf-8") as file:
            file.write(
                f"port = {self.port}\nlisten_addresses = '127.0.0.1'\n"
                f"unix_socket_directories = ''\nfsync = off\nmax_connections = {connections}\n"
                "shared_buffers = 128MB\nlog_min_messages = fatal\n"
            )
        self.start()
        run([self.programs / "createdb", *self.address(), "shop"])
        self.sql(
            "CREATE TABLE customers (id int PRIMARY KEY, name text, ssn text);"
            "INSERT INTO customers SELECT i, 'name ' || i, (100000000 + i)::text"
            " FROM generate_series(1, 10000) i;"
            "CREATE TABLE notes (body text); CREATE TABLE held (body text)"
        )

    def address(self):
        return ["-h", "127.0.0.1", "-p", str(self.port), "-U", "app"]

    def control(self, *words):
        command = [self.programs / "pg_ctl", "-D", self.folder / "data", "-w", *words]
        return subprocess.run(
            as_postgres(list(map(str, command))),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False,
        )

    def start(self):
        begun = self.control("-t", "60", "-l", str(self.folder / "log"), "start")
        if begun.returncode != 0:
            raise NotPossible((self.folder / "log").read_text()[-600:])

    def be_there(self):
        """Starts again what an earlier fault may have left dead."""
        if self.control("status").returncode != 0:
            self.start()

    def die(self):
        """Ends at once, with everything it was doing."""
        self.control("-m", "immediate", "stop")

    def sql(self, text):
        """What the server itself says, past the gateway."""
        psql = [self.programs / "psql", *self.address(), "-d", "shop", "-XAtq"]
        return run([*map(str, psql), "-v", "ON_ERROR_STOP=1", "-c", text]).stdout.strip()

    def remove(self):
        self.die()
        shutil.rmtree(self.folder, ignore_errors=True)


class Api(http.server.ThreadingHTTPServer):
    """An HTTP API that answers with what it was asked, after the time that the path says, or with as
    many megabytes as it says."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self):
            many = re.search(r"/many/(\d+)", self.path)
            if many:
                self.megabytes(int(many.group(1)))
                return
            slow = re.search(r"/slow/(\d+)", self.path)
            time.sleep(int(slow.group(1)) if slow else 0)
            body = json.dumps({"path": self.path}).encode()
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def megabytes(self, count):
            self.send_response(200)
            self.send_header("content-type", "text/plain")
            self.send_header("content-length", str(count << 20))
            self.end_headers()
            with contextlib.suppress(OSError):
                for _ in range(count):
                    self.wfile.write(MEGABYTE)

        def log_message(self, *_):
            pass

    def __init__(self):
        # As many may wait to be accepted as one fault has clients.
        self.request_queue_size = 1024
        super().__init__(("127.0.0.1", port()), self.Handler)
        self.daemon_threads = True
        threading.Thread(target=self.serve_forever, daemon=True).start()


CONFIG = """\
data_dir: ./var
listen:
  admin: 127.0.0.1:{admin}
  postgres: 127.0.0.1:{postgres}
  http: 127.0.0.1:{http}
  egress: 127.0.0.1:{egress}
resources:
  shop: {{ type: postgres, address: "127.0.0.1:{server}", database: shop, user: app,
          password: {{env: UPSTREAM_PASSWORD}}, tls: off }}
  api: {{ type: http, url: "http://127.0.0.1:{api}" }}
  internet: {{ type: egress }}
access:
  - {{ groups: [agents], resources: [shop, api, internet] }}
recording: {{ archive_every: 1s, keep_journal: 0 }}
rules:
  - name: mask-ssn
    mask: {{ fields: [ssn], with: redact }}
  - name: no-destruction
    on: ["type:postgres"]
    when: sql.verbs.exists(v, v in ["drop", "truncate"])
    block: "destructive statement"
  - name: ask-first
    when: sql.writes.exists(t, t == "public.held")
    approve: {{ by: [dba], wait: 2m, expires: 10m, grant: once }}
"""


class Gateway:
    """A gateway in a folder of its own, with whatever limits a fault needs."""

    def __init__(self, server, api=None):
        self.server = server
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="narrows-faults-gw-", dir="/var/tmp"))
        self.admin, self.postgres, self.http, self.egress = port(), port(), port(), port()
        text = CONFIG.format(
            admin=self.admin, postgres=self.postgres, http=self.http, egress=self.egress,
            server=server.port, api=api.server_port if api else 9,
        )
        (self.folder / "narrows.yaml").write_text(text)
        self.environment = {"UPSTREAM_PASSWORD": "unused", "NARROWS_LOG": "info", "NO_COLOR": "1"}
        self.before = ""  # what the shell does before it becomes the gateway
        self.process = None

    def start(self):
        # SIGXFSZ would end the process where a write past a limit has to fail.
        script = f"trap '' XFSZ; {self.before} exec \"$0\" serve -c narrows.yaml"
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                ["sh", "-c", script, NARROWS], cwd=self.folder, stderr=log,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                env=os.environ | self.environment,
            )
        until("the gateway is ready", lambda: self.alive() and self.readyz() == 200)
        return self

    def alive(self):
        check(self.process.poll() is None, f"the gateway ended: {self.log()[-600:]}")
        return True

    def log(self):
        return (self.folder / "log").read_text(errors="replace")

    def readyz(self):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as said:
                return said.status
        except urllib.error.HTTPError as error:
            return error.code
        except OSError:
            return None

    def signal(self, number):
        self.process.send_signal(number)

    def kill(self):
        self.signal(signal.SIGKILL)
        self.process.wait(20)

    def stop(self):
        """Asks it to end; everything is archived then."""
        self.signal(signal.SIGTERM)
        status = self.process.wait(60)
        check(status == 0, f"it ended with {status}: {self.log()[-600:]}")

    def narrows(self, *words):
        """Its commands; `None` and what they said when they say no."""
        done = subprocess.run(
            [NARROWS, *words], cwd=self.folder, capture_output=True, text=True, check=False,
            env=os.environ | self.environment,
        )
        return (done.stdout if done.returncode == 0 else None), done.stdout + done.stderr

    def json(self, *words):
        text, said = self.narrows(*words, "--json")
        check(text is not None, f"narrows {words[0]}: {said[-600:]}")
        return json.loads(text)

    def token(self, name, group="agents", kind="agent"):
        return self.json("token", "create", name, "--group", group, "--kind", kind)["token"]

    def status(self, name):
        text = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(rf"^{name}:\s+(\d+)", text, re.M).group(1)) / 1024

    def rss(self):
        """Resident memory, MiB."""
        return self.status("VmRSS")

    def peak(self):
        return self.status("VmHWM")

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))

    def processor(self):
        """Seconds that it used so far."""
        text = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text()
        fields = text.rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def archived(self):
        """The number of the last event that is archived."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/metrics", timeout=30) as said:
            return int(re.search(r"archive_last_event (\d+)", said.read().decode()).group(1))

    def settle(self):
        """Waits until it has nothing left to archive, which it does beside everything else."""
        last, used = None, None
        while True:
            now, cost = self.archived(), self.processor()
            if now == last and cost - used < 0.1:
                return
            last, used = now, cost
            time.sleep(2)

    def whole(self):
        """Stops it and has the archive checked; returns how many events are in it.

        A gateway that has much to archive yet says so when it ends, and goes on with it when it is
        started again.
        """
        for _ in range(10):
            said = len(self.log())
            self.stop()
            if "the archive is behind" not in self.log()[said:]:
                break
            self.start()
            self.settle()
        text, said = self.narrows("audit", "verify")
        check(text is not None and "whole and unchanged" in text, f"audit verify: {said[-600:]}")
        return int(re.search(r"(\d+) events", text).group(1))

    def remove(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait(20)
        shutil.rmtree(self.folder, ignore_errors=True)
