#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes docs/semantics.md from page.md and the programs beside it; with --check only says what is wrong.

A line {topic} of page.md becomes a table: left what TOPIC.py (or TOPIC.go) shows, right what TOPIC.c shows, below it what
both print. A program shows the lines between `/* show */` and `/* end */`, `# show` and `# end`, `// show` and `// end`;
there may be several such parts. What must hold, else the page is not written:

- every program is on the page, once, and all that is on the page is there;
- every program shows something, what it opens it ends, and no shown line is wider than COLUMNS;
- every C program has its TOPIC.txt, which is what the test compares its output with;
- no Python program has the name of one of Python's own modules, which its neighbours would then import instead.
"""
import pathlib
import re
import sys
import textwrap

HERE = pathlib.Path(__file__).resolve().parent
PAGE = HERE.parent.parent / "docs" / "semantics.md"
# Two of this width stand beside each other.
COLUMNS = 68

MARKS = {".c": ("/* show */", "/* end */"), ".py": ("# show", "# end"), ".go": ("// show", "// end")}
LANGUAGES = {".c": ("c", "sinew"), ".py": ("python", "asyncio"), ".go": ("go", "Go")}


def shown(file, complain):
    """The parts of a program that are shown, each moved to the left, with an empty line between two."""
    show, end = MARKS[file.suffix]
    parts, part = [], None
    for at, line in enumerate(file.read_text().splitlines(), 1):
        if line.strip() == show:
            if part is not None:
                complain(f"{file.name}:{at}: {show} inside of another")
            part = []
        elif line.strip() == end:
            if part is None:
                complain(f"{file.name}:{at}: {end} without {show}")
            else:
                parts.append(textwrap.dedent("\n".join(part)).strip("\n"))
            part = None
        elif part is not None:
            part.append(line)
    if part is not None:
        complain(f"{file.name}: {show} without {end}")
    if not parts:
        complain(f"{file.name}: shows nothing")
    text = "\n\n".join(parts)
    text = re.sub(r"\n\n\n+", "\n\n", text)  # Python's two lines between functions
    for line in text.splitlines():
        if len(line.expandtabs(4)) > COLUMNS:
            complain(f"{file.name}: wider than {COLUMNS} columns: {line}")
    return text


def link(file):
    return f"[{file.name}](../tests/semantics/{file.name})"


def table(topic, complain):
    right = HERE / f"{topic}.c"
    left = next((file for file in (HERE / f"{topic}.py", HERE / f"{topic}.go") if file.exists()), None)
    printed = HERE / f"{topic}.txt"
    for file in (right, printed):
        if not file.exists():
            complain(f"{file.name} is missing")
            return ""
    if left is None:
        complain(f"{topic} has neither a .py nor a .go")
        return ""
    if left.suffix == ".py" and topic in sys.stdlib_module_names:
        complain(f"{left.name}: Python has a module of that name")
    head, cells = "", ""
    for file in (left, right):
        language, name = LANGUAGES[file.suffix]
        head += f"<th>{name}</th>"
        cells += f'<td valign="top">\n\n```{language}\n{shown(file, complain)}\n```\n\n</td>\n'
    needs = re.search(r"^# needs (\S+)$", left.read_text(), re.MULTILINE)
    about = f", for Python {needs[1]} or newer" if needs else ""
    # Go's is there to be read: the tests do not run it.
    who = "Prints" if left.suffix == ".go" else "Both print"
    return (
        f"<table>\n<tr>{head}</tr>\n<tr>\n{cells}</tr>\n</table>\n\n"
        f"{who} ({link(left)}{about}; {link(right)}):\n\n"
        f"```text\n{printed.read_text()}```\n"
    )


def page(complain):
    topics = []

    def place(match):
        topics.append(match[1])
        return table(match[1], complain)

    text = re.sub(r"^\{(\w+)\}\n", place, (HERE / "page.md").read_text(), flags=re.MULTILINE)
    for topic in set(topics):
        if topics.count(topic) > 1:
            complain(f"{topic} is on the page {topics.count(topic)} times")
    for file in sorted(HERE.glob("*.*")):
        if file.suffix in (".c", ".py", ".go", ".txt") and file.name != "page.py" and file.stem not in topics:
            complain(f"{file.name} is not on the page")
    return text.replace("{count}", str(len(topics)))


def main():
    complaints = []
    text = page(complaints.append)
    if complaints:
        sys.exit("\n".join(complaints))
    if sys.argv[1:] == ["--check"]:
        if not PAGE.exists() or PAGE.read_text() != text:
            sys.exit("docs/semantics.md is not up to date; python3 tests/semantics/page.py writes it")
    elif sys.argv[1:]:
        sys.exit("usage: page.py [--check]")
    else:
        PAGE.parent.mkdir(exist_ok=True)
        PAGE.write_text(text)


main()
