/*
 * result: prints the result of a load generator.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>

#include "result.h"
#include "subject.h"

void
put(const char *name, double value)
{
	static bool more;

	printf("%s\"%s\": %.9g", more ? ", " : "{", name, value);
	more = true;
}

void
put_end(void)
{
	printf("}\n");
}

static int
compare(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

void
put_times(const char *prefix, uint32_t *times, size_t n)
{
	static const struct {
		const char *name;
		unsigned of; /* a thousand */
	} parts[] = { { "p50", 500 }, { "p99", 990 }, { "p999", 999 } };
	char name[64];

	if (n == 0)
		return;
	qsort(times, n, sizeof(*times), compare);
	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
		snprintf(name, sizeof(name), "%s%s", prefix, parts[i].name);
		put(name, times[n * parts[i].of / 1000] / 1e3);
	}
}

void
put_usage(const struct usage *from, const struct usage *to, double units)
{
	double wall = (double)(to->wall_ns - from->wall_ns);
	double bridge = (double)(to->bridge_ns - from->bridge_ns);
	double ours = bridge + (double)(to->self_ns - from->self_ns) +
	    (double)(to->kernel_ns - from->kernel_ns) +
	    (double)(to->idle_ns - from->idle_ns) +
	    (double)(to->irq_ns - from->irq_ns);

	put("seconds", wall / 1e9);
	put("cpu_percent", 100 * bridge / wall);
	put("foreign", ours < wall ? 1 - ours / wall : 0);
	put("wakeups", (double)(to->switches - from->switches) / wall * 1e9);
	if (units > 0)
		put("cpu_us", bridge / 1e3 / units);
	put("memory_mb", (double)subject_memory_kb() / 1024);
}
