/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Latencies in octaves of 1024 steps: a value is known to a thousandth, and recording one costs some instructions. One
 * thread records into one histogram; they are added up at the end.
 */
#ifndef BENCH_HISTOGRAM_H
#define BENCH_HISTOGRAM_H

#include <stdint.h>

enum { histogram_step_bits = 10, histogram_steps = 1 << histogram_step_bits, histogram_octaves = 40 };

/* All zero is an empty one. */
typedef struct histogram {
    uint64_t counts[histogram_octaves * histogram_steps];
    uint64_t total;
    int64_t max_ns;
} histogram;

void histogram_record(histogram *h, int64_t ns);
void histogram_add(histogram *to, const histogram *from);

/* In microseconds: the upper edge of the step that holds the quantile, 0 <= q < 1. */
double histogram_quantile_us(const histogram *h, double q);

#endif
