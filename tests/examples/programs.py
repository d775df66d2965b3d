# SPDX-License-Identifier: Apache-2.0
"""What the tests of the example programs share: finding, starting and stopping one."""
import os
import pathlib
import queue
import resource
import signal
import subprocess
import sys
import threading
import traceback

# Long enough for a sanitizer's build on a busy machine. Nothing waits for it that goes well.
PATIENCE = 60


def path_of(name):
    directory = os.environ.get("SINEW_EXAMPLES_DIR")
    if not directory:
        sys.exit("SINEW_EXAMPLES_DIR has to be the directory of the example programs")
    for candidate in (pathlib.Path(directory, name, name), pathlib.Path(directory, name)):
        if candidate.is_file():
            return str(candidate)
    sys.exit(f"there is no program {name} in {directory}")


class Program:
    """A running example, with its standard output as lines."""

    def __init__(self, name, *arguments, descriptors=None, quiet=False):
        def prepare():
            # A script in the background has SIGINT ignored, and its children would inherit that.
            signal.signal(signal.SIGINT, signal.SIG_DFL)
            if descriptors:
                resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

        self.process = subprocess.Popen(
            [path_of(name), *arguments], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL if quiet else None,
            text=True, preexec_fn=prepare)
        self.output = []
        self._lines = queue.Queue()
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()

    def _read(self):
        for line in self.process.stdout:
            self._lines.put(line.rstrip("\n"))
        self._lines.put(None)

    def line(self):
        """The next line of output; None at its end."""
        line = self._lines.get(timeout=PATIENCE)
        if line is not None:
            self.output.append(line)
        return line

    def port(self):
        """The port in the line that says where the program listens."""
        return int(self.line().rsplit(":", 1)[1])

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def end(self):
        """Waits for the end; the exit code, negative for a signal. All of the output is in self.output then."""
        code = self.process.wait(timeout=PATIENCE)
        while self.line() is not None:
            pass
        return code


def run_all(tests):
    """Runs functions whose names are claims; how many of them do not hold."""
    failed = []
    for test in tests:
        try:
            test()
            print(f"ok      {test.__name__}", flush=True)
        except Exception as error:
            traceback.print_exc()
            print(f"FAILED  {test.__name__}: {error!r}", flush=True)
            failed.append(test.__name__)
    print(f"{len(tests) - len(failed)} passed, {len(failed)} failed")
    return len(failed)
