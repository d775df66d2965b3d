#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: see echo.py.
exec python3 "$(dirname "$0")/echo.py"
