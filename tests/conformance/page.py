#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/conformance.md from rules.tsv and the names of the tests beside it; with --check only says what is wrong.

rules.tsv has a line for each rule: its number, its tag, the claim, the status, a note. The tag says how far the rule
can hold: N with any number of workers, 1 literally with one worker only, Py for what belongs to Python. A test's name
begins with the number of its rule (a050_...). What must hold, else the page is not written:

- there are all rules, in order, each with a known tag and status;
- a rule that is kept has a test, one that is to come later has none;
- one that is to come, or kept differently, or deviates, has a note: the area, or the reason;
- every test is of a known rule, and is in its file's TEST_MAIN list.
"""
import collections
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "conformance.md"
RULES = 235
TAGS = {"N", "1", "N/1", "Py"}
STATUSES = {"kept", "kept differently", "deviates", "later"}

# The first rule of each chapter.
CHAPTERS = {
    1: "Tasks and awaiting",
    26: "Cancelling",
    48: "Gather",
    61: "Groups",
    82: "Timeouts",
    100: "Waiting for several, shield",
    112: "Sleeping, timers, order",
    123: "Running",
    138: "Eager tasks",
    145: "Threads",
    152: "Locks",
    175: "Queues",
    184: "Streams and servers",
    206: "Subprocesses",
    215: "Signals",
    219: "Task-local values",
    224: "Looking inside",
    234: "Fork",
}

INTRO = """\
# asyncio's rules, one by one

What spawn, await, gather, groups, timeouts and cancelling mean in sinew is what they mean in Python's asyncio. This page
restates asyncio's behaviour (Python 3.12 to 3.14) as {rules} rules, in sinew's names, and says for each what becomes of it and
which tests show that.

| | rules |
|---|---:|
| kept | {kept} |
| kept differently: the same purpose in another form | {differently} |
| deviates on purpose | {deviating} |
| later: not there yet | {later} |
| **all** | **{rules}** |

{tests} tests, nearly all in `tests/conformance/`, bear the number of their rule. All but those whose name says otherwise run with 1, 2 and 8
workers; `ctest --preset release -L conformance` runs them. A rule marked *order* promises an order that only one worker can
keep to the letter: it is tested so with one worker, and in a weaker form with several. One marked *Python* comes from
something that Python has and C has not.
"""

DIFFERENCES = """\
## What is different, and why

Every rule that is kept in another form or not kept, and every rule that comes from Python itself.

