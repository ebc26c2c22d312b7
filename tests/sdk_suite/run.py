"""Runs programs one after the other, each under a trace of its system calls.

    python run.py WORLD OUT PROGRAM...

A program is a file (cases/realtime.py) or a module (examples.basic.tools). What it says goes to
OUT/PROGRAM.out, what it asks of the network to OUT/PROGRAM.trace, how it ended to OUT/ended.json.
WORLD/case tells the world whose requests it receives.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

SECONDS_MAX = 90
TRACED = "socket,connect,bind,getsockname,sendto,sendmsg,sendmmsg"


def run(program, world, out):
    (world / "case").write_text(program)
    name = out / program.replace("/", "__")
    words = [program] if program.endswith(".py") else ["-m", program]
    trace = [
        "strace",
        "-f",
        "-qq",
        "--seccomp-bpf",
        "-s",
        "8",
        "-e",
        f"trace={TRACED}",
        "-o",
        f"{name}.trace",
    ]
    artifacts = Path(f"{name}.artifacts")
    artifacts.mkdir()
    environment = {**os.environ, "EXAMPLES_ARTIFACTS_DIR": str(artifacts)}
    with open(f"{name}.out", "wb") as said:
        child = subprocess.Popen(
            [*trace, "--", sys.executable, "-B", "-u", *words],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
        try:
            return child.wait(SECONDS_MAX)
        except subprocess.TimeoutExpired:
            return "did not end"
        finally:
            # What it left running belongs to it.
            try:
                os.killpg(child.pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            child.wait()


def main():
    world, out, *programs = sys.argv[1:]
    world, out = Path(world), Path(out)
    ended = {}
    for program in programs:
        ended[program] = run(program, world, out)
        print(f"  {program} {ended[program]}", flush=True)
        (out / "ended.json").write_text(json.dumps(ended))
    (world / "case").write_text("none")


main()
