# SPDX-License-Identifier: Apache-2.0
"""Goal: the key-value server answers as Redis does, to the byte; takes its protocol in any pieces and nothing that is
none; keeps SCAN's and MSET's promises while others change things; limits what each client can take; and stops without
dropping a command.

Method: redis-cli and redis-benchmark, which were not made for it, and raw sockets. The table of exchanges holds for
Redis itself: `kv.py --redis PORT` runs it against a Redis server of version 7.0 there. Random choices come from a seed,
which is printed and taken back as the only argument. What it cannot see: which bytes the server got in one receive. The
append-only file has a test of its own, kv_log.py."""
import collections
import contextlib
import random
import re
import resource
import socket
import subprocess
import sys
import threading
import time

import programs
from kv_client import SCALE, Client, Error, Server, encode, server, wait_until

redis_port = int(sys.argv[2]) if sys.argv[1:2] == ["--redis"] else None
SEED = int(sys.argv[1]) if len(sys.argv) == 2 else random.SystemRandom().randrange(1 << 32)
print("seed", SEED)
rng = random.Random(SEED)

# --- exchanges ------------------------------------------------------------------------------------------------------

OK, PONG = "OK", "PONG"
NOT_A_NUMBER = Error("ERR value is not an integer or out of range")
SYNTAX = Error("ERR syntax error")


def arity(name):
    return Error(f"ERR wrong number of arguments for '{name}' command")


def lifetime(name):
    return Error(f"ERR invalid expire time in '{name}' command")


