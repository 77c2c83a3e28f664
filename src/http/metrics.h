/*
 * metrics: /metrics, the counters of the daemon in the text format of Prometheus.
 */
#ifndef METRICS_H
#define METRICS_H

#include "http_session.h"

/* Begins the reply. */
void metrics_reply(struct http_session *s);

/*
 * The bounds of the steps of a route's latency that are exported: powers of four, from
 * 16 us to 17 s.
 */
#define METRICS_BOUNDS 11
#define METRICS_BOUND_NS(i) (1ULL << (14 + 2 * (i)))

#endif
