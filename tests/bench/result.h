/*
 * result: the result of a load generator, one object of JSON.
 */
#ifndef RESULT_H
#define RESULT_H

#include <stddef.h>
#include <stdint.h>

struct usage;

void put(const char *name, double value);
/*
 * The p50, p99 and p999 in microseconds of n times in nanoseconds, which it sorts; their
 * names begin with that prefix.
 */
void put_times(const char *prefix, uint32_t *times, size_t n);
/* What the bridge used from one moment to another; cpu_us is for each of the units. */
void put_usage(const struct usage *from, const struct usage *to, double units);
void put_end(void);

#endif
