# SPDX-License-Identifier: Apache-2.0
#
# ThreadSanitizer ends a child of several threads as soon as it starts one itself, unless it is told to go on (without
# watching such a child).
set_tests_properties(
    ${test} PROPERTIES ENVIRONMENT "UBSAN_OPTIONS=print_stacktrace=1:halt_on_error=1;ASAN_OPTIONS=${asan_options};TSAN_OPTIONS=${tsan_options}:die_after_fork=0")