# Commands and what comes back, in order, on an empty server. A function says whether the answer will do.
EXCHANGES = [
    ("PING", PONG), ("ping hello", b"hello"), ("PiNg", PONG), ("PING a b", arity("ping")), ("ECHO x", b"x"),
    ("ECHO", arity("echo")), ("ECHO a b", arity("echo")),
    # strings
    ("GET k", None), ("SET k v", OK), ("GET k", b"v"), ("SET k", arity("set")), ("GET", arity("get")),
    ("GET a b", arity("get")), ("SET k w NX", None), ("GET k", b"v"), ("SET k w XX", OK), ("SET none w XX", None),
    ("EXISTS none", 0), ("SET k x GET", b"w"), ("SET none y GET", None), ("GET none", b"y"), ("DEL none", 1),
    ("SET k y NX GET", b"x"), ("GET k", b"x"), ("SET n y NX GET", None), ("GET n", b"y"), ("SET m y XX GET", None),
    ("EXISTS m", 0), ("SET k v NX XX", SYNTAX), ("SET k v what", SYNTAX), ("SET k v EX", SYNTAX),
    ("SET k v EX 10 PX 10", SYNTAX), ("SET k v KEEPTTL EX 10", SYNTAX), ("SET k v EX 10 KEEPTTL", SYNTAX),
    ("SET k v EX ten", NOT_A_NUMBER), ("SET k v EX 0", lifetime("set")), ("SET k v PX -1", lifetime("set")),
    ("SET k v EX 9223372036854775807", lifetime("set")), ("SET k v PX 9223372036854775807", lifetime("set")),
    ("SET k v EX 10.5", NOT_A_NUMBER), ("set k v ex 100", OK), ("TTL k", 100), ("SET k v KEEPTTL", OK), ("TTL k", 100),
    ("SET k v", OK), ("TTL k", -1), ("SET k v PXAT 9999999999999", OK), ("PTTL k", lambda t: 1e12 < t < 1e13),
    ("SET k v EXAT 9999999999", OK), ("SET k v EXAT 1", OK), ("GET k", None), ("EXISTS k", 0),
    ("SETNX k a", 1), ("SETNX k b", 0), ("GET k", b"a"), ("SETEX k 100 c", OK), ("TTL k", 100),
    ("SETEX k 0 c", lifetime("setex")), ("PSETEX k 100000 d", OK), ("TTL k", 100), ("PSETEX k -5 d", lifetime("psetex")),
    ("SETEX k x c", NOT_A_NUMBER), ("GETSET k e", b"d"), ("TTL k", -1), ("GETSET fresh f", None), ("GETDEL k", b"e"),
    ("GETDEL k", None), ("STRLEN fresh", 1), ("STRLEN k", 0), ("APPEND k abc", 3), ("APPEND k def", 6),
    ("GET k", b"abcdef"), ("EXPIRE k 100", 1), ("APPEND k g", 7), ("TTL k", 100), ("APPEND k", arity("append")),
    # numbers
    ("INCR c", 1), ("INCR c", 2), ("INCRBY c 40", 42), ("DECR c", 41), ("DECRBY c 1", 40), ("GET c", b"40"),
    ("INCR fresh", NOT_A_NUMBER), ("INCRBY c x", NOT_A_NUMBER), ("INCRBY c 1.0", NOT_A_NUMBER),
    ("INCRBY c +1", NOT_A_NUMBER), ("INCRBY c 01", NOT_A_NUMBER), ("INCRBY c 9223372036854775808", NOT_A_NUMBER),
    ("SET c 9223372036854775807", OK), ("INCR c", Error("ERR increment or decrement would overflow")),
    ("GET c", b"9223372036854775807"), ("SET c -9223372036854775808", OK),
    ("DECR c", Error("ERR increment or decrement would overflow")),
    ("DECRBY c -9223372036854775808", Error("ERR decrement would overflow")), ("SET c 010", OK),
    ("INCR c", NOT_A_NUMBER), (["SET", "c", " 1"], OK), ("INCR c", NOT_A_NUMBER), (["SET", "c", ""], OK),
    ("INCR c", NOT_A_NUMBER), ("SET c -1", OK), ("INCR c", 0), ("DECR c", -1), ("SET c 5 EX 100", OK), ("INCR c", 6),
    ("TTL c", 100), ("INCRBY c", arity("incrby")),
    # several keys
    ("FLUSHALL", OK), ("DBSIZE", 0), ("MSET a 1 b 2 c 3", OK), ("MGET a b none c", [b"1", b"2", None, b"3"]),
    ("MSET a", arity("mset")), ("MSET a 1 b", arity("mset")), ("MGET", arity("mget")), ("MSET a 1 a 2 a 3", OK),
    ("GET a", b"3"), ("MSET n 1 n 2", OK), ("GET n", b"2"), ("DBSIZE", 4), ("EXISTS a b a none", 3), ("DEL n a a none", 2),
    ("EXISTS", arity("exists")), ("DEL", arity("del")), ("UNLINK b c", 2), ("DBSIZE", 0), ("TOUCH a", 0),
    ("SET a 1 EX 100", OK), ("MSET a 2", OK), ("TTL a", -1), ("FLUSHALL x", SYNTAX), ("FLUSHALL ASYNC", OK),
    ("FLUSHDB", OK), ("GET a", None),
    # times to live
    ("TTL k", -2), ("PTTL k", -2), ("EXPIRE k 10", 0), ("SET k v", OK), ("EXPIRE k 10", 1), ("TTL k", 10),
    ("PEXPIRE k 99999", 1), ("TTL k", 100), ("EXPIRE k ten", NOT_A_NUMBER), ("EXPIRE k", arity("expire")),
    ("EXPIRE k 5 NX", 0), ("EXPIRE k 200 GT", 1), ("EXPIRE k 100 GT", 0), ("EXPIRE k 300 LT", 0), ("EXPIRE k 100 LT", 1),
    ("EXPIRE k 50 XX", 1), ("TTL k", 50), ("PERSIST k", 1), ("PERSIST k", 0), ("TTL k", -1), ("EXPIRE k 5 XX", 0),
    ("EXPIRE k 5 GT", 0), ("EXPIRE k 5 LT", 1), ("EXPIRE k 5 WHAT", Error("ERR Unsupported option WHAT")),
    ("EXPIRE k 5 NX XX", Error("ERR NX and XX, GT or LT options at the same time are not compatible")),
    ("EXPIRE k 5 GT LT", Error("ERR GT and LT options at the same time are not compatible")),
    ("EXPIRE k 9223372036854775807", lifetime("expire")), ("EXPIRE k -9223372036854775808", lifetime("expire")),
    ("PEXPIRE k 9223372036854775807", lifetime("pexpire")), ("EXPIREAT k 9999999999", 1),
    ("PEXPIREAT k 9999999999999", 1), ("TTL k", lambda t: t > 1e9), ("EXPIRE k -1", 1), ("EXISTS k", 0),
    ("SET k v", OK), ("EXPIREAT k 1", 1), ("GET k", None), ("SET k v", OK), ("PEXPIREAT k 0", 1), ("GET k", None),
    ("PERSIST k", 0), ("SET k v", OK), ("TYPE k", "string"), ("TYPE none", "none"),
    # patterns
    ("FLUSHALL", OK), ("KEYS *", []), ("MSET one 1 two 2 three 3", OK), ("KEYS o*", [b"one"]),
    ("KEYS t*", lambda a: sorted(a) == [b"three", b"two"]), ("KEYS ?w?", [b"two"]), ("KEYS [a-o]*", [b"one"]),
    ("KEYS x", []), ("KEYS", arity("keys")), ("SCAN 0 MATCH one COUNT 1000", lambda a: a[1] in ([], [b"one"])),
    ("SCAN x", Error("ERR invalid cursor")), ("SCAN 0 COUNT 0", SYNTAX), ("SCAN 0 COUNT x", NOT_A_NUMBER),
    ("SCAN 0 WHAT 1", SYNTAX), ("SCAN 0 MATCH", SYNTAX), ("SCAN", arity("scan")),
    ("SCAN 0 COUNT 1000 TYPE list", lambda a: a[1] == []),
    # the connection
    ("SELECT 0", OK), ("SELECT x", NOT_A_NUMBER), ("SELECT 16", Error("ERR DB index is out of range")),
    ("CLIENT ID", lambda n: n > 0), ("CLIENT SETNAME me", OK), ("CLIENT GETNAME", b"me"),
    (["CLIENT", "SETNAME", "a b"], Error("ERR Client names cannot contain spaces, newlines or special characters.")),
    ("HELLO 2", lambda a: a[a.index(b"proto") + 1] == 2), ("HELLO x", Error("ERR Protocol version is not an integer or out of range")),
    ("HELLO 4", Error("NOPROTO unsupported protocol version")), ("COMMAND COUNT", lambda n: n > 30),
    ("CONFIG GET save", lambda a: a[0] == b"save" and len(a) == 2),
    ("CONFIG GET appendonly", [b"appendonly", b"no"]), ("CONFIG GET nothing", []),
    ("CONFIG GET maxmemory", [b"maxmemory", b"0"]), ("CONFIG GET", arity("config|get")),
    ("TIME", lambda t: abs(int(t[0]) - time.time()) < 100), ("FLUSHALL", OK),
    # what is none
    ("NOSUCH", Error("ERR unknown command 'NOSUCH', with args beginning with: ")),
    ("nosuch a b", Error("ERR unknown command 'nosuch', with args beginning with: 'a' 'b' ")),
    (["a\r\nb", "c\r\nd"], Error("ERR unknown command 'a  b', with args beginning with: 'c  d' ")),
    (["x" * 200, "y" * 200, "z"], Error(f"ERR unknown command '{'x' * 128}', with args beginning with: '{'y' * 128}' ")),
    (["nosuch", *"abcdefghijklmnopqrstuvwxyzabcdefghijklmnopqrstuvwxyz"],
     lambda e: e.startswith("ERR unknown command 'nosuch', with args beginning with: 'a' 'b' 'c' ")),
    ([""], Error("ERR unknown command '', with args beginning with: ")),
]


