#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: see http.py.
exec python3 "$(dirname "$0")/http.py"
