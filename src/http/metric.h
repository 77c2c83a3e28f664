/*
 * metric: the samples of metrics, for the source files of /metrics only.
 */
#ifndef METRIC_H
#define METRIC_H

#include "http_session.h"
#include "stats.h"
#include "value.h"

enum objects { OF_DAEMON, OF_TASKS, OF_NODES, OF_ROUTES };

struct metric {
	const char *name; /* without the prefix */
	const char *type;
	const char *help;
	enum objects of;
	const struct row *rows; /* the attribute of each object... */
	const char *attribute;
	/* ...or what prints the samples of an object, which is NULL for the daemon. */
	void (*print)(struct http_session *s, const void *object);
};

/* How far a reply is. */
struct metrics {
	size_t table;		     /* the current one */
	const struct metric *metric; /* of it, or NULL: none yet */
	const struct row *row;	     /* its attribute, or NULL */
	bool headed;		     /* its HELP and TYPE are printed */
	struct cursor at;
	struct task_cursor task;
	/* Of all tasks. */
	uint64_t tasks[TASK_RUNNING + 1], max_ns, slow;
	struct node_sums sums; /* of the current node */
};

/* A metric whose samples are printed by a function. */
#define PRINTED(objects, metric, kind, function, text)                     \
	{                                                                  \
		.name = metric, .type = kind, .help = text, .of = objects, \
		.print = function                                          \
	}

/* Each table ends with a metric without a name. */
extern const struct metric daemon_metrics[];
extern const struct metric endpoint_metrics[];
extern const struct metric route_metrics[];

/* Begins a sample with its name; labels, if any, the value and a line feed follow. */
void metric_sample(struct http_session *s, const char *suffix);
/* The same, with the first label, whose value needs no escapes. */
void metric_named(struct http_session *s, const char *suffix, const char *what,
    const char *name);
/* A label; start: what is before it, "{" or ",". */
void metric_label(struct http_session *s, const char *start, const char *name,
    const char *text);
/* The value and the line feed. */
void metric_number(struct http_session *s, uint64_t n);
void metric_seconds(struct http_session *s, uint64_t ns);

#endif