def exchange(client):
    for command, expected in EXCHANGES:
        args = command.split() if isinstance(command, str) else command
        answer = client.ask(*args)
        right = expected(answer) if callable(expected) else (answer == expected and type(answer) is type(expected))
        assert right, (command, answer, expected)


def answers_are_those_of_redis():
    with server() as own, own.client() as client:
        exchange(client)


def keys_and_values_may_be_any_bytes():
    with shared.client() as client:
        strings = [b"", b"\0", b"\r\n", b"\xff\xfe", b"$3\r\nfoo\r\n", bytes(range(256)), b"a" * 5000]
        for name in strings:
            for content in strings:
                assert client.ask("SET", name, content) == OK
                assert client.ask("GET", name) == content
        assert sorted(client.ask("KEYS", "*")) == sorted(strings)
        assert client.ask("MGET", *strings) == [strings[-1]] * len(strings)
        assert client.ask("DEL", *strings) == len(strings)


def values_of_every_size_come_back():
    sizes = [0, 1, 63, 64, 65, 4095, 4096, 4097, 8191, 8192, 16383, 16384, 16385, 32767, 32768, 32769, 65536, 100_000,
             1 << 20, (1 << 20) + 1, (20 << 20) // SCALE]
    with shared.client() as client:
        for size in sizes:
            content = rng.randbytes(size)
            assert client.ask("SET", "size", content) == OK
            assert client.ask("STRLEN", "size") == size
            assert client.ask("GET", "size") == content, size
            assert client.ask("SET", "size", content[:-1] + b"x", "GET") == content
            assert client.ask("MGET", "size", "none", "size") == [content[:-1] + b"x", None, content[:-1] + b"x"]
            assert client.ask("APPEND", "size", content) == 2 * max(size, 1) - (size == 0)
            assert client.ask("GETDEL", "size") == content[:-1] + b"x" + content
        # Large ones between small ones, in one send.
        content = rng.randbytes(200_000)
        answers = client.ask_all([("SET", "l", content), ("GET", "l"), ("PING",), ("SET", "s", "1"), ("GET", "l"), ("GET", "s")])
        assert answers == [OK, content, PONG, OK, content, b"1"]


def a_large_key_is_a_key():
    with shared.client() as client:
        for size in (32768, 100_000):
            name = rng.randbytes(size)
            assert client.ask("SET", name, "v") == OK
            assert client.ask("GET", name) == b"v" and client.ask("INCRBY", name + b"n", 5) == 5
            assert name in client.ask("KEYS", "*")
            found, cursor = [], b"0"
            while True:
                cursor, names = client.ask("SCAN", cursor)
                found += names
                if cursor == b"0":
                    break
            assert name in found
            assert client.ask("DEL", name, name + b"n") == 2


def patterns_have_redis_meaning():
    cases = [("h?llo", "hello", True), ("h?llo", "hllo", False), ("h*llo", "heeeello", True), ("h[ae]llo", "hallo", True),
             ("h[ae]llo", "hillo", False), ("h[^e]llo", "hallo", True), ("h[^e]llo", "hello", False),
             ("h[a-b]llo", "hbllo", True), ("h[b-a]llo", "hallo", True), ("*", "", True), ("**a**", "bab", True),
             ("\\*", "*", True), ("\\*", "a", False), ("a\\", "a\\", True), ("[]a", "a", False), ("[^]a", "xa", True),
             ("[a", "a", True), ("[\\]]", "]", True), ("[a-]", "-", False), ("*a*b*c", "xxaxxbxxc", True),
             ("*a*b*c", "xxaxxcxxb", False), ("a/*", "a/b/c", True), ("*", ".hidden", True), ("", "", True),
             ("?", "", False), ("[\\\\]", "\\", True), ("A", "a", False)]
    with shared.client() as client:
        for pattern, name, expected in cases:
            client.ask("FLUSHALL")
            client.ask("SET", name, "v")
            assert client.ask("KEYS", pattern) == ([name.encode()] if expected else []), (pattern, name)
        # One that would take for ever if each star were tried with each other.
        client.ask("SET", "a" * 10_000, "v")
        assert client.ask("KEYS", "a*" * 30 + "b") == []
        client.ask("FLUSHALL")


# --- protocol -------------------------------------------------------------------------------------------------------


def requests_may_come_byte_by_byte():
    data = encode("SET", "k", "hello") + b"GET k\r\n" + encode("APPEND", "k", b"\r\n") + encode("GET", "k")
    with shared.client() as client:
        for byte in data:
            client.send(bytes([byte]))
            time.sleep(0.0005)
        assert [client.read() for _ in range(4)] == [OK, b"hello", 7, b"hello\r\n"]


def requests_may_come_in_any_pieces():
    with shared.client() as client:
        for _ in range(300 // SCALE):
            commands, expected = [], []
            for _ in range(rng.randrange(1, 20)):
                content = rng.randbytes(rng.choice([0, 1, 10, 500, 1000, 20_000, 40_000, 100_000]))
                commands += [encode("SET", "piece", content), encode("GET", "piece")]
                expected += [OK, content]
            data, at = b"".join(commands), 0
            while at < len(data):
                n = rng.choice([1, 2, 3, 100, 768, 1000, 16384, 50_000, 10 ** 6])
                client.send(data[at:at + n])
                at += n
            assert [client.read() for _ in expected] == expected


def inline_commands_are_read_as_redis_reads_them():
    cases = [(b"PING\r\n", PONG), (b"PING\n", PONG), (b"  ECHO   hello \r\n", b"hello"),
             (b"ECHO \"a b\\n\\x41\\\"\"\r\n", b"a b\nA\""), (b"ECHO 'a \\'b\\n'\r\n", b"a 'b\\n"), (b"ECHO \"\"\r\n", b""),
             (b"\r\nECHO x\r\n", b"x"), (b"ECHO a\tb\r\n", arity("echo")), (b"ECHO \"\\xzz\\q\"\r\n", b"xzzq")]
    with shared.client() as client:
        for line, expected in cases:
            client.send(line)
            answer = client.read()
            assert answer == expected, (line, answer)
    for line in (b"ECHO \"a\r\n", b"ECHO 'a\r\n", b"ECHO \"a\"b\r\n"):
        with shared.client() as client:
            client.send(line)
            assert client.read() == Error("ERR Protocol error: unbalanced quotes in request") and client.is_closed()


def what_is_no_request_is_refused_and_closed():
    cases = [(b"*x\r\n", "invalid multibulk length"), (b"*1048577\r\n", "invalid multibulk length"),
             (b"*99999999999999999999\r\n", "invalid multibulk length"), (b"*+1\r\n", "invalid multibulk length"),
             (b"*\r\n", "invalid multibulk length"), (b"*1\n", "invalid multibulk length"),
             (b"*1\r\n+PING\r\n", "expected '$', got '+'"), (b"*1\r\n\0", "expected '$', got '?'"),
             (b"*1\r\n$x\r\n", "invalid bulk length"), (b"*1\r\n$-1\r\n", "invalid bulk length"),
             (b"*1\r\n$536870913\r\n", "invalid bulk length"), (b"*1\r\n$\r\n", "invalid bulk length"),
             (b"*1\r\n$4\r\nPINGxx", "expected CR LF behind a bulk"), (b"*" + b"1" * 100, "too big mbulk count string"),
             (b"*1\r\n$" + b"1" * 100, "too big bulk count string"), (b"x" * 70_000, "too big inline request")]
    for data, text in cases:
        with shared.client() as client:
            client.send(encode("PING"))
            client.send(data)
            assert client.read() == PONG
            answer = client.read()
            assert answer == Error("ERR Protocol error: " + text), (data[:20], answer)
            assert client.is_closed(), data[:20]
    with shared.client() as client:  # no command, and no error
        client.send(b"*0\r\n*-1\r\n\r\n" + encode("PING"))
        assert client.read() == PONG
    for line in (b"POST / HTTP/1.1\r\nHost: x\r\n\r\n", b"Host: x\r\n"):
        with shared.client() as client:
            client.send(line)
            assert client.is_closed(), "a browser is answered"


def what_is_announced_takes_no_memory():
    with server() as own, own.client() as witness:
        def resident():
            return int(own.info(witness, "used_memory_rss"))
        before = resident()
        clients = []
        for data in (b"*1048576\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n",
                     b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$536870912\r\n" + b"x" * 100_000, b"*2\r\n$536870000\r\n"):
            for _ in range(20):
                clients.append(own.client())
                clients[-1].send(data)
        assert witness.ask("PING") == PONG
        wait_until(lambda: int(own.info(witness, "client_input_bytes")) >= 20 * 100_000, "they are not received")
        held = int(own.info(witness, "client_input_bytes"))
        assert held < 20 * 300_000 + 80 * 20_000, held
        if SCALE == 1:
            assert resident() - before < 20 * 400_000 + 80 * 40_000
        for client in clients:
            client.close()
        wait_until(lambda: int(own.info(witness, "client_input_bytes")) == 0, "it is not given back")


def ten_thousand_commands_in_a_pipeline():
    n = 10_000
    with shared.client() as client:
        client.ask("FLUSHALL")
        commands = [("INCR", "n") if i % 3 == 0 else ("SET", f"k{i}", i) if i % 3 == 1 else ("GET", f"k{i - 1}")
                    for i in range(n)]
        sender = threading.Thread(target=client.send, args=(b"".join(encode(*c) for c in commands),))
        sender.start()
        for i in range(n):
            assert client.read() == (i // 3 + 1 if i % 3 == 0 else OK if i % 3 == 1 else str(i - 1).encode()), i
        sender.join()


def half_closed_connections_get_their_answers():
    with shared.client() as client:
        client.send(encode("SET", "half", "x" * 100_000) + encode("GET", "half") + encode("PING") + b"*1\r\n$4\r\nPI")
        client.socket.shutdown(socket.SHUT_WR)
        assert [client.read() for _ in range(3)] == [OK, b"x" * 100_000, PONG] and client.is_closed()


def quit_answers_and_closes():
    with shared.client() as client:
        client.send(encode("SET", "q", 1) + encode("QUIT") + encode("SET", "q", 2))
        assert client.read() == OK and client.read() == OK and client.is_closed()
    with shared.client() as client:
        assert client.ask("GET", "q") == b"1"


# --- promises -------------------------------------------------------------------------------------------------------


def run_threads(functions):
    errors = []

    def guarded(function):
        try:
            function()
        except BaseException as error:  # a thread's failure is the test's
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(f,)) for f in functions]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


def no_increment_is_lost():
    with server("--workers", "4") as own:
        n = 3000 // SCALE

        def count():
            with own.client() as client:
                for _ in range(n // 100):
                    client.ask_all([("INCR", "n")] * 50 + [("INCRBY", "n", 2)] * 50)

        run_threads([count] * 8)
        with own.client() as client:
            assert int(client.ask("GET", "n")) == 8 * (n // 100) * 150


def nobody_sees_half_an_mset():
    with server("--workers", "4") as own:
        names = [f"m{i}" for i in range(20)]
        done = threading.Event()

        def write(own_value):
            with own.client() as client:
                for i in range(1000 // SCALE):
                    order = rng.sample(names, len(names))
                    client.ask("MSET", *(x for name in order for x in (name, f"{own_value}-{i}")))
            done.set()

        def read():
            with own.client() as client:
                while not done.is_set():
                    seen = set(client.ask("MGET", *names))
                    assert len(seen) == 1, seen

        def delete():
            with own.client() as client:
                while not done.is_set():
                    gone = client.ask("DEL", *names)
                    assert gone in (0, len(names)), gone
                    time.sleep(0.001)

        run_threads([lambda: write("a"), lambda: write("b"), read, read, delete])


def a_scan_meets_all_that_stay():
    with server("--workers", "2") as own:
        stay = {f"stay:{i}".encode() for i in range(5000 // SCALE)}
        done = threading.Event()
        with own.client() as client:
            client.ask_all([("SET", name, "x") for name in stay])

        def change(number):
            own_rng = random.Random(SEED + number)
            with own.client() as client:
                while not done.is_set():  # tables grow and shrink, elements move
                    mine = [f"{number}:{own_rng.randrange(10 ** 9)}" for _ in range(2000 // SCALE)]
                    client.ask_all([("SET", name, "y") for name in mine])
                    client.ask_all([("DEL", name) for name in mine])

        def scan():
            try:
                with own.client() as client:
                    for count in (1, 10, 100, 1000, 10 ** 12):
                        seen, cursor, steps = collections.Counter(), b"0", 0
                        while True:
                            cursor, names = client.ask("SCAN", cursor, "COUNT", count)
                            seen.update(names)
                            steps += 1
                            if cursor == b"0":
                                break
                        assert stay <= seen.keys(), f"{len(stay - seen.keys())} of {len(stay)} missed, count {count}"
            finally:
                done.set()

        run_threads([scan, lambda: change(1), lambda: change(2)])
        with own.client() as client:  # cursors that nobody has given out
            for cursor in (1, 5, 1023, 1024, 2 ** 32, 2 ** 63, 2 ** 64 - 1):
                assert len(client.ask("SCAN", cursor)) == 2


def what_expires_goes_by_itself():
    with server() as own, own.client() as client:
        n = 2000 // SCALE
        client.ask_all([("SET", f"e{i}", "x", "PX", 300) for i in range(n)])
        client.ask_all([("SET", f"s{i}", "x") for i in range(100)])
        client.ask("SET", "lazy", "x", "PX", "1")
        time.sleep(0.01)
        assert client.ask("GET", "lazy") is None
        wait_until(lambda: client.ask("DBSIZE") < 100 + n / 10, "nothing is expired that nobody asks for")
        assert client.ask("EXISTS", *(f"e{i}" for i in range(n))) == 0 and client.ask("DBSIZE") == 100
        assert int(own.info(client, "expired_keys")) == n + 1


def memory_is_given_back():
    with server() as own, own.client() as client:
        def used():
            return int(own.info(client, "used_memory_dataset"))
        empty = used()
        for round in range(3):
            client.ask_all([("SET", f"k{i}", "x" * (i % 300)) for i in range(20_000 // SCALE)])
            assert used() > empty + 20_000 // SCALE * 100
            if round == 2:
                client.ask("FLUSHALL")
            else:
                client.ask_all([("DEL", f"k{i}") for i in range(20_000 // SCALE)])
            assert used() < empty + 1_500_000, (empty, used())


# --- limits ---------------------------------------------------------------------------------------------------------


def clients_above_the_limit_are_told():
    with server("--max-clients", "10") as own:
        clients = [own.client() for _ in range(10)]
        for client in clients:
            assert client.ask("PING") == PONG
        for _ in range(5):
            with own.client() as more:
                assert more.read() == Error("ERR max number of clients reached") and more.is_closed()
        clients.pop().close()

        def gets_in():
            with own.client() as client:
                with contextlib.suppress(OSError, EOFError):
                    return client.ask("PING") == PONG
            return False

        wait_until(gets_in, "there is room again")
        for client in clients:
            client.close()


def a_client_that_does_not_read_is_cut_off():
    with server("--stall", "0.5") as own:
        with own.client(receive_buffer=4096) as client, own.client() as other:
            other.ask("SET", "large", "x" * 1_000_000)
            client.socket.settimeout(5)
            with contextlib.suppress(OSError):
                for _ in range(100):
                    client.send(encode("GET", "large") * 10)
            wait_until(lambda: int(own.info(other, "connected_clients")) == 1, "it is still there")
            assert other.ask("PING") == PONG


def a_slow_reader_that_goes_on_is_served():
    with server("--stall", "1") as own:
        with own.client(receive_buffer=50_000) as client:
            content = rng.randbytes(1_000_000)
            assert client.ask("SET", "large", content) == OK
            client.send(encode("GET", "large") * 6)  # more than the kernel would buffer
            for _ in range(6):
                assert client.read_line() == b"$1000000"
                got = b""
                while len(got) < len(content) + 2:
                    part = client.reader.read(min(len(content) + 2 - len(got), 100_000))
                    assert part, "it is cut off"
                    got += part
                    time.sleep(0.03)
                assert got == content + b"\r\n"


def an_idle_client_is_cut_off_if_that_is_wanted():
    with server("--timeout", "0.5") as own:
        with own.client() as idle, own.client() as partly, own.client() as lively:
            partly.send(b"*1\r\n$4\r\nPI")
            for _ in range(10):
                assert lively.ask("PING") == PONG
                time.sleep(0.15)
            assert idle.is_closed() and partly.is_closed()


def requests_are_limited():
    with server("--max-value", "1", "--max-request", "2", "--max-buffers", "4") as own:
        with own.client() as client:
            assert client.ask("SET", "k", "x" * (1 << 20)) == OK
            assert client.ask("APPEND", "k", "x") == Error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")
        with own.client() as client:
            client.send(b"*2\r\n$3\r\nGET\r\n$%d\r\n" % ((1 << 20) + 1))
            assert client.read() == Error("ERR Protocol error: invalid bulk length") and client.is_closed()
        with own.client() as client:
            with contextlib.suppress(OSError):
                client.send(encode("MSET", *["x" * 500_000] * 10))
            with contextlib.suppress(OSError):
                assert "larger than --max-request" in client.read() and client.is_closed()
        held = []
        for _ in range(6):  # each less than it may be; all together more
            held.append(own.client())
            with contextlib.suppress(OSError):
                held[-1].send(b"*2\r\n$3\r\nGET\r\n$1000000\r\n" + b"x" * 900_000)
        refused = []
        for client in held:
            client.socket.settimeout(0.5)
            with contextlib.suppress(OSError):
                refused.append(client.read())
            client.close()
        assert refused and all("--max-buffers" in r for r in refused), refused
        with own.client() as client:
            wait_until(lambda: int(own.info(client, "client_input_bytes")) < 100_000, "it is not given back")
            assert client.ask("SET", "k", "y" * 900_000) == OK


def memory_is_limited():
    with server("--max-memory", "4") as own, own.client() as client:
        refused = None
        for i in range(200):
            refused = client.ask("SET", f"k{i}", "x" * 50_000)
            if refused != OK:
                break
        assert refused == Error("OOM command not allowed when used memory > 'maxmemory'."), refused
        assert 40 < i < 120
        assert client.ask("GET", "k1") == b"x" * 50_000
        assert client.ask("INCR", "n") == refused and client.ask("APPEND", "k1", "x") == refused
        assert client.ask("DEL", *(f"k{j}" for j in range(50))) == 50
        assert client.ask("SET", "k1", "y") == OK


# --- other people's clients -----------------------------------------------------------------------------------------


def run(*args, **options):
    return subprocess.run([*map(str, args)], capture_output=True, timeout=programs.PATIENCE, **options)


def redis_cli_works():
    with server() as own:
        def cli(*args, stdin=None):
            return run("redis-cli", "-p", own.number, *args, input=stdin or b"").stdout.decode()
        assert cli("SET", "k", "v") == "OK\n" and cli("GET", "k") == "v\n" and cli("GET", "none") == "\n"
        assert cli("-x", "SET", "file", stdin=b"from stdin\0") == "OK\n" and cli("STRLEN", "file") == "11\n"
        assert sorted(cli("--scan").split()) == ["file", "k"] and cli("--scan", "--pattern", "f*") == "file\n"
        assert cli("-2", "PING") == "PONG\n"
        assert "PONG" in cli(stdin=b"PING\nCOMMAND DOCS\nINFO server\n")
        assert "NOPROTO" in cli("HELLO", "3") and cli("PING") == "PONG\n"
        assert "Biggest string" in cli("--bigkeys")
        pipe = b"".join(encode("SET", f"p{i}", i) for i in range(1000))
        assert "errors: 0, replies: 1000" in cli("--pipe", stdin=pipe)
        assert cli("DBSIZE") == "1002\n"
        info = cli("INFO")
        for section in ("Server", "Clients", "Memory", "Persistence", "Stats", "Keyspace"):
            assert f"# {section}\r" in info, info
        assert "db0:keys=1002," in info and "# Stats" not in cli("INFO", "memory")


def redis_benchmark_works():
    with server() as own:
        for pipeline in (1, 16):
            result = run("redis-benchmark", "-p", own.number, "-t", "ping,set,get,incr,mset", "-n", 20_000 // SCALE, "-P",
                         pipeline, "-r", 1000, "-d", 100, "--csv")
            assert result.returncode == 0 and not result.stderr, result
            lines = result.stdout.decode().splitlines()
            assert len(lines) == 7, lines  # a header, and ping twice
        with own.client() as client:
            assert int(own.info(client, "total_commands_processed")) >= 2 * 6 * (20_000 // SCALE)


# --- stopping -------------------------------------------------------------------------------------------------------


def refuses(port):
    try:
        socket.create_connection(("127.0.0.1", port), programs.PATIENCE).close()
        return False
    except ConnectionError:
        return True


def stopping_lets_commands_in_flight_end():
    for stop in (Server.terminate, Server.interrupt):
        with Server("--grace", "60", "--stall", "60") as own:
            idle, half, slow = own.client(), own.client(), own.client(receive_buffer=4096)
            content = rng.randbytes(8_000_000)
            assert idle.ask("SET", "large", content) == OK
            half.send(encode("PING") + encode("SET", "k", "v")[:-3])  # one send: the server has seen both
            assert half.read() == PONG
            slow.send(encode("GET", "large"))
            assert slow.read_line() == b"$8000000"
            stop(own)
            wait_until(lambda: refuses(own.number), "it goes on listening")
            assert idle.is_closed()
            half.send(encode("SET", "k", "v")[-3:])
            assert half.read() == OK and half.is_closed()
            assert slow.reader.read(8_000_002) == content + b"\r\n" and slow.is_closed()
            assert own.end() == 0
            assert re.fullmatch(r"kv: stopped: 4 commands on \d+ connections answered, 0 cut", own.output[-1]), own.output
            for client in (idle, half, slow):
                client.close()


def stopping_cuts_what_does_not_end():
    with Server("--grace", "0.5") as own:
        half, slow = own.client(), own.client(receive_buffer=4096)
        assert half.ask("SET", "large", "x" * 8_000_000) == OK
        half.send(encode("PING") + encode("GET", "large")[:-3])
        assert half.read() == PONG
        slow.send(encode("GET", "large") * 3)
        assert slow.read_line() == b"$8000000"
        own.terminate()
        assert own.end() == 0
        assert own.output[-1].endswith(" on 2 connections answered, 2 cut"), own.output
        half.close()
        slow.close()


def a_second_signal_ends_it_at_once():
    for first, second in ((Server.terminate, Server.terminate), (Server.interrupt, Server.terminate)):
        with Server("--grace", "1000") as own:
            with own.client() as half:
                half.send(encode("PING") + b"*1\r\n$4\r\nPI")
                assert half.read() == PONG
                first(own)
                wait_until(lambda: refuses(own.number), "it goes on listening")
                second(own)
                assert own.end() != 0


def it_stops_under_load():
    with Server("--grace", "5", "--workers", "2") as own:
        acknowledged, begun = collections.Counter(), threading.Barrier(9)

        def load(number):
            with own.client() as client, contextlib.suppress(OSError, EOFError):
                client.ask("PING")
                begun.wait()
                while True:
                    for answer in client.ask_all([("INCR", f"n{number}")] * 10):
                        acknowledged[number] = answer

        threads = [threading.Thread(target=load, args=(i,)) for i in range(8)]
        for t in threads:
            t.start()
        begun.wait()
        time.sleep(0.3)
        own.terminate()
        assert own.end() == 0
        for t in threads:
            t.join()
        assert sum(acknowledged.values()) > 0 and own.output[-1].endswith(", 0 cut"), own.output


def waits_when_descriptors_run_out():
    with server("--workers", "2", descriptors=64) as short:
        clients = [short.client() for _ in range(100)]
        for client in clients:
            client.send(encode("PING"))
        for client in clients:
            assert client.read() == PONG
            client.close()


def wrong_arguments_are_refused():
    for arguments, code in ((["nonsense"], 1), (["--workers", "0"], 2), (["--fsync", "sometimes"], 2), (["--what"], 2),
                            (["127.0.0.1:0", "more"], 2), (["--max-value", "4096"], 2), (["--grace", "nan"], 2),
                            (["127.0.0.1:0", "--appendonly", "/nowhere/at all"], 1)):
        with programs.Program("kv", *arguments, quiet=True) as program:
            assert program.end() == code, arguments
    with programs.Program("kv", "--help") as program:
        assert program.end() == 0 and program.output[0].startswith("usage: kv ")


def waiting_connections_are_small():
    """Prints what one takes, its task's stack included, after a SET of a key of its own."""
    n = 500 if SCALE > 1 else 5000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < n + 500:
        n = hard - 500
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, n + 500), hard))
    with server("--workers", "2") as own:
        def resident():
            rollup = open(f"/proc/{own.process.pid}/smaps_rollup").read()
            return int(re.search(r"^Rss:\s+(\d+)", rollup, re.M)[1]) * 1024
        clients = [own.client() for _ in range(100)]
        for i, client in enumerate(clients):
            assert client.ask("SET", f"key{i}", "value") == OK
        before = resident()
        for i in range(n):
            clients.append(own.client())
            assert clients[-1].ask("SET", f"key{i}", "value") == OK
        each = (resident() - before) / n
        print(f"        {each:.0f} bytes for each of {n} connections that wait", flush=True)
        if SCALE == 1:
            assert each <= 6144, each
        for client in clients:
            client.close()


if redis_port:
    with Client(redis_port) as client:
        client.ask("FLUSHALL")
        exchange(client)
    print("Redis gives the same answers")
    sys.exit(0)

with server("--workers", "2") as shared:
    failed = programs.run_all([
        answers_are_those_of_redis,
        keys_and_values_may_be_any_bytes,
        values_of_every_size_come_back,
        a_large_key_is_a_key,
        patterns_have_redis_meaning,
        requests_may_come_byte_by_byte,
        requests_may_come_in_any_pieces,
        inline_commands_are_read_as_redis_reads_them,
        what_is_no_request_is_refused_and_closed,
        what_is_announced_takes_no_memory,
        ten_thousand_commands_in_a_pipeline,
        half_closed_connections_get_their_answers,
        quit_answers_and_closes,
        no_increment_is_lost,
        nobody_sees_half_an_mset,
        a_scan_meets_all_that_stay,
        what_expires_goes_by_itself,
        memory_is_given_back,
        clients_above_the_limit_are_told,
        a_client_that_does_not_read_is_cut_off,
        a_slow_reader_that_goes_on_is_served,
        an_idle_client_is_cut_off_if_that_is_wanted,
        requests_are_limited,
        memory_is_limited,
        redis_cli_works,
        redis_benchmark_works,
        stopping_lets_commands_in_flight_end,
        stopping_cuts_what_does_not_end,
        a_second_signal_ends_it_at_once,
        it_stops_under_load,
        waits_when_descriptors_run_out,
        wrong_arguments_are_refused,
        waiting_connections_are_small,
    ])
sys.exit(failed > 0)
