/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The proxy's parser of requests and responses: it takes all or stops with a reason, keeps within its limits, hands no
 * byte of a body on that is above the announced length, and does not see how the bytes were cut into pieces.
 *
 *     u16 the seed of the pieces | u8 requests or responses, limits | the bytes of a stream
 */
#include "examples/proxy/message.h"
#include "examples/proxy/settings.h"
#include "tests/fuzz/pieces.h"

#include <assert.h>

struct settings settings;
atomic_bool draining;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* The body is written down as one, however it came. */
typedef struct reader {
    message message;
    uint64_t body_bytes;
    uint32_t body_sum;
} reader;

static int take_body(void *arg, const char *data, size_t len)
{
    reader *r = arg;
    r->body_bytes += len;
    assert(r->message.framing != FRAMING_NONE);
    assert(r->message.framing != FRAMING_LENGTH || r->body_bytes <= r->message.length);
    for (size_t i = 0; i < len; i++)
        r->body_sum = r->body_sum * 31 + (unsigned char)data[i];
    return 0;
}

static void record_head(trace *t, reader *r)
{
    const message *m = &r->message;
    const char *name = NULL, *value;
    fprintf(t->out, "head: 1.0 %d, keep alive %d, framing %d, length %d %llu, expects %d, first %s\n", m->http_1_0,
            m->keep_alive, (int)m->framing, m->has_length, (unsigned long long)(m->has_length ? m->length : 0),
            m->expects, message_first(m));
    size_t bytes = 0;
    while (message_next(m, &name, &value)) {
        fprintf(t->out, "  %s: %s%s\n", name, value, message_is_hop_by_hop(m, name) ? " (hop by hop)" : "");
        bytes += strlen(name) + strlen(value);
        assert(bytes <= settings.header_bytes);
    }
    r->body_bytes = r->body_sum = 0;
}

static void record_end(trace *t, const reader *r)
{
    fprintf(t->out, "complete: %llu bytes, sum %x\n", (unsigned long long)r->body_bytes, (unsigned)r->body_sum);
}

static bool feed(trace *t, void *parser, const char *piece, size_t len)
{
    reader *r = parser;
    for (size_t at = 0;;) {
        size_t used;
        message_event event = message_feed(&r->message, piece + at, len - at, &used);
        if (event == MESSAGE_INVALID) {
            int status = r->message.status;
            assert(status == 400 || status == 414 || status == 431 || status == 501 || status == 505);
            fprintf(t->out, "refused\n"); /* of two errors in one line, whichever is seen first */
            return false;
        }
        assert(used <= len - at);
        at += used;
        if (event == MESSAGE_HEAD)
            record_head(t, r);
        if (event == MESSAGE_COMPLETE)
            record_end(t, r);
        if (event == MESSAGE_PARTIAL) {
            assert(at == len);
            return true;
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (len < 3)
        return -1;
    settings.header_bytes = data[2] & 1 ? 16384 : 64 + (size_t)(data[2] & 0x3e) * 4;

    trace traces[3];
    for (enum cut cut = WHOLE; cut <= RANDOM; cut++) {
        trace *t = &traces[cut];
        trace_begin(t);
        reader r = {0};
        message_init(&r.message, data[2] & 0x40 ? HTTP_REQUEST : HTTP_RESPONSE);
        r.message.body = take_body;
        r.message.body_arg = &r;
        uint32_t seed = (uint32_t)data[0] << 8 | data[1];
        if (feed_in_pieces(t, feed, &r, cut, seed, (const char *)data + 3, len - 3)) {
            if (message_finish(&r.message) == MESSAGE_COMPLETE)
                record_end(t, &r);
            else
                fprintf(t->out, "cut off\n");
        }
        message_destroy(&r.message);
    }
    compare_traces(traces);
    return 0;
}
