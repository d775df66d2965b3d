#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: three tasks that block their thread for a second and then sleep for one: every one prints both its lines, and by
# the program's own clock one worker needs 4 seconds, three workers at least 2 and less than one worker.
set -euo pipefail
program=${SINEW_EXAMPLES_DIR:?is the directory of the example programs}/tutorial4

output=$("$program")
echo "$output"
fail() { echo "$1"; exit 1; }

mapfile -t lines <<<"$output"
((${#lines[@]} == 14)) || fail "expected 14 lines"
times=()
for first in 0 7; do
    run=("${lines[@]:first:6}")
    (($(printf '%s\n' "${run[@]}" | grep -cx One) == 3)) || fail "not three times One"
    (($(printf '%s\n' "${run[@]}" | grep -cx Two) == 3)) || fail "not three times Two"
    [ "${run[0]} ${run[5]}" = "One Two" ] || fail "does not begin with One and end with Two"
    workers=$((first == 0 ? 1 : 3))
    [[ ${lines[first + 6]} =~ ^"workers: $workers, time: "([0-9]+)\.([0-9][0-9])" s"$ ]] ||
        fail "no time of $workers workers"
    times+=($((10#${BASH_REMATCH[1]}${BASH_REMATCH[2]})))
done
((times[0] >= 390)) || fail "one worker was too fast: the blocking seconds must follow one another"
((times[1] >= 190)) || fail "three workers were too fast"
((times[1] < times[0])) || fail "three workers were not faster than one"
