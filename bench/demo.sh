#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# What the runtime does, on one screen and in half a minute: bash bench/demo.sh [BUILD_DIRECTORY]
# The exit status is not 0 when a program fails, an answer is an error, or a byte differs from the file on disk.
set -uo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/.." && pwd)
build=$(readlink -m "${1:-$root/build/release}")
work=$(mktemp -d)
server=
wrong=0

if [ -t 1 ]; then
    bold=$'\e[1m' red=$'\e[31m' green=$'\e[32m' plain=$'\e[0m'
else
    bold='' red='' green='' plain=''
fi

cleanup()
{
    [ -z "$server" ] || kill "$server" 2>/dev/null
    rm -rf "$work"
}
trap cleanup EXIT
trap 'exit 130' INT TERM

title()
{
    printf '\n%s%s%s\n' "$bold" "$*" "$plain"
}

fail()
{
    printf '   %s%s%s\n' "$red" "$*" "$plain"
    wrong=1
}

# The last lines of a log, indented, after a failure.
show_log()
{
    tail -n 5 "$1" | sed 's/^/      /'
}

need()
{
    [ -x "$1" ] && return
    fail "$1 is missing: build the release preset first"
    exit 1
}

# 1234567 as 1,234,567
commas()
{
    printf '%.0f' "$1" | sed -E ':again s/^(-?[0-9]+)([0-9]{3})/\1,\2/; t again'
}

# field NAME: a number out of one line of JSON on stdin
field()
{
    grep -oE "\"$1\": -?[0-9.]+" | grep -oE -- '-?[0-9.]+$'
}

tutorial()
{
    title "Three tasks that each block their thread for 1 s and then sleep for 1 s (examples/tutorial4.c)"
    if ! "$build/examples/tutorial4" >"$work/tutorial" 2>&1; then
        fail "tutorial4 failed"
        show_log "$work/tutorial"
        return
    fi
    sed -nE 's/^workers: ([0-9]+), time: (.*)$/\1 \2/p' "$work/tutorial" | while read -r workers time; do
        printf '   %3d worker%-2s %10s\n' "$workers" "$([ "$workers" = 1 ] || echo s)" "$time"
    done
}

skynet()
{
    title "Skynet: every node has ten children, down to 1,000,000 leaves, and sums what they return"
    local filter='^(plain/skynet|sinew/skynet_gather/workers:[0-9]+)/'
    if ! "$build/bench/core" --benchmark_filter="$filter" --workers "1,$cpus" --benchmark_min_time=0.3 \
        --benchmark_format=csv >"$work/skynet" 2>"$work/skynet.log"; then
        fail "the benchmark failed"
        show_log "$work/skynet.log"
        return
    fi
    if ! awk -F, '
        /^"/ {
            gsub(/"/, "", $1)
            split($1, part, "/")
            if ($3 == "") { bad = 1; next }
            if (part[1] == "plain") label = "plain recursion"
            else {
                count = part[3]; sub(/.*:/, "", count)
                if (seen[count]++) next
                label = count (count == 1 ? " worker" : " workers")
            }
            lines++
            printf "   %-16s %6.2f ms %8.1f ns a node\n", label, $3 * 1111111 / 1e6, $3
        }
        END { exit bad || lines < 2 }' "$work/skynet"; then
        fail "the benchmark failed"
        show_log "$work/skynet"
    fi
}

million()
{
    title "1,000,000 tasks sleep for 1 s at once, each on a stack of its own"
    local result
    if ! result=$("$build/bench/million" sleep 1000000 --workers "$cpus" 2>"$work/million.log"); then
        fail "the benchmark failed"
        show_log "$work/million.log"
        return
    fi
    printf '   from the first spawn to the last wake %s s, CPU %s s, %s bytes a task with everything\n' \
        "$(field wall_s <<<"$result")" "$(field cpu_s <<<"$result")" \
        "$(commas "$(field bytes_per_task <<<"$result")")"
    local at_once
    at_once=$(field at_once <<<"$result")
    [ "$at_once" = 1000000 ] ||
        printf '   (spawning took longer than the sleep on this machine: %s slept at once)\n' "$(commas "$at_once")"
}

