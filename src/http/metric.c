/*
 * metric: what all samples have in common: names, labels and values.
 */
#include <inttypes.h>

#include <event2/buffer.h>

#include "metric.h"

void
metric_sample(struct http_session *s, const char *suffix)
{
	struct metrics *m = s->metrics;
	const struct metric *metric = m->metric;

	if (!m->headed)
		evbuffer_add_printf(s->out,
		    "# HELP ttybridge_%s %s\n# TYPE ttybridge_%s %s\n",
		    metric->name, metric->help, metric->name, metric->type);
	m->headed = true;
	evbuffer_add_printf(s->out, "ttybridge_%s%s", metric->name, suffix);
}

void
metric_label(struct http_session *s, const char *start, const char *name,
    const char *text)
{
	char safe[VALUE_TEXT_MAX];

	printable(text, safe, sizeof(safe));
	evbuffer_add_printf(s->out, "%s%s=\"", start, name);
	for (const char *p = safe; *p != '\0'; p++) {
		if (*p == '"' || *p == '\\')
			evbuffer_add(s->out, "\\", 1);
		evbuffer_add(s->out, p, 1);
	}
	evbuffer_add(s->out, "\"", 1);
}

void
metric_number(struct http_session *s, uint64_t n)
{
	evbuffer_add_printf(s->out, " %" PRIu64 "\n", n);
}

void
metric_seconds(struct http_session *s, uint64_t ns)
{
	evbuffer_add_printf(
	    s->out, " %.9g\n", (double)ns / (double)NSEC_PER_SEC);
}

void
metric_named(struct http_session *s, const char *suffix, const char *what,
    const char *name)
{
	metric_sample(s, suffix);
	evbuffer_add_printf(s->out, "{%s=\"%s\"", what, name);
}
