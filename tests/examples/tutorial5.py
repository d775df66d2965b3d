# SPDX-License-Identifier: Apache-2.0
"""Goal: tutorial 5 ends cleanly on SIGINT, and every item that was produced has been consumed exactly once.

Method: interrupt it, at once and after some items; compare the two lists of items and the program's own sums. It cannot
see in which order items passed through the queue: the lines are printed outside of it."""
import re
import signal
import sys

import programs


def interrupted_after(items):
    with programs.Program("tutorial5") as program:
        # Its first line from main also says that SIGINT is no longer left to its default.
        while "running, Ctrl-C ends it" not in program.output or sum(" got " in s for s in program.output) < items:
            assert program.line() is not None, "ended by itself"
        program.interrupt()
        code = program.end()
        produced = [int(line.rsplit(" ", 1)[1]) for line in program.output if re.match(r"producer \d: put \d+$", line)]
        consumed = [int(line.rsplit(" ", 1)[1]) for line in program.output if re.match(r"consumer \d: got \d+$", line)]
        assert code == 0, code
        assert len(set(produced)) == len(produced), "an item was produced twice"
        assert sorted(produced) == sorted(consumed), (produced, consumed)
        assert program.output[-3:] == [
            f"produced: {len(produced)} items, sum {sum(produced)}",
            f"consumed: {len(consumed)} items, sum {sum(consumed)}",
            "nothing was lost",
        ], program.output[-3:]


def nothing_is_lost_when_interrupted_at_once():
    interrupted_after(0)


def nothing_is_lost_when_interrupted_after_some_items():
    interrupted_after(12)


def first_line_says_how_to_end_it():
    with programs.Program("tutorial5") as program:
        lines = [program.line() for _ in range(3)]
        assert "running, Ctrl-C ends it" in lines, lines
        program.interrupt()
        assert program.end() in (0, 128 + signal.SIGINT)


sys.exit(programs.run_all([
    nothing_is_lost_when_interrupted_at_once,
    nothing_is_lost_when_interrupted_after_some_items,
    first_line_says_how_to_end_it,
]) > 0)
