"""RELIABILITY.md, from one run."""

import pathlib
import platform
import subprocess
import time

from place import NARROWS, ROOT, postgres_programs


def said(*words):
    done = subprocess.run(words, capture_output=True, text=True, check=False, cwd=ROOT)
    return done.stdout.strip()


def machine():
    processor = "unknown"
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            processor = line.split(":", 1)[1].strip()
    cores = said("nproc")
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / (1 << 20)
    return f"{processor}, {cores} cores, {memory:.0f} GiB"


def commit():
    """What is checked out, to be asked before the faults begin."""
    changed = said("git", "status", "--porcelain", "--untracked-files=no")
    return said("git", "rev-parse", "--short", "HEAD") + (" with changes" if changed else "")


def write(faults, results, began, of):
    rows = []
    for name, words, _ in faults:
        verdict, seen, seconds = results[name]
        seen = " ".join(seen.replace("|", "\\|").split())
        rows.append(f"| {words} (`{name}`, {seconds:.0f} s) | {seen} | {verdict} |")
    text = TEXT.format(
        rows="\n".join(rows),
        held=sum(verdict == "held" for verdict, *_ in results.values()),
        all=len(results),
        machine=machine(),
        kernel=platform.release(),
        system=said("sh", "-c", ". /etc/os-release && echo $PRETTY_NAME"),
        postgres=said(str(postgres_programs() / "postgres"), "--version"),
        narrows=said(NARROWS, "--version"),
        rust=said("rustc", "--version"),
        date=time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(began)),
        minutes=(time.time() - began) / 60,
        commit=of,
    )
    (ROOT / "RELIABILITY.md").write_text(text)
    print("RELIABILITY.md is written")


TEXT = """\
# Reliability

What became of a gateway when things failed around it, seen by `just faults`. Written by that
command; do not edit.

Each fault is made of a real server, real clients and a gateway of its own: the release build,
with masks, approvals, recording with every reply, and an archive each second. Each has to be held
by what is checked, not by what is said: afterwards a new client is served and gets a masked value
masked, `/readyz` is 200, nothing in the log panicked, and where it says so the archive is
verified whole.

{held} of {all} held.

| fault | what was seen | verdict |
|---|---|---|
{rows}

## How to see it again

```sh
just faults                      # all of it, and this page
just faults --quick              # the same faults, small: about two minutes
just faults --only kill-9 drain  # those
just faults --sabotage --quick   # somebody kills the gateway in each of them: each has to fail
```

{date}, {minutes:.0f} minutes, commit {commit}, {narrows}, {rust}; {postgres}; {system}, Linux
{kernel}; {machine}. Other work was going on on the machine, so times are upper bounds of what is
usual, and no measure of speed: for that see [PERFORMANCE](PERFORMANCE.md).

## What is tried elsewhere

The tests (`./test`) make faults that need another build or more care: `kill -9` at any moment of
the journal (`just kills 200`), a disk that becomes read-only, a bucket that is away for longer
than the disk lasts, a torn journal, a damaged index, a shared state database that goes away,
gateways of a pair that are killed. Decoders are fuzzed (`just fuzz`), and the engine is simulated
over many seeds. [The threat model](docs/threat-model.md) names the tests that hold each promise.
"""
