#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: two tasks awaited one after the other print in order and take the sum of their times, with any number of
# workers.
set -euo pipefail
program=${SINEW_EXAMPLES_DIR:?is the directory of the example programs}/tutorial2

uptime_cs() { local up rest; read -r up rest </proc/uptime; echo $((10#${up/./})); }

for workers in 1 4; do
    began=$(uptime_cs)
    output=$(SINEW_WORKERS=$workers "$program")
    took=$(($(uptime_cs) - began))
    time='[0-9]+:[0-9]+:[0-9]+'
    [[ $output =~ ^"started at "$time$'\nhello\nworld\n'"finished at "$time$ ]] ||
        { echo "unexpected output: $output"; exit 1; }
    ((took >= 299)) || { echo "took only $took hundredths of a second"; exit 1; }
    echo "ok with $workers workers, $took hundredths of a second"
done
