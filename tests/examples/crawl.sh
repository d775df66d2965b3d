#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: see crawl.py.
exec python3 "$(dirname "$0")/crawl.py"
