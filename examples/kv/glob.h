/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns with Redis' meaning, which fnmatch(3) does not have: * ? [a-z] [^a-z] and \ before a character that stands
 * for itself; '/' and '.' are characters like others, and so is NUL. What is left unfinished at the end of a pattern
 * stands for itself.
 */
#ifndef KV_GLOB_H
#define KV_GLOB_H

#include <stdbool.h>
#include <stddef.h>

/* Time: at most the product of the lengths. */
bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len, bool ignore_case);

#endif
