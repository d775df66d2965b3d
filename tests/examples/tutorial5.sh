#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: Ctrl-C ends the producers and consumers cleanly, and nothing that was produced is lost. See tutorial5.py.
exec python3 "$(dirname "$0")/tutorial5.py"
