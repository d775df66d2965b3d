#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# check.sh PROGRAM TOPIC: PROGRAM, made from TOPIC.c, prints what TOPIC.txt holds, with 1, 2 and 8 workers, and so does
# TOPIC.py where there is one. Nothing may be said on stderr, and the exit code is 0.
#
# A line `# needs 3.13` in TOPIC.py names the Python it is for; without one 3.11 will do. Where there is none so new, the
# Python program is not run, and this says so: the C program's output is compared all the same.
set -euo pipefail

readonly program=$1 topic=$2
here=$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")
expected=$here/$topic.txt
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

# compare NAME COMMAND...
compare()
{
    local name=$1 code=0
    shift
    timeout 60 "$@" >"$scratch/out" 2>"$scratch/err" || code=$?
    if ((code != 0)) || [ -s "$scratch/err" ] || ! cmp -s "$expected" "$scratch/out"; then
        echo "$name: exit code $code; expected (<) and printed (>):"
        diff "$expected" "$scratch/out" || true
        cat "$scratch/err"
        exit 1
    fi
    echo "$name: as expected"
}

# The first Python that runs and is not older than $1.
find_python()
{
    local python
    for python in python3 python3.14 python3.13 python3.12; do
        if "$python" -c "import sys; sys.exit(sys.version_info < (${1/./, }))" 2>/dev/null; then
            echo "$python"
            return
        fi
    done
}

for workers in 1 2 8; do
    SINEW_WORKERS=$workers compare "$topic.c, $workers workers" "$program"
done
if [ -e "$here/$topic.py" ]; then
    needs=$(sed -n 's/^# needs //p' "$here/$topic.py")
    needs=${needs:-3.11}
    python=$(find_python "$needs")
    if [ "$python" ]; then
        compare "$topic.py" "$python" "$here/$topic.py"
    else
        echo "$topic.py: NOT RUN, as there is no Python $needs or newer here; only the C program was checked"
    fi
fi