start_server()
{
    "$build/examples/http" "$root" 127.0.0.1:0 >"$work/http.log" 2>&1 &
    server=$!
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        address=$(grep -oE '127\.0\.0\.1:[0-9]+' "$work/http.log" 2>/dev/null | head -n 1)
        [ -z "$address" ] || return 0
        kill -0 "$server" 2>/dev/null || break
        sleep 0.05
    done
    fail "the HTTP server does not listen"
    show_log "$work/http.log"
    return 1
}

# load CONNECTIONS: one line of the table
load()
{
    local log=$work/wrk rate p50 p99 errors
    if ! wrk -t1 -c"$1" -d2s --latency "http://$address/README.md" >"$log" 2>&1; then
        fail "wrk failed"
        show_log "$log"
        return
    fi
    rate=$(awk '/Requests\/sec/ { print $2 }' "$log")
    p50=$(awk '$1 == "50%" { print $2 }' "$log")
    p99=$(awk '$1 == "99%" { print $2 }' "$log")
    errors=$(awk '/Socket errors/ { gsub(/,/, ""); n += $4 + $6 + $8 + $10 } /Non-2xx/ { n += $NF } END { print n + 0 }' \
        "$log")
    printf '   %11s %14s %10s %10s %8s\n' "$(commas "$1")" "$(commas "$rate")" "$p50" "$p99" "$errors"
    [ "$errors" = 0 ] || fail "$errors errors"
    [ "${rate%%.*}" -gt 0 ] || fail "no request was answered"
}

list_files()
{
    local files=$work/files
    git -C "$root" ls-files -z >"$files" 2>/dev/null
    [ -s "$files" ] || git -C "$root" ls-files -z --others --exclude-standard >"$files" 2>/dev/null
    [ -s "$files" ] || (cd "$root" && find . -path ./build -prune -o -type f -printf '%P\0') >"$files"
}

# Fetches all files over a few connections that are kept, and compares each with the one on disk.
compare_files()
{
    local name url count=0 same=0 bytes=0
    local -a names=()
    list_files
    while IFS= read -r -d '' name; do
        [ -f "$root/$name" ] && [ ! -L "$root/$name" ] || continue
        url=$(printf '%s' "$name" | sed -e 's/%/%25/g; s/ /%20/g; s/#/%23/g; s/?/%3F/g; s/"/%22/g; s/\\/%5C/g')
        printf 'url = "http://%s/%s"\noutput = "%s/got.%d"\n' "$address" "$url" "$work" "$count"
        names[count++]=$name
    done <"$work/files" >"$work/curl"
    if ! curl --globoff --path-as-is --fail --silent --show-error --max-time 20 -K "$work/curl" 2>"$work/curl.log"; then
        fail "curl failed"
        show_log "$work/curl.log"
    fi
    for ((count = 0; count < ${#names[@]}; count++)); do
        if cmp -s "$root/${names[count]}" "$work/got.$count"; then
            same=$((same + 1))
            bytes=$((bytes + $(stat -c %s "$work/got.$count")))
        else
            fail "${names[count]}: not what is on disk"
        fi
    done
    printf '   %d of %d files of the repository fetched and compared: the same, %s bytes\n' \
        "$same" "${#names[@]}" "$(commas "$bytes")"
    [ "$same" -gt 0 ] || fail "no file was compared"
}

http()
{
    title "examples/http serves this repository; wrk asks for README.md, 2 s each, all on the same $cpus CPUs"
    start_server || return
    printf '   %11s %14s %10s %10s %8s\n' connections requests/s p50 p99 errors
    load 1
    load 64
    load 1000
    compare_files
    if ! kill -0 "$server" 2>/dev/null; then
        fail "the server has ended"
        show_log "$work/http.log"
    fi
}

cpus=$(nproc)
ulimit -n "$(ulimit -Hn)" 2>/dev/null
if [ "$(ulimit -n)" != unlimited ] && [ "$(ulimit -n)" -lt 1100 ]; then
    fail "1,000 connections need more than the $(ulimit -n) open files allowed here (ulimit -n)"
fi
for program in bench/core bench/million examples/tutorial4 examples/http; do
    need "$build/$program"
done
for tool in wrk curl cmp; do
    command -v "$tool" >/dev/null || { fail "$tool is not installed"; exit 1; }
done

tutorial
skynet
million
http
echo
if [ "$wrong" = 0 ]; then
    printf '%sAll as it should be.%s\n' "$green" "$plain"
else
    printf '%sSomething went wrong: see above.%s\n' "$red" "$plain"
fi
exit "$wrong"
