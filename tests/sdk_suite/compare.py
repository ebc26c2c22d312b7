"""What scripts/sdk_suite.sh makes of its runs. A run is a folder PART.RUN with `said/` (what each
program said, its trace, how it ended), `world/received.jsonl` (what the world received), `ways`
(the gateway's listeners), and for a part of tests `report.xml` of JUnit.

examples SOURCE SKIPPED          prints the modules of SOURCE/examples that are run
count RUN                        prints how many passed, failed and were skipped
around RUN                       prints each attempt to reach anything but the gateway and what the
                                 program itself opened; fails if there is one
differ DIRECT RUN ACCEPTED       prints what differs from the direct run, unless ACCEPTED lists it
"""

import collections
import difflib
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

MAIN = re.compile(r"__name__\s*==\s*['\"]__main__['\"]")


def listed(path, *kinds):
    """Patterns of a list, where * stands for anything: the word after one of each of the kinds."""
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split("#")[0].split()
        known = (word in kind for word, kind in zip(words, kinds, strict=False))
        if len(words) > len(kinds) and all(known):
            yield re.compile(".*".join(map(re.escape, words[len(kinds)].split("*"))))


def examples(source, skipped):
    patterns = list(listed(skipped))
    for path in sorted(pathlib.Path(source, "examples").rglob("*.py")):
        module = ".".join(path.relative_to(source).with_suffix("").parts)
        if MAIN.search(path.read_text()) and not any(one.fullmatch(module) for one in patterns):
            print(module)


# What a run's own numbers, names and times become, so that two runs can be compared.
VARYING = [
    (re.compile(r"https?://(localhost|127\.0\.0\.1:\d+/r/openai)/v1/?"), "BASE_URL"),
    (re.compile(r"\b(trace|group|span)_[0-9a-f]{8,32}\b"), r"\1_ID"),
    (re.compile(r"\b([a-z]+)_[0-9a-f]{24}\b"), r"\1_ID"),
    (re.compile(r"\b[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}\b"), "UUID"),
    (re.compile(r"\b[0-9a-f]{16}\b"), "ID"),
    # The rest of one that a terminal's width broke off.
    (re.compile(r"^[0-9a-f]{2,31}$", re.MULTILINE), "ID"),
    # What a call went through is not what became of it: a proxy is a different way.
    (re.compile(r"^[ |]*File .*\n([ |]*[^|\s].*\n)?([ |]*[~^]+\n)?", re.MULTILINE), ""),
    (re.compile(r"\b0x[0-9a-f]{6,}\b"), "ADDRESS"),
    (re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d([.,]\d+)?(\+00:00|Z)?"), "TIME"),
    (re.compile(r"\d\d:\d\d:\d\d\b"), "TIME"),
    (re.compile(r"\b\d{14}-[0-9a-f]{12}\b"), "TIME-ID"),
    (re.compile(r"_\d{10}\b"), "_TIME"),
    (re.compile(r"\bChunk ID: [0-9a-f]{6}\b"), "Chunk ID"),
    # The provider's own, which holds the identifiers of what it sealed.
    (re.compile(r'("encrypted_content": )"[^"]*"'), r"\1SEALED"),
    (re.compile(r"\b\d{10}\.\d+\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+)? ?(s|ms|sec|seconds|milliseconds)\b"), "TIME"),
    (re.compile(r"\b(127\.0\.0\.1|localhost):\d{4,5}\b"), r"\1:PORT"),
    (
        re.compile(r"/\S*/(examples|cases|tests|integration)\.(direct|direct-base|base|proxy)/"),
        "/FOLDER/",
    ),
    (re.compile(r"/tmp/[\w.-]+"), "/tmp/NAME"),
    (re.compile(r"(started server process|process|pid)\b\D{0,4}\d+", re.IGNORECASE), r"\1 NUMBER"),
]


def plain(text):
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text)
    return text


def programs(run):
    """program → what can be compared of it, line by line"""
    folder = pathlib.Path(run, "said")
    ended = (
        json.loads((folder / "ended.json").read_text()) if (folder / "ended.json").exists() else {}
    )
    received = collections.defaultdict(list)
    log = pathlib.Path(run, "world/received.jsonl")
    for line in log.read_text().splitlines() if log.exists() else []:
        one = json.loads(line)
        received[one["case"]].extend(arrived(one))
    found = {}
    for program, code in ended.items():
        said = (folder / f"{program.replace('/', '__')}.out").read_text(errors="replace")
        # Tasks at once say and ask things in any order.
        lines = [f"ended: {code}", *sorted(f"said: {line}" for line in plain(said).splitlines())]
        found[program] = lines + sorted(f"received: {one}" for one in received[program])
    return found


def arrived(one):
    """What arrived, in the form that is compared: a trace's parts leave in batches of any size."""
    body = one["body"]
    if one["path"] == "/v1/traces/ingest" and isinstance(body, dict):
        for part in body["data"]:
            for varying in ("started_at", "ended_at"):
                part.pop(varying, None)
            yield plain(f"{one['kind']} trace {json.dumps(part, sort_keys=True)}")
        return
    yield plain(f"{one['kind']} {one['path']} {json.dumps(body, sort_keys=True)}")


