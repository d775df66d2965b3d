#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: see kv_log.py.
exec python3 "$(dirname "$0")/kv_log.py"
