# SPDX-License-Identifier: Apache-2.0
"""Goal: with an append-only file the key-value server loses nothing that it acknowledged when it is killed, in any mode;
says what is wrong with a damaged file and repairs only what a crash explains; refuses changes, and nothing else, while
the file cannot be written; and makes the file anew without losing anything meanwhile.

Method: clients remember what was acknowledged, the server is killed, another one reads the file. redis-check-aof, which
was not made for this server, looks at the files. A limit on the size of files stands for a full disk. Random choices
come from a seed, which is printed and taken back as the only argument. What it cannot see: a power cut; a kill leaves
the kernel's memory as it is."""
import collections
import contextlib
import os
import pathlib
import random
import re
import resource
import subprocess
import sys
import tempfile
import threading
import time

import programs
from kv_client import SCALE, Client, Error, Server, encode, wait_until

SEED = int(sys.argv[1]) if len(sys.argv) > 1 else random.SystemRandom().randrange(1 << 32)
print("seed", SEED)
rng = random.Random(SEED)

scratch = tempfile.TemporaryDirectory()
OK = "OK"
MODES = ("always", "everysec", "no")
numbers = iter(range(10 ** 6))


def new_path():
    return pathlib.Path(scratch.name, f"{next(numbers)}.aof")


@contextlib.contextmanager
def server(path, *options, **limits):
    with Server("--appendonly", str(path), *options, **limits) as program:
        yield program
        if program.process.poll() is None:
            program.terminate()
            code = program.end()
            assert code == 0, code


def everything(client):
    """All keys with values and times, however they were written."""
    names = sorted(client.ask("KEYS", "*"))
    return {name: (client.ask("GET", name), client.ask("PTTL", name) > 0) for name in names}


def check(path):
    """redis-check-aof's opinion."""
    result = subprocess.run(["redis-check-aof", str(path)], capture_output=True, timeout=programs.PATIENCE)
    assert result.returncode == 0, result
    return result


class Writers:
    """Clients that change keys of their own until they are cut off, and know what was acknowledged: the last change that
    was, and those after it that may have happened or not."""

    def __init__(self, port, count, pipeline):
        self.states = [None] * count
        self.threads = [threading.Thread(target=self._write, args=(port, i, pipeline)) for i in range(count)]
        for t in self.threads:
            t.start()

    def acknowledged(self):
        return sum(s["count"] for s in self.states if s)

    def join(self):
        for t in self.threads:
            t.join()

    def _write(self, port, number, pipeline):
        own = random.Random(SEED + number)
        # Of each key: the values that it may have now. None: it is not there.
        state = self.states[number] = {"keys": collections.defaultdict(lambda: [None]), "count": 0, "sum": [0]}
        with contextlib.suppress(OSError, EOFError), Client(port) as client:
            step = 0
            while True:
                batch = []
                for _ in range(own.randrange(1, pipeline + 1)):
                    step += 1
                    name = f"{number}:{own.randrange(50)}"
                    kind = own.random()
                    if kind < 0.15:
                        batch.append((("DEL", name), {name: None}))
                    elif kind < 0.3:
                        names = {f"{number}:{own.randrange(50)}": f"m{step}" for _ in range(3)}
                        batch.append((("MSET", *(x for pair in names.items() for x in pair)), names))
                    elif kind < 0.4:
                        batch.append((("INCR", f"{number}:sum"), None))
                    else:
                        text = f"v{step}" + "x" * own.choice([0, 10, 1000, 20_000])
                        batch.append((("SET", name, text, *own.choice([(), ("EX", 10_000)])), {name: text}))
                for _, changes in batch:  # from now on they may be there
                    for name, text in (changes or {}).items():
                        state["keys"][name].append(text)
                    if changes is None:
                        state["sum"].append(state["sum"][-1] + 1)
                client.send(b"".join(encode(*command) for command, _ in batch))
                for command, changes in batch:
                    answer = client.read()
                    assert not isinstance(answer, Error), (command[:2], answer)
                    state["count"] += 1
                    for name, text in (changes or {}).items():  # what came before is no longer possible
                        possible = state["keys"][name]
                        del possible[:possible.index(text, 1 if len(possible) > 1 else 0)]
                    if changes is None:
                        del state["sum"][0]

    def verify(self, client):
        for number, state in enumerate(self.states):
            for name, possible in state["keys"].items():
                found = client.ask("GET", name)
                found = found.decode() if found is not None else None
                assert found in possible, (name, found and found[:20], [p and p[:20] for p in possible])
            total = int(client.ask("GET", f"{number}:sum") or 0)
            assert total in state["sum"], (total, state["sum"])


