#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Builds everything that sinew is compared with, measures it all in turn, and writes bench/RESULTS.md and its plots.

    bench/peers/run.py [--only PATTERN] [--rounds N] [--quick] [--list] [--build DIR] [--no-build] [--report FILE...]

measure.py says how the rounds go, net.py and tasks.py what is measured. All samples go into bench/out/peers-*.json, and
--report makes the tables and plots again from such files, the later ones in place of what the earlier ones have of the
same. RESULTS.md is written by a whole run and by --report; after --only or short samples it is build/peers/RESULTS.md.

Numbers are for people: the exit status is 1 when a program failed or answered wrong, never because something is slow.
"""

import argparse
import datetime
import importlib
import json
import os
import pathlib
import platform
import re
import shutil
import subprocess
import sys

PEERS = pathlib.Path(__file__).resolve().parent
ROOT = PEERS.parent.parent
sys.path.append(str(PEERS.parent))

import report  # noqa: E402
from machine import Failure, Machine, cpu_model, raise_fd_limit  # noqa: E402
from measure import measure, summarise  # noqa: E402

PARTS = ("net", "tasks")
DEBIAN_CRATES = "/usr/share/cargo/registry"


# --- building ----------------------------------------------------------------------------------------------------


class Builder:
    """Runs build commands; what they say goes into build.log."""

    def __init__(self, build):
        self.build = build
        build.mkdir(parents=True, exist_ok=True)
        self.log = open(build / "build.log", "w", encoding="utf-8")
        self.failed = []

    def run(self, command, directory=None, **environment):
        self.log.write(f"$ {' '.join(map(str, command))}\n")
        self.log.flush()
        try:
            done = subprocess.run(list(map(str, command)), cwd=directory, env={**os.environ, **environment},
                                  stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
            return done.returncode == 0
        except OSError as error:
            self.log.write(f"{error}\n")
            return False

    def attempt(self, what, good):
        if not good:
            self.failed.append(what)
            print(f"{what} does not build here: {self.build / 'build.log'} says why; going on without", file=sys.stderr)

    def c(self):
        configure = ["cmake", "-S", PEERS, "-B", self.build, "-G", "Ninja", "-DCMAKE_BUILD_TYPE=RelWithDebInfo",
                     "-DCMAKE_C_COMPILER=gcc", "-DCMAKE_CXX_COMPILER=g++",
                     "-DCMAKE_C_FLAGS_RELWITHDEBINFO=-O2 -g", "-DCMAKE_CXX_FLAGS_RELWITHDEBINFO=-O2 -g"]
        # -k 0: a peer that does not compile is no reason to go without the others.
        compile = ["cmake", "--build", self.build, "--", "-k", "0"]
        self.attempt("a peer in C or C++", self.run(configure) and self.run(compile))

    def go(self, source, program):
        cache = {"GOCACHE": str(self.build / "go-cache"), "GOFLAGS": "-mod=mod", "GOPROXY": "off"}
        self.attempt(f"{source.relative_to(ROOT)} (Go)", self.run(["go", "build", "-o", program, "."], source, **cache))

    def cargo(self, source, program):
        """Debian's cargo, compiler and crates: nothing is fetched. A copy is built, as cargo writes a lock file."""
        copy = self.build / "cargo" / "-".join(source.relative_to(PEERS).parts)
        shutil.copytree(source, copy, dirs_exist_ok=True)
        cargo = ["/usr/bin/cargo", "build", "--release", "--offline"]
        cargo += ["--config", 'source.crates-io.replace-with="debian"']
        cargo += ["--config", f'source.debian.directory="{DEBIAN_CRATES}"']
        good = self.run(cargo, copy, RUSTC="/usr/bin/rustc", CARGO_TARGET_DIR=str(copy / "target"))
        if good:
            shutil.copy2(copy / "target" / "release" / program.name, program)
        self.attempt(f"{source.relative_to(ROOT)} (Rust)", good)

    def everything(self):
        """The program of a directory D with a go.mod or a Cargo.toml is build/peers/<part>/D."""
        self.c()
        for part in PARTS:
            (self.build / part).mkdir(exist_ok=True)
            for kind, way in (("go.mod", self.go), ("Cargo.toml", self.cargo)):
                for found in sorted((PEERS / part).glob(f"*/{kind}")):
                    way(found.parent, self.build / part / found.parent.name)


# --- the run -----------------------------------------------------------------------------------------------------


def modules():
    return [importlib.import_module(part) for part in PARTS if (PEERS / f"{part}.py").exists()]


def show_progress(text):
    """On a terminal, and only there: a line that the next one overwrites."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", metavar="PATTERN", help="regular expression on the keys that --list shows")
    parser.add_argument("--rounds", type=int, help="how often everything is measured (default 5; 1 with --quick)")
    parser.add_argument("--quick", action="store_true", help="short samples, for a first look")
    parser.add_argument("--list", action="store_true", help="print the keys and what they measure")
    parser.add_argument("--build", default=str(ROOT / "build" / "peers"), help="build directory")
    parser.add_argument("--no-build", action="store_true", help="everything is built")
    parser.add_argument("--report", nargs="+", metavar="FILE", help="tables and plots from what was measured before")
    args = parser.parse_args()
    args.rounds = args.rounds or (1 if args.quick else 5)
    return args


def write_report(document, build, whole):
    directory = ROOT / "bench" if whole else build
    path = report.write(document, directory)
    print(f"Report: {os.path.relpath(path)}")


def main():
    args = parse_arguments()
    build = pathlib.Path(args.build).resolve()
    if args.report:
        document = report.merge([json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in args.report])
        print(report.text(document))
        write_report(document, build, not document["quick"])
        return 0

    raise_fd_limit()
    if not args.no_build and not args.list:
        Builder(build).everything()
    if not args.list and not (build / "sinew" / "bench" / "load").exists():
        raise Failure(f"sinew itself was not built: {build / 'build.log'}")
    parts = modules()
    workloads = [w for part in parts for w in part.workloads(build, args.quick)]
    if args.only:
        workloads = [w for w in workloads if re.search(args.only, w.key)]
    if args.list:
        for workload in workloads:
            print(f"{workload.key:28} {workload.title}: {', '.join(workload.contestants)}")
        return 0
    if not workloads:
        raise Failure(f"no workload matches {args.only}")
    absent = {(name, why) for w in workloads for name, why in w.contestants.items() if not callable(why)}
    for name, why in sorted(absent):
        print(f"without {name}: {why}", file=sys.stderr)

    machine = Machine(build / "sinew", args.quick, attempts=1 if args.quick else 3)
    started = datetime.datetime.now()
    samples, failures = measure(workloads, machine, args.rounds, show_progress)
    show_progress("")
    groups = {}
    for part in parts:
        groups.update(getattr(part, "GROUPS", {}))
    document = {
        "started": started.isoformat(timespec="seconds"), "cpu": cpu_model(), "cpus": len(machine.cpus),
        "kernel": platform.release(), "rounds": args.rounds, "quick": args.quick, "samples": machine.samples,
        "disturbed": machine.disturbed, "failures": failures, "groups": groups,
        "workloads": [summarise(w, samples[w.key]) for w in workloads],
    }
    out = ROOT / "bench" / "out"
    out.mkdir(exist_ok=True)
    path = out / f"peers-{started:%Y%m%d-%H%M%S}.json"
    path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(report.text(document))
    print(f"All samples: {os.path.relpath(path)}")
    write_report(document, build, not (args.quick or args.only))
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except Failure as error:
        sys.exit(f"run.py: {error}")
    except KeyboardInterrupt:
        sys.exit(130)
