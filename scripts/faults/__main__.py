"""Makes faults of a real machine, and checks what becomes of a real gateway.

    scripts/faults.sh                 every fault at full size, and RELIABILITY.md from it
    scripts/faults.sh --quick         the same faults, small: about two minutes
    scripts/faults.sh --only NAME…    those
    scripts/faults.sh --sabotage      kills the gateway in each of them: each must say so

It ends with 0 only when every fault was made and what is promised was seen. A small disk and a
limit of memory take root; `--allow-missing` lets a run pass that could not make them.
"""

import argparse
import pathlib
import sys
import threading
import time
import traceback

import report
from faults import FAULTS
from place import NARROWS, Api, Gateway, NotHeld, NotPossible, Server
from wire import Refused

# Waits for time-outs most of its time, so it goes on beside the others.
BESIDE = "slow-loris"


def saboteur(gateway, over):
    """Kills the gateway whenever it runs, from a moment after the fault began."""
    while not over.wait(0.2):
        if gateway.process and gateway.process.poll() is None:
            gateway.process.kill()


def make(name, fault, server, arguments, results):
    """Makes one fault, and notes its name, verdict and what was seen."""
    began, gateway, over = time.monotonic(), None, threading.Event()
    try:
        server.be_there()
        gateway = Gateway(server, Api())
        gateway.start()
        gateway.bystander, gateway.agent = gateway.token("bystander"), gateway.token("agent")
        if arguments.sabotage:
            threading.Thread(target=saboteur, args=(gateway, over), daemon=True).start()
        seen = fault(gateway, lambda full, quick: quick if arguments.quick else full)
        verdict = "held"
    except NotPossible as why:
        verdict, seen = "NOT RUN", str(why)
    except (NotHeld, Refused) as why:
        verdict, seen = "NOT HELD", str(why)
    except Exception as why:  # also what a fault did not foresee is a failure of it alone
        ours = [at for at in traceback.extract_tb(why.__traceback__) if at.name == fault.__name__]
        line = f" (faults.py:{ours[-1].lineno})" if ours else ""
        verdict, seen = "NOT HELD", f"{type(why).__name__}: {why}{line}"
    finally:
        over.set()
        if gateway:
            gateway.remove()
    seconds = time.monotonic() - began
    results[name] = (verdict, seen, seconds)
    print(f"{verdict:8}  {name}  ({seconds:.0f} s): {seen}", flush=True)


def main():
    words = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    words.add_argument("--quick", action="store_true", help="small: about two minutes")
    words.add_argument("--only", nargs="+", metavar="NAME", help="these faults")
    words.add_argument("--allow-missing", action="store_true",
                       help="what cannot be made here is said, and no failure")
    words.add_argument("--sabotage", action="store_true", help="every fault has to fail")
    arguments = words.parse_args()
    names = [name for name, *_ in FAULTS]
    for name in arguments.only or []:
        if name not in names:
            words.error(f"there is no fault {name}; there are {', '.join(names)}")
    if not pathlib.Path(NARROWS).is_file():
        words.error(f"{NARROWS} is not there: cargo build --release --locked -p narrows")

    chosen = [each for each in FAULTS if not arguments.only or each[0] in arguments.only]
    results, began, commit = {}, time.time(), report.commit()
    servers = [Server(), Server()]
    try:
        beside = [each for each in chosen if each[0] == BESIDE]
        threads = [
            threading.Thread(target=make, args=(name, fault, servers[1], arguments, results))
            for name, _, fault in beside
        ]
        for thread in threads:
            thread.start()
        for name, _, fault in chosen:
            if name != BESIDE:
                make(name, fault, servers[0], arguments, results)
        for thread in threads:
            thread.join()
    finally:
        for server in servers:
            server.remove()

    held = sum(verdict == "held" for verdict, *_ in results.values())
    missing = sum(verdict == "NOT RUN" for verdict, *_ in results.values())
    print(f"{held} passed, {len(results) - held - missing} failed, {missing} not run")
    if arguments.sabotage:
        believed = [name for name, (verdict, *_) in results.items() if verdict == "held"]
        print(f"sabotage: {', '.join(believed) or 'nothing'} was believed to be held")
        sys.exit(1 if believed else 0)
    if not arguments.quick and not arguments.only:
        report.write(FAULTS, results, began, commit)
    sys.exit(0 if held + missing * arguments.allow_missing == len(results) else 1)


main()
