#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: the first tutorial prints its two lines in order and sleeps for a second between start and end.
set -euo pipefail
program=${SINEW_EXAMPLES_DIR:?is the directory of the example programs}/tutorial1

uptime_cs() { local up rest; read -r up rest </proc/uptime; echo $((10#${up/./})); }

began=$(uptime_cs)
output=$("$program")
took=$(($(uptime_cs) - began))

[ "$output" = $'Hello ...\n... World!' ] || { echo "unexpected output: $output"; exit 1; }
((took >= 99)) || { echo "took only $took hundredths of a second"; exit 1; }
echo "ok, $took hundredths of a second"
