#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# run.sh PROGRAM [libFuzzer's options]: runs the entry on copies of its inputs, in a directory of its own, where
# everything new goes. An input that fails is shown as base64, to be kept in corpus/<name>/ when the error is mended.
#
# run.sh PROGRAM --keep: takes over into corpus/<name>/ of what was found what reaches something new; of more than 90 files
# the longest, and those that somebody has named.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
program=$1
name=$(basename "$program")
name=${name#fuzz_}
work=${FUZZ_DIR:-$(dirname "$program")/fuzz}/$name
options=(-max_len=4096 -timeout=20 -rss_limit_mb=2048 -print_final_stats=0 "-artifact_prefix=$work/")
[ ! -f "$here/$name.dict" ] || options+=("-dict=$here/$name.dict")

if [ "${2:-}" = --keep ]; then
    "$program" -merge=1 -use_counters=0 "${options[@]}" "$here/corpus/$name" "$work/found" 2>&1 | tail -n 1
    cd "$here/corpus/$name"
    find . -type f -regextype egrep -regex './[0-9a-f]{40}' -printf '%s %f\n' | sort -rn |
        tail -n +$((91 - $(find . -type f -regextype egrep -not -regex './[0-9a-f]{40}' | wc -l))) |
        while read -r _ file; do rm "$file"; done
    exit
fi

[ -n "${FUZZ_KEEP:-}" ] || rm -rf "$work"
mkdir -p "$work/found"
if ! "$program" "${options[@]}" "${@:2}" "$work/found" "$here/corpus/$name" >"$work/log" 2>&1; then
    grep -v '^#[0-9]' "$work/log" | tail -n 100
    for input in "$work"/{crash,leak,timeout,oom}-*; do
        [ ! -f "$input" ] || printf '%s:\n%s\n' "$input" "$(base64 -w 0 "$input")"
    done
    exit 1
fi
grep -E '^Done ' "$work/log" | tail -n 1