def outcomes(report):
    """test → (outcome, what it asked of the network)"""
    found = {}
    for case in xml.parse(report).iter("testcase"):
        name = re.sub(r"\s+", "_", f"{case.get('classname')}.{case.get('name')}")
        outcome = "ok"
        for child in case:
            if child.tag in ("failure", "error"):
                outcome = "FAILED"
            elif child.tag == "skipped" and outcome == "ok":
                outcome = "skipped"
        network = {
            one.get("value") for one in case.iter("property") if one.get("name") == "network"
        }
        found[name] = (outcome, network)
    return found


def part_of(run):
    return pathlib.Path(run).name.split(".")


def count(run):
    part, way = part_of(run)
    report = pathlib.Path(run, "report.xml")
    if report.exists():
        found = outcomes(report)
        counts = collections.Counter(outcome for outcome, _ in found.values())
        talk = collections.Counter(outcome for outcome, network in found.values() if network)
        print(
            f"  {part:12} {way:11} {counts['ok']} ok, {counts['FAILED']} failed,"
            f" {counts['skipped']} skipped; {talk.total()} of them open connections or start"
            f" programs ({talk['ok']} ok)"
        )
        return
    found = programs(run)
    well = sum(lines[0] == "ended: 0" for lines in found.values())
    arrivals = collections.Counter(
        " ".join(line.split()[1:3])
        for lines in found.values()
        for line in lines
        if line.startswith("received: ")
    )
    print(
        f"  {part:12} {way:7} {well} of {len(found)} end well; received: "
        + ", ".join(f"{what} {times}" for what, times in arrivals.most_common(12))
    )


ADDRESS = re.compile(r'sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"')
CALL = re.compile(r"^(\d+) +(\w+)\((\d+)(?:<[^>]*>)?, (.*)$")


# Where the C library asks first, for names of users too. Where none runs nobody is asked, and a name
# of a host would go to a name server next.
NSCD = "/var/run/nscd/socket"


def around(run):
    """Each call that reaches for something else than the gateway or a listener of its own."""
    ways = set(pathlib.Path(run, "ways").read_text().split())
    past, through, own = collections.Counter(), 0, 0
    absent = not pathlib.Path(NSCD).exists()
    traces = sorted(pathlib.Path(run, "said").glob("*.trace"))
    for trace in traces:
        bound, files, waiting = set(), set(), set()
        calls = trace.read_text(errors="replace").splitlines()
        for line in calls:
            call = CALL.match(line)
            if not call:
                continue
            _, name, descriptor, rest = call.groups()
            address = ADDRESS.search(rest)
            path = re.search(r'sun_path=@?"([^"]*)', rest)
            if name == "bind" and address:
                bound.add(address[1])
                waiting.add(descriptor)
            elif name == "bind" and path:
                files.add(path[1])
            elif name == "getsockname" and address and descriptor in waiting:
                bound.add(address[1])
                waiting.discard(descriptor)
            elif name in ("connect", "sendto", "sendmsg", "sendmmsg"):
                if address:
                    port, host = address.groups()
                    local = host in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
                    if f"{host}:{port}" in ways:
                        through += 1
                    elif local and port != "53" and port in bound:
                        own += 1
                    else:
                        past[trace.stem, f"{host}:{port}"] += 1
                elif path and path[1] not in files and not (path[1] == NSCD and absent):
                    past[trace.stem, path[1]] += 1
    part, way = part_of(run)
    for (program, where), times in sorted(past.items()):
        print(f"  past the gateway: {part} {way} {program} {where} ({times} times)")
    print(
        f"  {part:12} {way:11} {len(traces)} traces: {through} connections to the gateway, {own} to"
        f" listeners of the program's own, {sum(past.values())} to anything else",
        flush=True,
    )
    return len(past) or not traces


def differ(direct, run, accepted):
    part, way = part_of(run)
    patterns = list(listed(accepted, {part}, {way, "both", "unstable"}))
    report = pathlib.Path(run, "report.xml")
    if report.exists():
        before, after = outcomes(pathlib.Path(direct, "report.xml")), outcomes(report)
        before = {test: [f"outcome: {outcome}"] for test, (outcome, _) in before.items()}
        after = {test: [f"outcome: {outcome}"] for test, (outcome, _) in after.items()}
    else:
        before, after = programs(direct), programs(run)
    unexpected = accepted_count = same = 0
    for one in sorted(before.keys() | after.keys()):
        left, right = before.get(one, ["missing"]), after.get(one, ["missing"])
        if left == right:
            same += 1
        elif any(pattern.fullmatch(one) for pattern in patterns):
            accepted_count += 1
        else:
            unexpected += 1
            print(f"  not accepted: {part} {way} {one}")
            for line in list(difflib.unified_diff(left, right, "direct", way, n=0, lineterm=""))[
                2:14
            ]:
                print(f"    {line[:400]}")
    print(
        f"  {part:12} {way:11} {same} the same, {accepted_count} differ with a reason,"
        f" {unexpected} without",
        flush=True,
    )
    return unexpected or not before


if __name__ == "__main__":
    command, *given = sys.argv[1:]
    verbs = {"examples": examples, "count": count, "around": around, "differ": differ}
    sys.exit(1 if verbs[command](*given) else 0)
