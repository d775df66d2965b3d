/* SPDX-License-Identifier: Apache-2.0 */
#include "glob.h"

static unsigned char folded(char c, bool ignore_case)
{
    return ignore_case && c >= 'A' && c <= 'Z' ? (unsigned char)(c - 'A' + 'a') : (unsigned char)c;
}

/* Does the class whose '[' has been read contain `c`? Stores where the pattern goes on. */
static bool in_class(const char *p, const char *end, char c, bool ignore_case, const char **next)
{
    unsigned char sought = folded(c, ignore_case);
    bool inverted = p < end && *p == '^', found = false;
    p += inverted;
    for (; p < end && *p != ']'; p++) {
        if (*p == '\\' && end - p >= 2) {
            p++;
            found |= folded(*p, ignore_case) == sought;
        } else if (end - p >= 3 && p[1] == '-') {
            unsigned char low = folded(p[0], ignore_case), high = folded(p[2], ignore_case);
            if (low > high) {
                unsigned char swapped = low;
                low = high;
                high = swapped;
            }
            found |= sought >= low && sought <= high;
            p += 2;
        } else {
            found |= folded(*p, ignore_case) == sought;
        }
    }
    *next = p < end ? p + 1 : end;
    return found != inverted;
}

/* Does the next element of the pattern, which is no '*', match `c`? Stores where the pattern goes on. */
static bool match_one(const char *p, const char *end, char c, bool ignore_case, const char **next)
{
    switch (*p) {
    case '?':
        *next = p + 1;
        return true;
    case '[':
        return in_class(p + 1, end, c, ignore_case, next);
    case '\\':
        p += end - p >= 2;
        break;
    default:
        break;
    }
    *next = p + 1;
    return folded(*p, ignore_case) == folded(c, ignore_case);
}

/* When something does not match, only the last '*' needs to take one character more: an earlier one could only bring
 * the later ones to where they can get by themselves. */
bool glob_match(const char *pattern, size_t pattern_len, const char *text, size_t text_len, bool ignore_case)
{
    const char *p = pattern, *p_end = pattern + pattern_len, *t = text, *t_end = text + text_len;
    const char *star = NULL, *star_text = NULL; /* behind the last '*', and what it has taken so far ends there */
    while (t < t_end) {
        const char *next;
        if (p < p_end && *p == '*') {
            star = ++p;
            star_text = t;
        } else if (p < p_end && match_one(p, p_end, *t, ignore_case, &next)) {
            p = next;
            t++;
        } else if (star) {
            p = star;
            t = ++star_text;
        } else {
            return false;
        }
    }
    while (p < p_end && *p == '*')
        p++;
    return p == p_end;
}
