/* SPDX-License-Identifier: Apache-2.0 */
/*
 * For parsers that are fed pieces: nobody may be able to tell how the bytes were cut. An entry writes down what its
 * parser says while it gets the input whole, byte by byte and in random pieces, and the three are to be the same.
 */
#ifndef TESTS_FUZZ_PIECES_H
#define TESTS_FUZZ_PIECES_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the user of the parser sees, as text. */
typedef struct trace {
    FILE *out;
    char *text;
    size_t length;
} trace;

/* Feeds the parser one piece, which lies in memory of just that size so that a byte read too many is noticed, and
 * writes down what it says. False: it has stopped. */
typedef bool feed_fn(trace *t, void *parser, const char *piece, size_t len);

enum cut { WHOLE, BYTES, RANDOM };

static inline size_t piece_length(enum cut cut, uint32_t *state, size_t left)
{
    if (cut != RANDOM)
        return cut == WHOLE ? left : 1;
    *state = *state * 1664525 + 1013904223;
    size_t n = 1 + (*state >> 16) % ((*state >> 8) % 4 == 0 ? 200 : 8);
    return n < left ? n : left;
}

/* Returns whether the parser wants more. */
static inline bool feed_in_pieces(trace *t, feed_fn *feed, void *parser, enum cut cut, uint32_t seed, const char *data,
                                  size_t len)
{
    bool more = true;
    while (len > 0 && more) {
        size_t n = piece_length(cut, &seed, len);
        char *piece = malloc(n);
        memcpy(piece, data, n);
        more = feed(t, parser, piece, n);
        free(piece);
        data += n;
        len -= n;
    }
    return more;
}

static inline void trace_begin(trace *t)
{
    *t = (trace){0};
    t->out = open_memstream(&t->text, &t->length);
}

/* Compares and frees what was written down for each way to cut. */
static inline void compare_traces(trace traces[3])
{
    static const char *const how[] = {"in one piece", "byte by byte", "in random pieces"};
    for (int i = 0; i < 3; i++)
        fclose(traces[i].out);
    for (int i = 1; i < 3; i++) {
        const trace *a = &traces[0], *b = &traces[i];
        if (a->length != b->length || memcmp(a->text, b->text, a->length) != 0) {
            fprintf(stderr, "%s:\n%s\n%s:\n%s\n", how[0], a->text, how[i], b->text);
            abort();
        }
    }
    for (int i = 0; i < 3; i++)
        free(traces[i].text);
}

#endif
