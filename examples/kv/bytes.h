/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers as text, and text that grows. */
#ifndef KV_BYTES_H
#define KV_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define NUMBER_TEXT_MAX 20 /* "-9223372036854775808" */

/* Writes the number, without a NUL, and returns where it ends. (printf would touch another page of a task's stack.) */
char *put_number(char *at, int64_t number);

/* As Redis reads numbers: the text that put_number would write, and no other. */
bool read_number(const char *text, size_t len, int64_t *number);

/* A buffer that grows: zero is an empty one, free(data) its end. */
typedef struct strbuf {
    char *data;
    size_t len, room;
} strbuf;

/* False: no memory; what was there stays. */
bool strbuf_reserve(strbuf *b, size_t more);
bool strbuf_add(strbuf *b, const void *data, size_t len);
__attribute__((format(printf, 2, 3))) bool strbuf_print(strbuf *b, const char *format, ...);

#endif