# --- what was acknowledged is there ----------------------------------------------------------------------------------


def what_was_written_is_there_after_a_restart():
    for mode in MODES:
        path = new_path()
        with server(path, "--fsync", mode) as first, first.client() as client:
            binary = bytes(range(256))
            commands = [("SET", "k", "v"), ("SET", binary, binary * 10), ("SET", "large", b"\r\n" * 100_000),
                        ("SET", "e", "1", "EX", 1000), ("SET", "p", "1", "EX", 1000), ("PERSIST", "p"), ("SET", "x", "1"),
                        ("EXPIRE", "x", 1000), ("SET", "gone", "1", "PX", 1), ("INCR", "n"), ("INCRBY", "n", 41),
                        ("APPEND", "a", "one"), ("APPEND", "a", "two"), ("MSET", "m1", "1", "m2", "2", "m1", "3"),
                        ("SET", "d", "1"), ("DEL", "d", "none"), ("GETDEL", "m2"), ("GETSET", "k", "w"),
                        ("SETNX", "k", "never"), ("SET", "k", "never", "NX"), ("SET", "none", "never", "XX"),
                        ("SET", "past", "1"), ("EXPIRE", "past", -1), ("SETEX", "e2", 1000, "x"), ("APPEND", "e2", "y"),
                        ("SET", "e2", "z", "KEEPTTL"), ("INCR", "e")]
            assert not [a for a in client.ask_all(commands) if isinstance(a, Error)]
            time.sleep(0.01)
            assert client.ask("GET", "gone") is None
            state = everything(client)
            assert len(state) == 10, state.keys()
        check(path)
        assert encode("DEL", "gone") in path.read_bytes()  # so that it stays gone when the clock is set back
        with server(path) as second, second.client() as client:
            assert everything(client) == state
            assert client.ask("TTL", "e") in range(900, 1001)
            assert client.ask("FLUSHALL") == OK and client.ask("SET", "after", "1") == OK
        with server(path) as third, third.client() as client:
            assert everything(client) == {b"after": (b"1", False)}


def a_time_that_passed_while_nothing_ran_has_passed():
    path = new_path()
    with server(path) as first, first.client() as client:
        client.ask_all([("SET", "short", "1", "PX", 200), ("SET", "longer", "1", "PX", 100), ("PEXPIRE", "longer", 100_000)])
    time.sleep(0.3)
    with server(path) as second, second.client() as client:
        assert client.ask("GET", "short") is None and client.ask("GET", "longer") == b"1"
        assert client.ask("DBSIZE") == 1


