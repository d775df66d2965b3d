/* SPDX-License-Identifier: Apache-2.0 */
/* See histogram.h. */
#include "histogram.h"

#include <stddef.h>

void histogram_record(histogram *h, int64_t ns)
{
    uint64_t value = ns > 0 ? (uint64_t)ns : 0;
    size_t index = (size_t)value;
    if (value >= histogram_steps) {
        unsigned octave = 63 - histogram_step_bits - (unsigned)__builtin_clzll(value);
        index = ((size_t)octave + 1) * histogram_steps + ((size_t)(value >> octave) - histogram_steps);
    }
    h->counts[index]++;
    h->total++;
    if (h->max_ns < ns)
        h->max_ns = ns;
}

void histogram_add(histogram *to, const histogram *from)
{
    for (size_t i = 0; i < histogram_octaves * histogram_steps; i++)
        to->counts[i] += from->counts[i];
    to->total += from->total;
    if (to->max_ns < from->max_ns)
        to->max_ns = from->max_ns;
}

double histogram_quantile_us(const histogram *h, double q)
{
    uint64_t rank = (uint64_t)(q * (double)h->total), seen = 0;
    for (size_t i = 0; i < histogram_octaves * histogram_steps; i++) {
        seen += h->counts[i];
        if (seen > rank) {
            size_t octave = i < histogram_steps ? 0 : i / histogram_steps - 1;
            uint64_t low = i < histogram_steps ? i : (uint64_t)(i % histogram_steps + histogram_steps) << octave;
            return (double)(low + ((uint64_t)1 << octave)) / 1e3;
        }
    }
    return (double)h->max_ns / 1e3;
}