| rule | asyncio's | status | why, and what is done instead |
|---|---|---|---|
"""

MARKS = {"N": "", "1": " *(order)*", "N/1": " *(order)*", "Py": " *(Python)*"}

Rule = collections.namedtuple("Rule", "number tag claim status note")
Test = collections.namedtuple("Test", "name file")


def read_rules(complain):
    rules = []
    for at, line in enumerate((HERE / "rules.tsv").read_text().splitlines(), 1):
        if line.startswith("#"):
            continue
        fields = line.split("\t")
        if len(fields) != 5:
            complain(f"rules.tsv:{at}: {len(fields)} fields instead of 5")
            continue
        rule = Rule(len(rules) + 1, *fields[1:])
        if fields[0] != f"A{rule.number}":
            complain(f"rules.tsv:{at}: {fields[0]} where A{rule.number} should be")
        if rule.tag not in TAGS:
            complain(f"A{rule.number}: unknown tag {rule.tag!r}")
        if rule.status not in STATUSES:
            complain(f"A{rule.number}: unknown status {rule.status!r}")
        if not rule.claim:
            complain(f"A{rule.number}: no claim")
        if rule.status != "kept" and not rule.note:
            complain(f"A{rule.number}: {rule.status}, but no note says why")
        rules.append(rule)
    if len(rules) != RULES:
        complain(f"rules.tsv: {len(rules)} rules instead of {RULES}")
    return rules


def test_main_list(text):
    """What stands between the brackets of TEST_MAIN(...)."""
    start = text.find("\nTEST_MAIN(")
    if start < 0:
        return ""
    depth = 0
    for end in range(text.index("(", start), len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return text[start:end]
    return text[start:]


def read_tests(complain):
    """The tests of each rule's number."""
    tests = collections.defaultdict(list)
    for file in sorted(HERE.glob("*.c")) + sorted(set(HERE.parent.glob("*/*.c")) - set(HERE.glob("*.c"))):
        text = file.read_text()
        defined = re.findall(r"^IN_RUNTIME\w*\(\s*(\w+)|^static void (\w+)\(void \*\*\w+\)", text, re.MULTILINE)
        defined = [a or b for a, b in defined]
        listed = re.findall(r"cmocka_unit_test\w*\(\s*(\w+)", test_main_list(text))
        if file.parent != HERE: # there, tests of a rule stand among others
            defined = [name for name in defined if re.match(r"a\d{3}_", name)]
            listed = [name for name in listed if re.match(r"a\d{3}_", name)]
        for name in defined:
            if name not in listed:
                complain(f"{file.name}: {name} is not in the TEST_MAIN list")
        for name in listed:
            if listed.count(name) > 1:
                complain(f"{file.name}: {name} is listed twice")
            if name not in defined:
                complain(f"{file.name}: {name} is listed and not defined")
            match = re.match(r"a(\d{3})_", name)
            if not match or not 1 <= int(match[1]) <= RULES:
                complain(f"{file.name}: {name} does not begin with the number of a rule")
            else:
                tests[int(match[1])].append(Test(name, f"{file.parent.name}/{file.name}"))
    return tests


def check_each(rules, tests, complain):
    for rule in rules:
        has = bool(tests[rule.number])
        if rule.status.startswith("kept") and not has:
            complain(f"A{rule.number} is {rule.status}, but has no test")
        if rule.status == "later" and has:
            complain(f"A{rule.number} is to come later, but has a test: {tests[rule.number][0].name}")


def cell(text):
    return text.replace("|", "\\|")


def sentence(text):
    return text if text.endswith(".") else text + "."


def rule_line(rule, tests):
    claim = cell(rule.claim) + MARKS[rule.tag]
    if rule.status == "kept" and rule.note:
        claim = f"{sentence(claim)} {cell(rule.note)}"
    # The number is in the first column, and underscores that may break are readable in a narrow one.
    names = "<br>".join(f"[{t.name[5:].replace('_', ' ')}](../tests/{t.file})" for t in tests[rule.number])
    status = f"later ({rule.note})" if rule.status == "later" else rule.status
    return f"| A{rule.number} | {claim} | {names} | {status} |\n"


def page(rules, tests):
    count = collections.Counter(rule.status for rule in rules)
    text = INTRO.format(
        rules=len(rules),
        kept=count["kept"],
        differently=count["kept differently"],
        deviating=count["deviates"],
        later=count["later"],
        tests=sum(map(len, tests.values())),
    )
    for rule in rules:
        if rule.number in CHAPTERS:
            text += f"\n## {CHAPTERS[rule.number]}\n\n| rule | asyncio's, in sinew's names | tests | status |\n|---|---|---|---|\n"
        text += rule_line(rule, tests)
    text += "\n" + DIFFERENCES
    for rule in rules:
        if rule.tag == "Py" or rule.status in ("kept differently", "deviates"):
            why = f"to come with {rule.note}" if rule.status == "later" else rule.note
            text += f"| A{rule.number} | {cell(rule.claim)} | {rule.status} | {cell(why)} |\n"
    return text


def main():
    complaints = []
    rules = read_rules(complaints.append)
    tests = read_tests(complaints.append)
    check_each(rules, tests, complaints.append)
    if complaints:
        sys.exit("\n".join(complaints))
    text = page(rules, tests)
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/conformance.md is not up to date; python3 tests/conformance/page.py writes it")
    elif sys.argv[1:]:
        sys.exit("usage: page.py [--check]")
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)


main()
