#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: see proxy.py.
exec python3 "$(dirname "$0")/proxy.py"
