#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions of the hot paths and compares them with expected.txt.

    bench/instructions/run.py                                  # compare all; 1 if any has changed, 77 if not comparable
    bench/instructions/run.py --only '^yield' --update         # take over what is counted now
    bench/instructions/run.py --explain timeout                # by function
    bench/instructions/run.py --explain timeout --beside ../before/build/release

Each path has a process of its own in callgrind (paths.c) and runs twice there; what counts is the difference, by
operation. Nothing is timed: the result does not depend on what else the machine does. The environment is the same
always, and the C library is told to leave the wider instructions of newer processors alone; so what is left is
compiler, flags, C library and valgrind. With others than those that the table names, differences are shown and not
judged.
"""

import argparse
import collections
import concurrent.futures
import dataclasses
import os
import pathlib
import platform
import re
import subprocess
import sys

HERE = pathlib.Path(__file__).resolve().parent
TABLE = HERE / "expected.txt"
DEFAULT_BUILD = HERE.parent.parent / "build" / "release"
TOLERANCE = 2.0  # per cent, of a new line
NOT_COMPARABLE = 77
HEAD = """\
# Instructions of each hot path for one operation, the change that is let pass in per cent, and what one operation is.
# Made by bench/instructions/run.py --update, which leaves tolerances as they are; README.md in bench/ says more.
"""


class Failure(Exception):
    pass


@dataclasses.dataclass
class Line:
    instructions: float
    tolerance: float


def environment():
    """Nothing of the caller's but where valgrind is: no options for it, no length that would move the stack."""
    kept = {name: os.environ[name] for name in ("PATH", "VALGRIND_LIB") if name in os.environ}
    plain = "-AVX512F,-AVX2,-AVX,-ERMS,-FSRM,-BMI2,-LZCNT,-SSSE3,-SSE4_2"
    return kept | {"HOME": "/nonexistent", "LC_ALL": "C", "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={plain}"}


