/*
 * metrics: /metrics, the counters of the daemon in the text format of Prometheus.
 *
 * The format wants the samples of all objects together for each metric.  So the reply goes
 * through the tables of metrics, and for each through the objects, in pieces: with
 * thousands of endpoints it takes many turns.  Values that are attributes are printed by
 * the tables of control/value.h, so that they are those that `list` shows.
 */
#include <stdlib.h>
#include <string.h>

#include <event2/buffer.h>

#include "http_reply.h"
#include "metric.h"
#include "metrics.h"

/* The objects of which samples are produced in a step. */
#define STEP_OBJECTS 32

/* In the order of the reply; none is empty. */
static const struct metric *const tables[] = {
	daemon_metrics,
	endpoint_metrics,
	route_metrics,
};

/* The samples of an attribute of an object. */
static void
print_attribute(
    struct http_session *s, const char *what, const char *name, const void *of)
{
	const struct row *row = s->metrics->row;
	char text[VALUE_TEXT_MAX];

	if (!row->print(of, row->at, text, sizeof(text)))
		return;
	metric_named(s, "", what, name);
	evbuffer_add_printf(s->out, "} %s\n", text);
}

static bool
next_node(struct http_session *s)
{
	struct metrics *m = s->metrics;
	const struct node *node = cursor_node(&m->at);

	if (node == NULL)
		return false;
	m->sums.node = node;
	node_traffic(node, &m->sums.traffic);
	node_queued(node, &m->sums.bytes, &m->sums.frames);
	if (m->metric->print != NULL)
		m->metric->print(s, node);
	else
		print_attribute(
		    s, "endpoint", node->endpoint->conf->name, &m->sums);
	return true;
}

static bool
next_route(struct http_session *s)
{
	struct metrics *m = s->metrics;
	const struct route *route = cursor_route(&m->at);

	if (route == NULL)
		return false;
	if (m->metric->print != NULL)
		m->metric->print(s, route);
	else
		print_attribute(s, "route", route->name, route);
	return true;
}

static bool
next_task(struct http_session *s)
{
	struct metrics *m = s->metrics;
	const struct task *task = task_cursor_next(&m->task);

	m->metric->print(s, task);
	return task != NULL;
}

/* Prints the samples of the next object of the metric; false: there is none. */
static bool
next_object(struct http_session *s)
{
	switch (s->metrics->metric->of) {
	case OF_NODES:
		return next_node(s);
	case OF_ROUTES:
		return next_route(s);
	case OF_TASKS:
		return next_task(s);
	default:
		s->metrics->metric->print(s, NULL);
		return false;
	}
}

/* Goes on to the next metric; false: that was the last one. */
static bool
next_metric(struct metrics *m, struct bridge *b)
{
	const struct row *row;

	m->metric = m->metric == NULL ? tables[0] : m->metric + 1;
	if (m->metric->name == NULL) {
		if (++m->table == NELEM(tables))
			return false;
		m->metric = tables[m->table];
	}
	m->headed = false;
	cursor_open(&m->at, b);
	if (m->metric->of == OF_TASKS)
		task_cursor_open(&m->task);
	for (row = m->metric->rows; row != NULL; row++)
		if (strcmp(row->name, m->metric->attribute) == 0)
			break;
	m->row = row;
	return true;
}

static enum step
metrics_step(struct http_session *s)
{
	uint64_t until = now_ns() + TURN_NS / 2;
	struct metrics *m = s->metrics;

	for (unsigned i = 0; i < STEP_OBJECTS; i++) {
		if (!next_object(s) && !next_metric(m, s->client.bridge))
			return STEP_DONE;
		if (i % 4 == 3 && now_ns() >= until)
			break;
	}
	return STEP_MORE;
}

static void
metrics_end(struct http_session *s)
{
	cursor_close(&s->metrics->at);
	task_cursor_close(&s->metrics->task);
	free(s->metrics);
	s->metrics = NULL;
}

static const struct reply_ops metrics_ops = {
	.step = metrics_step,
	.end = metrics_end,
};

void
metrics_reply(struct http_session *s)
{
	s->metrics = calloc(1, sizeof(*s->metrics));
	if (s->metrics == NULL) {
		http_reply_error(s, 503, "out of memory");
		return;
	}
	next_metric(s->metrics, s->client.bridge);
	http_reply_start(
	    s, 200, "text/plain; version=0.0.4; charset=utf-8", "", -1);
	http_reply_produce(s, &metrics_ops);
}