def a_kill_undoes_nothing_that_was_acknowledged():
    for mode in MODES:
        path = new_path()
        for round in range(3):
            with server(path, "--fsync", mode, "--workers", "2") as victim:
                with victim.client() as client:
                    client.ask("FLUSHALL")
                writers = Writers(victim.number, 6, (1, 10, 200)[round])
                wait_until(lambda: writers.acknowledged() > 600 // SCALE, "nothing is acknowledged")
                time.sleep(rng.random() * 0.2)
                victim.kill()
                writers.join()
            with server(path) as next_one, next_one.client() as client:
                writers.verify(client)


def synced_means_synced():
    """In mode `always` each acknowledgement has a sync before it, though many share one."""
    with server(new_path(), "--fsync", "always") as own:
        with own.client() as client:
            for i in range(20):
                before = int(own.info(client, "aof_syncs"))
                assert client.ask("SET", "k", i) == OK
                assert int(own.info(client, "aof_syncs")) > before
                assert own.info(client, "aof_pending_bytes") == "0"
            before = int(own.info(client, "aof_syncs"))
            client.ask_all([("SET", "k", i) for i in range(1000)])
            assert int(own.info(client, "aof_syncs")) - before < 900
    with server(new_path(), "--fsync", "everysec") as own, own.client() as client:
        client.ask("SET", "k", 1)
        wait_until(lambda: int(own.info(client, "aof_syncs")) > 0, "it is never synced")


# --- damaged files ---------------------------------------------------------------------------------------------------


def start_with(content):
    """Starts a server on a file; what it says on stderr, and its exit code if it does not serve, or its keys."""
    path = new_path()
    path.write_bytes(content)
    process = subprocess.Popen([programs.path_of("kv"), "127.0.0.1:0", "--appendonly", str(path)],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline()
        if line.startswith("kv: ") and "commands read" in line:
            line = process.stdout.readline()
        if not line:
            return process.wait(programs.PATIENCE), process.stderr.read(), path
        with Client(int(line.rsplit(":", 1)[1])) as client:
            state = {name: client.ask("GET", name) for name in client.ask("KEYS", "*")}
        process.terminate()
        assert process.wait(programs.PATIENCE) == 0
        return state, process.stderr.read(), path
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
        process.stderr.close()


RECORDS = [encode("SET", "a", "1"), encode("SET", "b", "22"), encode("SET", "c", "3", "PXAT", 9999999999999)]
STATES = [{}, {b"a": b"1"}, {b"a": b"1", b"b": b"22"}, {b"a": b"1", b"b": b"22", b"c": b"3"}]


def a_torn_last_record_is_cut_off():
    whole = b"".join(RECORDS)
    ends = [0]
    for record in RECORDS:
        ends.append(ends[-1] + len(record))
    for cut in range(0, len(whole) + 1, SCALE):
        state, said, path = start_with(whole[:cut])
        records = max(i for i, end in enumerate(ends) if end <= cut)
        assert state == STATES[records], cut
        torn = cut - ends[records]
        assert (f"torn: {torn} bytes cut off at offset {ends[records]}" in said) == (torn > 0), (cut, said)
        assert path.stat().st_size == ends[records]
    # A large one, of which most is missing.
    state, said, path = start_with(RECORDS[0] + b"*3\r\n$3\r\nSET\r\n$1\r\nx\r\n$100000000\r\n" + b"y" * 100_000)
    assert state == STATES[1] and path.stat().st_size == len(RECORDS[0])


def garbage_in_the_middle_is_refused_with_its_offset():
    garbage = [b"\0" * 50, b"garbage\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$1\r\nvxx", b"*1\r\n$4\r\nPING\r\n",
               encode("SET", "k"), encode("SET", "k", "v", "PXAT", "soon"), encode("SET", "k", "v", "EX", "10"),
               encode("INCR", "k"), encode("MSET", "k"), encode("PEXPIREAT", "k", "-1"), encode("SELECT", "1"),
               b"*-5x\r\n", b"*2\r\n$-1\r\n"]
    for middle in garbage:
        for before in (0, 1, 3):
            content = b"".join(RECORDS[:before]) + middle + RECORDS[0]
            code, said, path = start_with(content)
            offset = len(b"".join(RECORDS[:before]))
            assert code == 1 and f"damaged at offset {offset}:" in said, (middle, code, said)
            assert path.read_bytes() == content, "it has been changed"


def flipped_bits_are_no_crash():
    path = new_path()
    with server(path) as first, first.client() as client:
        client.ask_all([("MSET", f"a{i}", i, f"b{i}", "x" * 50) for i in range(20)] + [("APPEND", "a1", "more"), ("DEL", "a2", "a3")])
    content = bytearray(path.read_bytes())
    for _ in range(100 // SCALE):
        damaged = bytearray(content)
        damaged[rng.randrange(len(damaged))] ^= 1 << rng.randrange(8)
        code, said, _ = start_with(bytes(damaged))
        assert isinstance(code, dict) or code == 1, (code, said)


def a_file_is_for_one_server():
    path = new_path()
    with server(path) as first, first.client() as client:
        client.ask("SET", "k", "v")
        with programs.Program("kv", "127.0.0.1:0", "--appendonly", str(path), quiet=True) as second:
            assert second.end() == 1
        assert client.ask("SET", "k", "w") == OK


# --- a file that cannot be written ------------------------------------------------------------------------------------


def limit_files(program, size):
    resource.prlimit(program.process.pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


def a_full_disk_stops_changes_and_nothing_else():
    for mode in MODES:
        path = new_path()
        with server(path, "--fsync", mode, quiet=True) as own, own.client() as client:
            assert client.ask("SET", "k", "v", "PX", 300) == OK
            assert client.ask_all([("SET", f"k{i}", "v" * 100) for i in range(100)]) == [OK] * 100
            limit_files(own, path.stat().st_size + 50)  # a record is torn by it
            answers = client.ask_all([("SET", f"new{i}", "v" * 100) for i in range(10)] + [("GET", "k1")])
            assert all("MISCONF" in a for a in answers), answers  # nobody knows which of them are in the file
            refused = client.ask("SET", "k", "v")
            assert isinstance(refused, Error) and refused.startswith("MISCONF Errors writing to the AOF file: "), refused
            for command in (("INCR", "n"), ("DEL", "k1"), ("EXPIRE", "k1", 5), ("FLUSHALL",), ("MSET", "a", "b"), ("APPEND", "k1", "x")):
                assert client.ask(*command) == refused, command
            assert client.ask("PING") == "PONG"
            for i in range(100):  # whoever was refused in the same shard
                assert client.ask("GET", f"k{i}") == b"v" * 100
            for i in range(10):  # they were made, and are not known to be kept
                assert client.ask("GET", f"new{i}") == b"v" * 100
            assert own.info(client, "aof_last_write_status") == "err"
            time.sleep(0.3)
            assert client.ask("GET", "k") is None  # expired, although that cannot be recorded
            limit_files(own, resource.RLIM_INFINITY)

            def writes_again():
                return client.ask("SET", "again", "1") == OK

            wait_until(writes_again, "it does not recover")
            state = everything(client)
        check(path)
        with server(path) as second, second.client() as client:
            assert everything(client) == state


def a_server_that_ends_without_room_says_so():
    path = new_path()
    with Server("--appendonly", str(path), quiet=True) as own, own.client() as client:
        assert client.ask("SET", "k", "v") == OK
        limit_files(own, path.stat().st_size + 10)
        assert "MISCONF" in client.ask("SET", "k", "w")
        own.terminate()
        assert own.end() == 1
    with server(path, quiet=True) as second, second.client() as client:
        assert client.ask("GET", "k") == b"v"


# --- rewriting --------------------------------------------------------------------------------------------------------


def wait_for_rewrites(own, client, count):
    wait_until(lambda: int(own.info(client, "aof_rewrites")) >= count, "it is not rewritten")


def a_rewritten_file_is_short_and_complete():
    path = new_path()
    with server(path) as own, own.client() as client:
        for i in range(20):
            client.ask_all([("SET", f"k{j}", f"{i}" * 100) for j in range(200)])
        client.ask_all([("EXPIRE", f"k{j}", 1000) for j in range(100)] + [("SET", "large", "x" * 50_000), ("DEL", "k7")])
        before, state = path.stat().st_size, everything(client)
        assert client.ask("BGREWRITEAOF") == "Background append only file rewriting started"
        wait_for_rewrites(own, client, 1)
        assert path.stat().st_size < before / 2
        assert client.ask("SET", "after", "1") == OK
        state[b"after"] = (b"1", False)
        assert not pathlib.Path(f"{path}.rewrite").exists()
        own.kill()
    check(path)
    with server(path) as second, second.client() as client:
        assert everything(client) == state


def a_file_that_has_grown_is_rewritten_by_itself():
    path = new_path()
    with server(path, "--rewrite-min-size", "1", "--fsync", "no") as own, own.client() as client:
        for _ in range(30):
            client.ask_all([("SET", "k", "x" * 1000)] * 100)
        wait_for_rewrites(own, client, 1)
        wait_until(lambda: path.stat().st_size < 1 << 20, "it is as large as before")
        assert client.ask("GET", "k") == b"x" * 1000


def nothing_is_lost_while_it_is_rewritten():
    for mode in MODES:
        path = new_path()
        with server(path, "--fsync", mode, "--workers", "2") as victim:
            with victim.client() as client:
                for first in range(0, 20_000 // SCALE, 1000):  # so that it takes a while
                    client.ask_all([("SET", f"stay{i}", i) for i in range(first, first + 1000)])
                writers = Writers(victim.number, 4, 20)
                wait_until(lambda: writers.acknowledged() > 100, "nothing is acknowledged")
                for round in range(1, 4):
                    client.ask("BGREWRITEAOF")
                    wait_for_rewrites(victim, client, round)
                client.ask("BGREWRITEAOF")
            time.sleep(rng.random() * 0.05)
            victim.kill()
            writers.join()
        with server(path) as next_one, next_one.client() as client:
            writers.verify(client)
            for i in range(0, 20_000 // SCALE, 97):
                assert client.ask("GET", f"stay{i}") == str(i).encode()


def a_rewriting_that_fails_changes_nothing():
    path = new_path()
    pathlib.Path(f"{path}.rewrite").mkdir()
    with server(path, quiet=True) as own, own.client() as client:
        assert client.ask("SET", "k", "v") == OK
        client.ask("BGREWRITEAOF")
        wait_until(lambda: own.info(client, "aof_rewrite_in_progress") == "0", "it does not end")
        assert client.ask("SET", "k", "w") == OK and own.info(client, "aof_rewrites") == "0"
    with server(path) as second, second.client() as client:
        assert client.ask("GET", "k") == b"w"


def without_a_file_there_is_nothing_to_rewrite():
    with Server() as own, own.client() as client:
        assert isinstance(client.ask("BGREWRITEAOF"), Error)


# --- stopping ---------------------------------------------------------------------------------------------------------


def a_stop_under_load_loses_nothing():
    for mode in MODES:
        path = new_path()
        with Server("--appendonly", str(path), "--fsync", mode, "--workers", "2") as own:
            writers = Writers(own.number, 6, 20)
            wait_until(lambda: writers.acknowledged() > 600 // SCALE, "nothing is acknowledged")
            own.terminate()
            assert own.end() == 0
            writers.join()
            assert re.search(r", 0 cut$", own.output[-1]), own.output
        check(path)
        with server(path) as next_one, next_one.client() as client:
            writers.verify(client)


sys.exit(programs.run_all([
    what_was_written_is_there_after_a_restart,
    a_time_that_passed_while_nothing_ran_has_passed,
    a_kill_undoes_nothing_that_was_acknowledged,
    synced_means_synced,
    a_torn_last_record_is_cut_off,
    garbage_in_the_middle_is_refused_with_its_offset,
    flipped_bits_are_no_crash,
    a_file_is_for_one_server,
    a_full_disk_stops_changes_and_nothing_else,
    a_server_that_ends_without_room_says_so,
    a_rewritten_file_is_short_and_complete,
    a_file_that_has_grown_is_rewritten_by_itself,
    nothing_is_lost_while_it_is_rewritten,
    a_rewriting_that_fails_changes_nothing,
    without_a_file_there_is_nothing_to_rewrite,
    a_stop_under_load_loses_nothing,
]) > 0)
