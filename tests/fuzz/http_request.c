/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The HTTP request parser, with the limits and the pieces chosen by the input's first bytes: whatever comes, it takes
 * all or stops with a reason, keeps within its limits, and does not see how the bytes were cut into pieces: it makes
 * the same requests, and refuses at the same one.
 *
 *     u16 the seed of the pieces | u8 limits | the bytes that a client sends
 */
#include "examples/http/condition.h"
#include "examples/http/request.h"
#include "examples/http/settings.h"
#include "tests/fuzz/pieces.h"

#include <assert.h>

struct settings settings;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The fields that are kept, and what they ask for of a file. */
static void record_conditions(trace *t, const request *r)
{
    const struct stat st = {.st_size = 1000, .st_mtim = {.tv_sec = 784887151}}; /* Tue, 15 Nov 1994 08:12:31 GMT */
    for (request_field field = 0; field < FIELDS_KEPT; field++) {
        size_t len = 0;
        const char *value = request_value(r, field, &len);
        assert(!value || (value >= r->values && len <= VALUES_MAX && value + len <= r->values + VALUES_MAX));
        if (value)
            fprintf(t->out, "  %d: %.*s\n", (int)field, (int)len, value);
    }
    off_t first = 0, last = 0;
    int status = condition_status(r, &st), range = condition_range(r, &st, &first, &last);
    assert(status == 0 || status == 304 || status == 412);
    assert(range == 200 || range == 416 || (range == 206 && first >= 0 && first <= last && last < st.st_size));
    fprintf(t->out, "  %d %d", status, range);
    if (range == 206)
        fprintf(t->out, " %lld-%lld", (long long)first, (long long)last);
    fputc('\n', t->out);
}

static void record(trace *t, const request *r, request_event event)
{
    switch (event) {
    case REQUEST_COMPLETE:
    case REQUEST_CONTINUE:
        assert(r->target_len <= TARGET_MAX && r->status == 0 && r->hosts <= 1 && r->fields <= settings.header_fields);
        assert(r->body_left <= settings.body_bytes && !memchr(r->target, '\0', r->target_len));
        fprintf(t->out, "%d: method %d, keep alive %d, 1.0 %d, ", event, (int)r->method, r->keep_alive, r->http_1_0);
        fprintf(t->out, "target %.*s\n", (int)r->target_len, r->target);
        record_conditions(t, r);
        break;
    case REQUEST_INVALID:
        assert(r->status == 400 || r->status == 405 || r->status == 413 || r->status == 414 || r->status == 431 ||
               r->status == 501 || r->status == 505);
        fprintf(t->out, "refused\n"); /* of two errors in one line, whichever is seen first */
        break;
    case REQUEST_PARTIAL:
        break;
    }
}

static bool feed(trace *t, void *parser, const char *piece, size_t len)
{
    request *r = parser;
    for (size_t at = 0;;) {
        size_t used;
        request_event event = request_feed(r, piece + at, len - at, &used);
        assert(used <= len - at);
        at += used;
        record(t, r, event);
        assert(event != REQUEST_PARTIAL || at == len);
        if (event == REQUEST_PARTIAL || event == REQUEST_INVALID)
            return event == REQUEST_PARTIAL;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3)
        return -1;
    settings.header_bytes = data[2] & 1 ? 16384 : 64 + (size_t)(data[2] & 0x3e) * 4;
    settings.header_fields = data[2] & 0x40 ? 100 : 4;
    settings.body_bytes = data[2] & 0x80 ? 1 << 20 : 20;

    trace traces[3];
    for (enum cut cut = WHOLE; cut <= RANDOM; cut++) {
        trace *t = &traces[cut];
        trace_begin(t);
        request *r = malloc(sizeof *r);
        request_init(r);
        uint32_t seed = (uint32_t)data[0] << 8 | data[1];
        if (feed_in_pieces(t, feed, r, cut, seed, (const char *)data + 3, len - 3))
            fprintf(t->out, "waits, %s\n", r->part == BETWEEN_REQUESTS ? "between requests" : "in a request");
        free(r);
    }
    compare_traces(traces);
    return 0;
}
