#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Breaks the library on purpose, one rule at a time, and looks whether the conformance tests notice.

    tests/mutants/run.py [--only PATTERN] [--list]

Each mutant is a small change of the sources that breaks a rule which docs/conformance.md calls kept. It is applied to a copy
of the repository, built, and the conformance tests are run until a program fails. A mutant that no test notices
fails the run; so does one that no longer applies or does not compile, since then it says nothing.
"""

import argparse
import dataclasses
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
TIMEOUT_S = 60  # of one test program: a mutant may make it hang


@dataclasses.dataclass(frozen=True)
class Mutant:
    name: str
    rules: str  # that it breaks
    path: str
    old: str
    new: str


MUTANTS = [
    Mutant("spawn runs the task at once", "A1 A2", "runtime/task.c",
           "    sn_runq_put(&w->runq, (sn_entry)t); /* to the position that `place` says: nothing was pushed since */\n",
           "    sn_runq_put(&w->runq, (sn_entry)t);\n    sinew_yield();\n    w = sn_worker_self();\n"),
    Mutant("waiters are woken newest first", "A4", "runtime/task.c",
           "    while (oldest) {\n        sn_waiter *next = oldest->next; /* firing",
           "    sn_waiter *turned = NULL;\n    while (oldest) {\n        sn_waiter *next = oldest->next;\n"
           "        oldest->next = turned;\n        turned = oldest;\n        oldest = next;\n    }\n"
           "    oldest = turned;\n    while (oldest) {\n        sn_waiter *next = oldest->next; /* firing"),
    Mutant("awaiting an ended task yields first", "A5", "runtime/await.c",
           "    int forwarded;\n    return await_parked(f, t, &forwarded);\n}\n\nintptr_t sinew_shield",
           "    int forwarded;\n    sinew_yield();\n    f = sn_worker_self()->fiber;\n"
           "    return await_parked(f, t, &forwarded);\n}\n\nintptr_t sinew_shield"),
    Mutant("a task may await itself", "A14", "runtime/await.c",
           "    if (SN_UNLIKELY(t == f->task))\n        return -EDEADLK;\n    if (SN_UNLIKELY(--w->budget",
           "    if (SN_UNLIKELY(--w->budget"),
    Mutant("a cancelled task that has not started runs", "A28", "runtime/task_hot.h",
           "(sn_load(&t->cancel, acquire) & SN_CANCEL_CANCELS) ||", ""),
    Mutant("a cancel is delivered again and again", "A29", "runtime/cancel.c",
           "        changed = old & ~(SN_CANCEL_ANY | SN_CANCEL_STOPPED);",
           "        changed = old & ~((SN_CANCEL_ANY & ~SN_CANCEL_PENDING) | SN_CANCEL_STOPPED);"),
    Mutant("cancel requests are not counted", "A30 A31", "runtime/cancel.c",
           "        if (count && (old & SN_CANCEL_COUNT) != SN_CANCEL_COUNT)\n            changed++;\n", ""),
    Mutant("uncancel leaves the request pending", "A32", "runtime/cancel.c",
           "        if (!(changed & SN_CANCEL_COUNT))\n            changed &= ~SN_CANCEL_CANCELS;\n", ""),
    Mutant("a self-cancel that meets no checkpoint is forgotten", "A36", "runtime/cancel.h",
           "    return SN_UNLIKELY(word & SN_CANCEL_CANCELS) && result >= 0 ? -ECANCELED : result;",
           "    (void)word;\n    return result;"),
    Mutant("await does not pass a cancel on", "A37", "runtime/await.c",
           "int *answers = sn_cancel_forward(f->task, t, code) ? forwarded : &late;", "int *answers = forwarded;"),
    Mutant("a swallowed cancel fails the await all the same", "A38", "runtime/await.c",
           "    return *forwarded && result == -ECANCELED ? *forwarded : result;\n",
           "    return *forwarded ? *forwarded : result;\n"),
    Mutant("gather waits for all after an error", "A50", "runtime/gather.c",
           "    bool wake = result < 0 && !g->settled;", "    bool wake = false;"),
    Mutant("gather cancels the others at the first error", "A50", "runtime/gather.c",
           "        record(g, i, done ? t->result : -EINPROGRESS);",
           "        if (!done)\n            sinew_cancel(t);\n        record(g, i, done ? t->result : -EINPROGRESS);"),
    Mutant("a cancelled gather that all answered succeeds", "A56", "runtime/gather.c",
           "    if (asked && (settled || g.overtaken || error == 0 || error == -ECANCELED))\n        return asked;\n", ""),
    Mutant("settled results stop at the first error", "A53", "runtime/gather.c",
           "    return gather_all(\"sinew_gather_settled\", tasks, n, results, true);",
           "    return gather_all(\"sinew_gather_settled\", tasks, n, results, false);"),
    Mutant("a group's failure does not cancel the siblings", "A62", "runtime/group.c",
           "            sn_cancel_request(t, SN_CANCEL_PENDING, true);\n", "            continue;\n"),
    Mutant("a group's failure does not reach its body", "A62", "runtime/group.c",
           "    if (g->waiting || g->told_owner)\n        return;\n", "    return;\n"),
    Mutant("a cancelled child counts as failed", "A67", "runtime/group.c",
           "    bool failed = result < 0 && result != -ECANCELED;", "    bool failed = result < 0;"),
    Mutant("an expired scope says nothing", "A82", "runtime/sleep.c", "    return met && !others;", "    return false;"),
    Mutant("a scope reports the cancel that came with it", "A83", "runtime/sleep.c",
           "    return met && !others;", "    return met;"),
    Mutant("an expiry that nobody met is reported", "A87", "runtime/sleep.c",
           "    return met && !others;", "    return !others;"),
    Mutant("a timeout scope counts as a cancel", "A82 A83", "runtime/cancel.c",
           "    return bits & (SN_CANCEL_CANCELS | SN_CANCEL_GROUP) ? -ECANCELED : -ETIMEDOUT;", "    return -ECANCELED;"),
    Mutant("wait_for leaves the task running", "A94", "runtime/await.c",
           "    sinew_timeout_begin(&scope, timeout);\n    intptr_t result = sinew_await(t);",
           "    sinew_timeout_begin(&scope, timeout);\n    intptr_t result = sinew_shield(t);"),
    Mutant("wait does not suspend when all are done", "A102", "runtime/wait.c",
           "        code = sinew_yield(); /* a wait always suspends once */", "        code = 0;"),
    Mutant("a cancelled child counts as an exception for wait", "A104", "runtime/wait.c",
           "    return result < 0 && result != -ECANCELED;", "    return result < 0;"),
    Mutant("shield passes the cancel on", "A109", "runtime/await.c",
           "        if (code)\n            sn_task_remove_waiter(t, &parked.waiter);\n    }\n    sn_tsan_acquire(t);\n    intptr_t result = code ?",
           "        if (code) {\n            sn_task_remove_waiter(t, &parked.waiter);\n            sn_cancel_forward(f->task, t, code);\n        }\n"
           "    }\n    sn_tsan_acquire(t);\n    intptr_t result = code ?"),
    Mutant("sleeps end early", "A112", "runtime/sleep.c",
           "    return duration <= 0 ? sinew_yield() : sleep_until(w, sn_deadline_after(sn_clock_now(), duration));",
           "    return duration <= 0 ? sinew_yield() : sleep_until(w, sn_deadline_after(sn_clock_now(), duration / 2));"),
    Mutant("leftovers are not cancelled at the end", "A124", "runtime/cancel.c",
           "        changed = old | SN_CANCEL_SHUTDOWN | SN_CANCEL_STOP;", "        changed = old | SN_CANCEL_SHUTDOWN;"),
    Mutant("leftovers that go on are cancelled again", "A125", "runtime/cancel.c",
           "        if (old & SN_CANCEL_SHUTDOWN)\n            return true;\n", ""),
    Mutant("a permit handed to a cancelled waiter is lost", "A155 A167", "runtime/sync.c",
           "        if (self.popped)\n", "        if (false)\n"),
    Mutant("waiters are served newest first", "A153 A165", "runtime/waitq.h",
           "    sn_waiting *n = q->first;\n", "    sn_waiting *n = q->last;\n"),
    Mutant("futures may be completed twice", "A12", "runtime/future.c",
           "    if (sn_or(&t->cancel, SN_CANCEL_ENDED, acq_rel) & SN_CANCEL_ENDED)\n        return false;\n",
           "    if (sn_or(&t->cancel, SN_CANCEL_ENDED, acq_rel) & SN_CANCEL_ENDED) {\n        t->result = result;\n"
           "        return true;\n    }\n"),
    Mutant("a callback added after the end is lost", "A9", "runtime/callback.c",
           "    if (!sn_task_add_waiter(task, &c->waiter))\n        fire(&c->waiter, 0);",
           "    (void)sn_task_add_waiter(task, &c->waiter);"),
    Mutant("errors that somebody had are reported", "A18", "runtime/report.h",
           "    if (SN_UNLIKELY(t->result < 0))\n        sn_task_asked(t);\n", ""),
    Mutant("errors nobody had are dropped", "A17", "runtime/task.c",
           "    if (SN_UNLIKELY(done && t->result < 0))\n        sn_report_unasked(t);\n", "    (void)done;\n"),
    Mutant("children share their spawner's values", "A219", "runtime/local.c",
           "    sn_context_values *c = malloc(sizeof *c + (n + !there) * sizeof(entry));",
           "    if (there) {\n        ((entry *)(uintptr_t)there)->value = value;\n        return 0;\n    }\n"
           "    sn_context_values *c = malloc(sizeof *c + (n + !there) * sizeof(entry));"),
    Mutant("queued blocking work runs although its caller left", "A148", "runtime/blocking.c",
           "    bool queued = sn_load(&c->state, relaxed) == QUEUED;\n", "    bool queued = false;\n"),
    Mutant("a task that was looked at is not queued again", "A228", "runtime/call_graph.c",
           "        sn_ready(f);\n", "        return;\n"),
    Mutant("who looks at a task leaves it woken", "A228", "runtime/call_graph.c",
           "    if (how == HELD)\n        let_go(f, seen);\n", ""),
    Mutant("those who await are listed newest first", "A227", "runtime/call_graph.c",
           "                c->found[i] = c->found[--j];\n                c->found[j] = swapped;\n",
           "                c->found[i] = swapped;\n                j--;\n"),
    Mutant("the frames of tasks on one stack are not told apart", "A228", "runtime/unwind.c",
           "(low > w->part.high || ", "("),
    Mutant("a yield to nobody ends no step", "A224", "runtime/slow.c", " && a->budget == b->budget", ""),
    Mutant("a step that goes on is reported only at its end", "A224", "runtime/slow.c",
           "    if (p->slow && p->took >= p->report_at) {", "    if (false) {"),
    Mutant("a slow step that has ended is not reported", "A224", "runtime/slow.c",
           "        if (p->slow)\n            report(s, p, true);\n", ""),
    Mutant("the last step of a run is not reported", "A224", "runtime/slow.c",
           "    visit_all(s); /* no step is left: those that were slow are reported */\n", ""),
    Mutant("a report that is due does not keep a deadlock away", "A224", "runtime/deadlock.c", "sn_slow_busy(rt) || ", ""),
    Mutant("a handler that was replaced may still run", "A224", "runtime/report.c", "    sn_slow_settle(rt);\n", ""),
    Mutant("the watcher counts as a thread that may wake tasks", "A226", "runtime/deadlock.c", " + (rt->slow != NULL)", ""),
    Mutant("the frames of a spawn begin inside of sinew", "A226", "runtime/task.c",
           "        sn_origin_note(t, caller);", "        sn_origin_note(t, NULL);"),
    Mutant("what elements of a map spawn keeps nothing", "A226", "runtime/map.c",
           "        sn_origin_keep(t, &j->origin);\n", "        (void)t;\n"),
    Mutant("communicate feeds first and reads then", "A206", "io/process_communicate.c",
           "    if (sinew_process_stdin(p) >= 0)\n        r = sinew_group_spawn(&g, feed_child, f);\n",
           "    if (sinew_process_stdin(p) >= 0)\n        r = (int)feed_child(f);\n"),
    Mutant("a child that closes its input fails communicate", "A207", "io/process_communicate.c",
           "    if (r == -EPIPE) { /*", "    if (r == -ENOSYS) { /*"),
    Mutant("the SIGPIPE of a feed is not taken back", "A207", "io/sigpipe.h",
           "    sigtimedwait(&pipe, NULL, &at_once);\n", "    (void)at_once;\n"),
    Mutant("a cancelled wait ends the child", "A208", "io/process.c",
           "    if (r == 0 && returncode)\n", "    if (r != 0)\n        sinew_process_kill(p);\n    if (r == 0 && returncode)\n"),
    Mutant("a signal that has killed is a status", "A209", "io/process.c", "0xff : -info.si_status;", "0xff : info.si_status;"),
    Mutant("a child known to have ended may be signalled", "A210", "io/process.c", "        return -ESRCH;\n", "        return 0;\n"),
    Mutant("a signal to a child that is gone is an error", "A210", "io/process.c", " || errno == ESRCH)\n", ")\n"),
    Mutant("the descriptors of a failed start stay open", "A211", "io/process_spawn.c", "    if (r != 0)\n        close_ours(s);\n", ""),
    Mutant("a stolen status is 0", "A212", "io/process.c", "UNKNOWN_STATUS = 255", "UNKNOWN_STATUS = 0"),
    Mutant("a stolen status is not reported", "A212", "io/process.c", "        report_stolen(p);\n", "        (void)report_stolen;\n"),
    Mutant("a cancel of the start leaves the child", "A213", "io/process_spawn.c",
           "    r = sn_interrupt(sn_worker_self()->fiber);\n", "    r = 0;\n"),
    Mutant("the handle of a running child is freed and nothing more", "A214", "io/process.c",
           "    sn_process_abandon(p);\n    sn_process_unref(p);", "    sn_process_unref(p);"),
    Mutant("who reaps gives up when the runtime ends", "A214", "io/process.c",
           "    while (r == -ECANCELED || r == -ETIMEDOUT || r == -EDEADLK);\n    if (r != 0)\n        reap(p, 0);\n", "    while (0);\n"),
    Mutant("a signal counts once between two looks", "A215", "io/signal.c",
           "        sn_add(&n->pending, 1, release); /* a1 */\n",
           "        if (sn_exchange(&n->pending, 1, release) != 0)\n            continue;\n"),
    Mutant("a handler that was replaced still runs", "A215", "io/signal_handler.c", "    h->call = *c;\n    *c = before;\n", "    (void)before;\n"),
    Mutant("removing a handler leaves the action", "A216", "io/signal.c", "        give_action_back(n->signal);\n", "        (void)give_action_back;\n"),
    Mutant("removing a handler restores the default, whatever was there", "A216", "io/signal.c",
           "        sigaction(signal, &actions[signal].before, NULL);", "        actions[signal].before.sa_handler = SIG_DFL;\n        sigaction(signal, &actions[signal].before, NULL);"),
    Mutant("every signal that cannot be handled is invalid", "A217", "io/signal.c", "%d (%s) cannot be caught\"", "%d (%s): there is no signal\""),
    Mutant("system calls elsewhere are interrupted", "A218", "io/signal.c", "(int)(SA_RESTART | SA_ONSTACK)", "(int)SA_ONSTACK"),
    Mutant("an exact read takes what there was at the end", "A185", "io/stream_read.c",
           "            return (int)end(s, filled < 0 ? filled : -ENODATA);",
           "            return let_go(s), (int)end(s, filled < 0 ? filled : -ENODATA);"),
    Mutant("a last line without its end is lost", "A186", "io/stream_read.c",
           "        n = (ssize_t)s->have; /* a last line without its end */", "        let_go(s);"),
    Mutant("a line over the limit stays", "A187", "io/stream_read.c", "    if (n == -EMSGSIZE)\n        take(s, over);\n", ""),
    Mutant("data over the limit is found all the same", "A187", "io/stream_read.c",
           "            return start > s->limit ? -EMSGSIZE : (ssize_t)stop;", "            return (ssize_t)stop;"),
    Mutant("the first separator that is found ends a read", "A188", "io/stream_read.c",
           "            best = *start + separators[i].length;\n", "            return *start + separators[i].length;\n"),
    Mutant("a separator in two pieces is missed", "A188", "io/stream_read.c",
           "s->have >= longest ? s->have + 1 - longest : 0;", "s->have >= longest ? s->have : 0;"),
    Mutant("a second reader is let in", "A189", "io/stream_read.c", "        return -EBUSY;\n", "        sn_tsan_acquire(s);\n"),
    Mutant("a long read that is cancelled loses what had come", "A190", "io/stream_read.c",
           "put_back(s, buffer + from, got - from);", "put_back(s, buffer + from, 0);"),
    Mutant("an error of the transport is told once", "A191", "io/stream_read.c",
           "        n = s->read_error = n == -EPIPE", "        n = n == -EPIPE"),
    Mutant("a drain waits only until the high mark", "A193", "io/stream_write.c",
           "r == 0 && wait ? wait_sent(s, s->low) : r", "r == 0 && wait ? wait_sent(s, s->high) : r"),
    Mutant("a drain waits below the high mark", "A193", "io/stream_write.c", "    bool wait = s->paused;", "    bool wait = true;"),
    Mutant("the loss of a connection does not wake who drains", "A194", "io/stream_write.c",
           "        if (unsent > wait->level && outcome == 0)\n", "        if (unsent > wait->level || outcome != 0)\n"),
    Mutant("a close drops what is buffered", "A195", "io/stream.c",
           "    if (s->busy || s->stopping || s->first)\n", "    if (s->busy || s->stopping || (s->first && !s->closing))\n"),
    Mutant("waiting for the close does not tell a loss", "A195", "io/stream.c",
           "        SN_CONTAINER(n, sn_stream_wait, waiting)->result = s->lost;", "        SN_CONTAINER(n, sn_stream_wait, waiting)->result = 0;"),
    Mutant("a close leaves a reader waiting", "A195", "io/stream.c",
           "    s->stopping = s->stopped = true;\n    return SN_STREAM_STOP;", "    return SN_STREAM_NOTHING;"),
    Mutant("write_eof goes before what is buffered", "A196", "io/stream_write.c",
           "    s->ending |= r == 0;\n", "    s->ending |= r == 0;\n    shutdown(s->transport->write_fd, 1);\n"),
    Mutant("a handler that failed is not reported", "A198", "io/server.c",
           "    if (result < 0 && result != -ECANCELED)\n", "    if (false)\n"),
    Mutant("a cancelled handler is reported", "A198", "io/server.c",
           "    if (result < 0 && result != -ECANCELED)\n", "    if (result < 0)\n"),
    Mutant("a closed server waits for nobody", "A200", "io/server.c",
           "!s->accepting && sn_load(&s->open, relaxed) == 0);", "!s->accepting);"),
    Mutant("closing the connections drops what is buffered", "A201", "io/server.c",
           "            sinew_stream_close(stream);\n        else", "            sinew_stream_abort(stream);\n        else"),
    Mutant("aborting the connections waits for what is buffered", "A201", "io/server.c",
           "        else\n            sinew_stream_abort(stream);\n", "        else\n            sinew_stream_close(stream);\n"),
    Mutant("a drain leaves idle connections", "A201", "io/stream.c", "s->draining && s->idle && !s->receiving_stopped", "false"),
    Mutant("a drain cuts at once", "A201", "io/server.c", "    sinew_timeout_begin(&scope, limit);", "    sinew_timeout_begin(&scope, 0);"),
    Mutant("two tasks may serve", "A202", "io/server.c", "s->serving ? -EBUSY : 0;", "0;"),
    Mutant("accepting ends at a shortage", "A203", "io/server.c",
           "    case -EMFILE:\n    case -ENFILE:", "    case -ENFILE:"),
    Mutant("accepting does not pause at a shortage", "A203", "io/server.c",
           "            r = sinew_sleep(PAUSE);", "            r = sinew_yield();"),
]


def build(copy):
    targets = [f"test_conformance_{path.stem}" for path in sorted((copy / "tests/conformance").glob("*.c"))]
    subprocess.run(["cmake", "--build", "--preset", "release", "--target", *targets], cwd=copy, check=True,
                   stdout=subprocess.PIPE, stderr=subprocess.STDOUT)


def noticed_by(copy):
    """The tests that fail."""
    run = subprocess.run(["ctest", "--preset", "release", "-L", "conformance", "-E", "conformance/page", "--stop-on-failure", "--timeout",
                          str(TIMEOUT_S), "--output-on-failure"], cwd=copy, stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, errors="replace")
    named = re.findall(r"^\[  FAILED  \] (a\d+\w+)", run.stdout, re.M) + re.findall(r"(a\d{3}_\w+) with \d+ workers: no end",
                                                                              run.stdout)
    whole = re.findall(r"^\t *\d+ - (\S+)", run.stdout, re.M)
    return sorted(set(named)) or whole


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="regular expression on the names and rules")
    parser.add_argument("--list", action="store_true", help="print the mutants and end")
    args = parser.parse_args()
    chosen = [m for m in MUTANTS if re.search(args.only, f"{m.name} {m.rules}")]
    if args.list:
        for m in chosen:
            print(f"{m.rules:10} {m.path:24} {m.name}")
        return 0
    survivors = []
    with tempfile.TemporaryDirectory(prefix="sinew-mutants-") as temporary:
        copy = pathlib.Path(temporary) / "sinew"
        shutil.copytree(ROOT, copy, ignore=shutil.ignore_patterns("build", ".git"))
        subprocess.run(["cmake", "--preset", "release", "-DSINEW_BENCH=OFF", "-DSINEW_EXAMPLES=OFF", "-DSINEW_WERROR=OFF"],
                       cwd=copy, check=True, stdout=subprocess.PIPE)
        build(copy)
        if noticed_by(copy):
            print("the conformance tests fail without a mutant", file=sys.stderr)
            return 2
        for m in chosen:
            path = copy / m.path
            source = path.read_text(encoding="utf-8")
            if source.count(m.old) != 1:
                survivors.append(m)
                print(f"DOES NOT APPLY  {m.rules:10} {m.name}", flush=True)
                continue
            path.write_text(source.replace(m.old, m.new), encoding="utf-8")
            try:
                build(copy)
                by = noticed_by(copy)
            except subprocess.CalledProcessError as error:
                print(error.stdout.decode(errors="replace")[-2000:], file=sys.stderr)
                by = []
            path.write_text(source, encoding="utf-8")
            if by:
                print(f"noticed         {m.rules:10} {m.name}: {', '.join(by[:3])}{' ...' if len(by) > 3 else ''}",
                      flush=True)
            else:
                survivors.append(m)
                print(f"NOT NOTICED     {m.rules:10} {m.name}", flush=True)
    print(f"{len(chosen) - len(survivors)} of {len(chosen)} mutants noticed")
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