def output_of(command, **options):
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, **options)
    if done.returncode != 0:
        raise Failure(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Program:
    def __init__(self, build):
        self.build = build
        self.file = build / "bench" / "instructions" / "paths"
        if not self.file.exists():
            raise Failure(f"{self.file} is not there: build it, or say --build; it wants valgrind's headers")
        self.profiles = self.file.parent / "profiles"
        self.profiles.mkdir(exist_ok=True)

    def about(self):
        """What else than the sources decides how many instructions there are."""
        compiler, valgrind = output_of([self.file, "--about"]), output_of(["valgrind", "--version"])
        return f"{compiler.strip()}, {valgrind.strip()}, {platform.machine()}"

    def paths(self):
        return dict(line.split("\t") for line in output_of([self.file, "--list"]).splitlines())

    def profile(self, name):
        return self.profiles / f"{name}.2"

    def count(self, name):
        """Instructions of one operation by function. Their sum is the path's."""
        for old in self.profiles.glob(f"{name}.*"):
            old.unlink()
        output_of(
            ["valgrind", "--tool=callgrind", "--compress-strings=no", "--compress-pos=no", "--separate-recs=1",
             f"--callgrind-out-file={self.profiles / name}", self.file, name],
            cwd=self.profiles, timeout=300,
        )  # fmt: skip
        (n, once), (twice_n, twice) = (read_profile(self.profiles / f"{name}.{part}") for part in (1, 2))
        if twice_n != 2 * n:
            raise Failure(f"{name}: callgrind left profiles of {n} and {twice_n} operations")
        return {function: (twice[function] - once[function]) / n for function in twice.keys() | once.keys()}

    def totals(self, names):
        """(name, instructions of one operation, as exact as in the table) in the order of `names`. Several at once get
        more of a busy machine."""
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            yield from zip(names, pool.map(lambda name: round(sum(self.count(name).values()), 2), names))


def read_profile(file):
    """(operations, instructions of each function). A call is followed by a line with what it cost altogether, which
    belongs to others. callgrind_annotate takes that for the caller's own where the call began before the profile, so
    those lines are taken out of the file."""
    operations, function, skip = None, "?", False
    own, kept = collections.Counter(), []
    for line in file.read_text().splitlines(keepends=True):
        if skip:
            skip = False
            if kept[-1].startswith("calls=0 "):
                kept.pop()
                continue
        elif line.startswith("calls="):
            skip = True
        elif line.startswith("fn="):
            function = line[3:].strip()
        elif line[0].isdigit():
            own[function] += int(line.split()[-1])
        elif found := re.match(r"desc: Trigger: Client Request: \w+ (\d+)", line):
            operations = int(found[1])
        elif found := re.match(r"totals: (\d+)", line):
            if int(found[1]) != sum(own.values()):
                raise Failure(f"{file}: the lines' sum is {sum(own.values())}, and callgrind's {found[1]}")
        kept.append(line)
    if operations is None:
        raise Failure(f"{file} is no profile of a run")
    file.write_text("".join(kept))
    return operations, own


# --- the table ---------------------------------------------------------------------------------------------------


def read_table():
    """(what it was made with, {name: Line})"""
    made_with, lines = "", {}
    for text in TABLE.read_text().splitlines() if TABLE.exists() else ():
        if text.startswith("# with "):
            made_with = text[len("# with ") :]
        elif text and not text.startswith("#"):
            name, instructions, tolerance = text.split()[:3]
            lines[name] = Line(float(instructions), float(tolerance))
    return made_with, lines


def write_table(made_with, lines, paths):
    with TABLE.open("w") as file:
        file.write(f"{HEAD}# with {made_with}\n")
        for name, what in paths.items():
            if name in lines:
                file.write(f"{name:<20}{lines[name].instructions:>9.2f}{lines[name].tolerance:>5g}   {what}\n")


def update(program, names):
    made_with, lines = read_table()
    about, paths = program.about(), program.paths()
    if made_with != about and set(names) != set(paths):
        raise Failure(f"the table was made with {made_with}, and this is {about}: all of it has to be updated")
    for name, now in program.totals(names):
        before = lines.get(name)
        lines[name] = Line(now, before.tolerance if before else TOLERANCE)
        print(f"{name:<20}{before.instructions if before else 0:>9.2f} -> {now:.2f}")
    write_table(about, lines, paths)
    return 0


# --- comparing ---------------------------------------------------------------------------------------------------


def percent(line, now):
    return 100 * (now - line.instructions) / line.instructions


def compare(program, names):
    (made_with, lines), about, paths = read_table(), program.about(), program.paths()
    longer, shorter, new = {}, {}, {}
    print(f"{'instructions an operation':<27}{'expected':>10}{'now':>10}{'change':>11}")
    for name, now in program.totals(names):
        line = lines.get(name)
        if line is None:
            new[name] = f"{now:.2f} instructions for {paths[name]}"
            print(f"{name:<27}{'-':>10}{now:>10.2f}")
            continue
        by = f"{percent(line, now):+.2f} %"
        print(f"{name:<27}{line.instructions:>10.2f}{now:>10.2f}{by:>11}", flush=True)
        if abs(percent(line, now)) > line.tolerance:
            change = f"{line.instructions:.2f} -> {now:.2f} instructions, {by} (allowed: {line.tolerance:g} %)"
            (longer if now > line.instructions else shorter)[name] = f"{change}, for {paths[name]}"
    gone = {name: "in the table, and no path" for name in lines if name not in paths}
    if made_with != about:
        print(f"\nThe table was made with {made_with}, and this is {about}: not judged.")
        return NOT_COMPARABLE
    advise(program, longer, shorter, new, gone)
    return 1 if longer or shorter or new or gone else 0


def advise(program, longer, shorter, new, gone):
    """Says what has changed, and what can be done about it."""
    again = "bench/instructions/run.py"
    if program.build != DEFAULT_BUILD:
        again += f" --build {program.build}"

    def told(title, changes, advice):
        if changes:
            print(f"\n{title}")
            for name, change in changes.items():
                print(f"  {name}: {change}")
            print(advice.format(again=again, any=next(iter(changes)), all="|".join(changes), file=program.profiles))

    told(
        "LONGER:",
        longer,
        "Why, by function, also beside a build of the sources as they were, and by source line:\n"
        "  {again} --explain {any} [--beside BUILD]\n"
        "  callgrind_annotate {file}/{any}.2\n"
        "If it is worth it, take it over, and commit that together with its cause:\n"
        "  {again} --update --only '^({all})$'",
    )
    told(
        "SHORTER:",
        shorter,
        "If that was meant, please update the table: as it is, it would hide the next loss.\n"
        "  {again} --update --only '^({all})$'",
    )
    told("NEW:", new, "To take it up:\n  {again} --update --only '^({all})$'")
    told("GONE:", gone, "Any --update leaves it out.")


def explain(program, name, beside):
    now = program.count(name)
    before = Program(beside).count(name) if beside else {}
    rows = sorted(now.keys() | before.keys(), key=lambda function: -max(now.get(function, 0), before.get(function, 0)))
    print(f"{name}: {program.paths()[name]}\n" + (f"{'before':>10}" if beside else "") + f"{'now':>10}")
    for function in [None] + rows:
        was, now_is = (sum(d.values()) if function is None else d.get(function, 0.0) for d in (before, now))
        if max(was, now_is) >= 0.05:
            change = f"{now_is - was:+.2f}" if beside and abs(now_is - was) >= 0.005 else ""
            print((f"{was:>10.2f}" if beside else "") + f"{now_is:>10.2f}  {function or 'all':<40}{change}".rstrip())
    print(f"By source line: callgrind_annotate {program.profile(name)}")
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", type=pathlib.Path, default=DEFAULT_BUILD, help="a build of the release preset")
    parser.add_argument("--only", metavar="PATTERN", default="", help="only paths whose name this matches")
    parser.add_argument("--update", action="store_true", help="write what is counted into the table")
    parser.add_argument("--explain", metavar="NAME", help="show the functions of one path")
    parser.add_argument("--beside", metavar="BUILD", type=pathlib.Path, help="and those of another build")
    arguments = parser.parse_args()
    try:
        program = Program(arguments.build.resolve())
        names = [name for name in program.paths() if re.search(arguments.only, name)]
        if not names or (arguments.explain and arguments.explain not in program.paths()):
            raise Failure(f"there is no such path; there are {' '.join(program.paths())}")
        if arguments.explain:
            return explain(program, arguments.explain, arguments.beside and arguments.beside.resolve())
        return (update if arguments.update else compare)(program, names)
    except (Failure, subprocess.TimeoutExpired) as failure:
        print(f"run.py: {failure}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
