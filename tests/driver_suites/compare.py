"""What scripts/driver_suites.sh makes of the suites' reports: SUITE.RUN.xml of JUnit, SUITE.RUN.go, the
events of `go test -json`, or a folder with what each test said: SUITE.RUN.tap of Perl, SUITE.RUN.node of Node.js.

count REPORT                     prints how many passed, failed and were skipped
differ DIRECT REPORT ACCEPTED    prints the tests whose outcome is not that of the direct run, unless
                                 ACCEPTED lists them; with masks a refusal's reason is enough
"""

import collections
import json
import pathlib
import re
import sys
import xml.etree.ElementTree as xml

sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))
from refusals import reasons


def outcomes(report):
    """test → (outcome, what it said)"""
    if report.endswith(".tap"):
        return perl_outcomes(report)
    if report.endswith(".node"):
        return node_outcomes(report)
    if report.endswith(".go"):
        return go_outcomes(report)
    found = {}
    for case in xml.parse(report).iter("testcase"):
        name = re.sub(r"\s+", "_", f"{case.get('classname')}.{case.get('name')}")
        outcome, said = "ok", ""
        for child in case:
            if child.tag in ("failure", "error"):
                outcome, said = "FAILED", f"{said}\n{child.get('message')}\n{child.text}"
            elif child.tag == "skipped" and outcome == "ok":
                outcome = "skipped"
        if found.get(name, ("",))[0] != "FAILED":
            found[name] = (outcome, said)
    return found


def perl_outcomes(report):
    """A test that did not take place is explained by all that its file says."""
    found = {}
    for path in sorted(pathlib.Path(report).iterdir()):
        text = path.read_text(errors="replace")
        found[path.name] = ("ran", text)
        repeated = collections.Counter()
        for outcome, what, said in re.findall(
            r"^(ok|not ok) \d+(?: - )?(.*)\n((?:(?!ok|not ok).*\n)*)", text, re.M
        ):
            name = re.sub(r"\s+", "_", f"{path.name}:{what}")
            repeated[name] += 1
            outcome = "FAILED" if outcome == "not ok" else "skipped" if "# skip" in what else "ok"
            found[f"{name}#{repeated[name]}"] = (outcome, said)
    return found


def node_outcomes(report):
    """A file ends with how its process ended; a test that did not take place is explained by what its file says."""
    found = {}
    for path in sorted(pathlib.Path(report).iterdir()):
        text = path.read_text(errors="replace")
        found[path.name] = ("ok" if text.rstrip().endswith("exit 0") else "FAILED", text)
        repeated = collections.Counter()
        for what, outcome in re.findall(r"^  (\S.*?) (✔|FAILED!|\? - SKIPPED)$", text, re.M):
            outcome = {"✔": "ok", "FAILED!": "FAILED"}.get(outcome, "skipped")
            name = re.sub(r"\s+", "_", f"{path.name}:{what}")
            repeated[name] += 1
            found[f"{name}#{repeated[name]}"] = (outcome, text)
        for outcome, what in re.findall(r"^(ok|not ok) \d+ (.*)$", text, re.M):
            skipped = "# SKIP" in what
            name = re.sub(r"\s+", "_", f"{path.name}:{what}")
            found[name] = ("skipped" if skipped else "ok" if outcome == "ok" else "FAILED", text)
    return found


def go_outcomes(report):
    """A test that did not take place is explained by what its package says."""
    found, said = {}, collections.defaultdict(str)
    words = {"pass": "ok", "fail": "FAILED", "skip": "skipped"}
    for line in pathlib.Path(report).read_text(errors="replace").splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            continue
        test = (event["Package"], event.get("Test", ""))
        if event["Action"] == "output":
            said[test] += event["Output"]
        elif event["Action"] in words:
            found[test] = words[event["Action"]]

    def of(package, name):
        """What it says, and what its own tests say."""
        return "".join(
            text
            for (where, each), text in said.items()
            if where == package and (not name or each == name or each.startswith(f"{name}/"))
        )

    return {
        re.sub(r"\s+", "_", f"{package}:{name}" if name else package): (outcome, of(package, name))
        for (package, name), outcome in found.items()
    }


def accepted(path, suite, run):
    """Patterns of tests, where * stands for anything."""
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split()
        if words[:1] == [suite] and words[1] in (run, "both", "unstable"):
            yield re.compile(".*".join(map(re.escape, words[2].split("*"))))


def count(report):
    suite, run, _ = pathlib.Path(report).name.split(".")
    counts = collections.Counter(outcome for outcome, _ in outcomes(report).values())
    print(f"  {suite:16} {run:10} {counts['ok']} ok, {counts['FAILED']} failed,"
          f" {counts['skipped']} skipped", flush=True)


def differ(direct, report, accepted_path):
    suite, run, _ = pathlib.Path(report).name.split(".")
    expected, got = outcomes(direct), outcomes(report)
    patterns = list(accepted(accepted_path, suite, run))
    differing, unexpected, listed, refused = 0, 0, 0, collections.Counter()
    for test in sorted(expected.keys() | got.keys()):
        before, _ = expected.get(test, ("missing", ""))
        after, said = got.get(test) or ("missing", got.get(test.split(":")[0], ("", ""))[1])
        if before == after:
            continue
        differing += 1
        why = reasons(said)
        if any(pattern.fullmatch(test) for pattern in patterns):
            listed += 1
        elif run == "masked" and why:
            refused.update(why.keys())
        else:
            unexpected += 1
            print(f"  not accepted: {suite} {run} {test} ({before}, here {after})")
    given = ", ".join(f"{reason} {times}" for reason, times in refused.most_common())
    print(f"  {suite:16} {run:10} {differing} differ; accepted: {listed}; refused:"
          f" {given or 'nothing'}", flush=True)
    return unexpected


if __name__ == "__main__":
    command, *arguments = sys.argv[1:]
    sys.exit(1 if {"count": count, "differ": differ}[command](*arguments) else 0)
