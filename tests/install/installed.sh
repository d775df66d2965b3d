#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
#
# Goal: what `cmake --install` leaves behind can be used by strangers, and holds no more than it should.
# Method: install into a scratch directory, move that elsewhere (nothing may remember the first place), and build and
# run the README's program there, in the way named by the argument.
# Not seen here: distributions' own layouts; ctest passes the compilers and directories through the environment.
set -euo pipefail

way=$1
scratch=$(mktemp -d "${TMPDIR:-/tmp}/sinew-install.XXXXXX")
trap 'rm -rf "$scratch"' EXIT

fail()
{
    echo "installed.sh $way: $*" >&2
    exit 1
}

"$CMAKE" --install "$SINEW_BUILD_DIR" --prefix "$scratch/first" >"$scratch/log" || fail "$(cat "$scratch/log")"
prefix=$scratch/moved
mv "$scratch/first" "$prefix"
lib=$prefix/$SINEW_LIBDIR
export PKG_CONFIG_PATH=$lib/pkgconfig

mkdir "$scratch/app"
cd "$scratch/app"
sed -n '/^```c$/,/^```$/{/^```/d;p}' "$SINEW_SOURCE_DIR/README.md" >app.c
[ -s app.c ] || fail "README.md has no program in C"
cp app.c app.cc

# run <program>: 3 * 3 + 4 * 4
run()
{
    local out
    out=$("$@") || fail "$* exits with $?"
    [ "$out" = 25 ] || fail "$* prints '$out' instead of 25"
}

# The same for a program with libsinew.a. There ThreadSanitizer cannot tell the runtime's own calls of libc from the
# program's (see tsan.supp), so what it reports is left out: the question here is whether it links and runs.
run_static()
{
    TSAN_OPTIONS=${TSAN_OPTIONS:-}:report_bugs=0 run "$@"
}

# needs <file> <library>: does the dynamic linker have to find it?
needs()
{
    readelf -d "$1" | grep -q "NEEDED.*\[$2"
}

read -ra strict <<<"-Wall -Wextra -Werror $SINEW_SANITIZE_FLAGS"

# exports <library> <header>...: every public function is there, and nothing else is.
exports()
{
    local library=$1 missing surplus
    shift
    nm -D --defined-only "$lib/$library" | awk '{ print $NF }' | sort -u >exported
    grep -hoE 'SINEW_API [^()]*\bsinew_[a-z0-9_]+\(' "$@" | grep -oE 'sinew_[a-z0-9_]+\($' | tr -d '(' | sort -u >declared
    [ -s declared ] || fail "found no declaration"
    missing=$(comm -13 exported declared)
    surplus=$(comm -23 exported declared)
    [ -z "$missing" ] || fail "declared but not in $library: $missing"
    [ -z "$surplus" ] || fail "in $library but in no public header: $surplus"
}

case $way in
exports)
    mapfile -t headers < <(find "$prefix/include" -name '*.h' ! -name tls.h)
    exports libsinew.so "${headers[@]}"
    needs "$lib/libsinew.so" libboost && fail "libsinew.so needs a Boost library to run"
    # The tool is only there where libdw was.
    [ ! -e "$prefix/bin/sinew" ] || "$prefix/bin/sinew" --version >/dev/null || fail "the program sinew does not run"
    needs "$lib/libsinew.so" libssl && fail "libsinew.so needs OpenSSL to run"
    readelf -d "$lib/libsinew.so" | grep -q 'SONAME.*\[libsinew\.so\.0\]' || fail "the soname is not libsinew.so.0"
    ;;
tls)
    exports libsinew-tls.so "$prefix/include/sinew/tls.h"
    readelf -d "$lib/libsinew-tls.so" | grep -q 'SONAME.*\[libsinew-tls\.so\.0\]' ||
        fail "the soname is not libsinew-tls.so.0"
    cat >tls.c <<'END'
#include <sinew.h>
#include <sinew/tls.h>
#include <stdio.h>

static intptr_t program(void *arg)
{
    (void)arg;
    sinew_tls_context *context;
    sinew_tls_reason why;
    sinew_tls_context_options opt = {.ca_directory = "/", .why = &why};
    intptr_t r = sinew_tls_context_new(&opt, &context);
    sinew_tls_context_unref(context);
    printf("%s", r == 0 ? "25" : why.text);
    return r;
}

int main(void) { return (int)sinew_run(program, NULL); }
END
    read -ra flags <<<"$("$PKG_CONFIG" --cflags --libs sinew-tls)"
    "$CC" "${strict[@]}" tls.c -o shared "${flags[@]}"
    needs shared libssl && fail "a program with the shared library needs OpenSSL by itself"
    LD_LIBRARY_PATH=$lib run ./shared
    read -ra flags <<<"$("$PKG_CONFIG" --cflags --libs --static sinew-tls)"
    flags=("${flags[@]/#-lsinew-tls/-l:libsinew-tls.a}")
    "$CC" "${strict[@]}" tls.c -o static "${flags[@]/%-lsinew/-l:libsinew.a}"
    needs static libsinew && fail "the program is not linked with the static libraries"
    run_static ./static
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C)
find_package(sinew 0.1 REQUIRED COMPONENTS tls)
foreach(kind tls tls_static)
    add_executable(c_${kind} tls.c)
    target_link_libraries(c_${kind} PRIVATE sinew::${kind})
endforeach()
END
    "$CMAKE" -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" -DCMAKE_C_FLAGS="${strict[*]}" \
        >log 2>&1 || fail "$(cat log)"
    "$CMAKE" --build build >log 2>&1 || fail "$(cat log)"
    run build/c_tls
    run_static build/c_tls_static
    needs build/c_tls_static libsinew && fail "sinew::tls_static is not the static library"
    ;;
pkg-config)
    read -ra flags <<<"$("$PKG_CONFIG" --cflags --libs sinew)"
    [[ " ${flags[*]} " == *" -fstack-clash-protection "* ]] || fail "the flags lack -fstack-clash-protection"
    "$CC" "${strict[@]}" app.c -o c "${flags[@]}"
    "$CXX" "${strict[@]}" app.cc -o c++ "${flags[@]}"
    needs c libsinew.so.0 || fail "the program is not linked with libsinew.so.0"
    export LD_LIBRARY_PATH=$lib
    run ./c
    run ./c++
    ;;
pkg-config-static)
    read -ra flags <<<"$("$PKG_CONFIG" --cflags --libs --static sinew)"
    # A linker takes the shared library of two with one name; saying which leaves all other flags as they are.
    "$CC" "${strict[@]}" app.c -o part "${flags[@]/#-lsinew/-l:libsinew.a}"
    needs part libsinew && fail "the program is not linked with libsinew.a"
    run_static ./part
    # Sanitizers cannot be linked into a program without any shared library.
    if [ -z "$SINEW_SANITIZE_FLAGS" ]; then
        "$CC" "${strict[@]}" -static app.c -o whole "${flags[@]}" 2>log || fail "$(cat log)"
        run_static ./whole
    fi
    ;;
cmake)
    cat >CMakeLists.txt <<'END'
cmake_minimum_required(VERSION 3.25)
project(app LANGUAGES C CXX)
find_package(sinew 0.1 REQUIRED)
foreach(kind sinew sinew_static)
    add_executable(c_${kind} app.c)
    add_executable(cxx_${kind} app.cc)
    target_link_libraries(c_${kind} PRIVATE sinew::${kind})
    target_link_libraries(cxx_${kind} PRIVATE sinew::${kind})
endforeach()
END
    "$CMAKE" -S . -B build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$CC" -DCMAKE_CXX_COMPILER="$CXX" \
        -DCMAKE_C_FLAGS="${strict[*]}" -DCMAKE_CXX_FLAGS="${strict[*]}" -DCMAKE_EXPORT_COMPILE_COMMANDS=ON >log 2>&1 ||
        fail "$(cat log)"
    "$CMAKE" --build build >log 2>&1 || fail "$(cat log)"
    run build/c_sinew
    run build/cxx_sinew
    run_static build/c_sinew_static
    run_static build/cxx_sinew_static
    [ "$(grep -c -- -fstack-clash-protection build/compile_commands.json)" -ge 4 ] ||
        fail "the targets lack -fstack-clash-protection"
    needs build/c_sinew libsinew.so.0 || fail "sinew::sinew is not the shared library"
    needs build/c_sinew_static libsinew && fail "sinew::sinew_static is not the static library"
    ;;
*)
    fail "exports, pkg-config, pkg-config-static, cmake or tls, please"
    ;;
esac
exit 0
