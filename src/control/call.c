/*
 * call: functions shared by several commands: errors, looking up objects, tables in
 * pieces, and bytes as text.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/buffer.h>

#include "call.h"

int
call_fail(struct call *call, int error, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(call->err.text, sizeof(call->err.text), fmt, ap);
	va_end(ap);
	return -error;
}

int
call_not_allowed(struct call *call, const char *what)
{
	if (call->client->by_name)
		return call_fail(call, EACCES,
		    "full access to this port is given by certificate; %s needs"
		    " full = NAME",
		    what);
	if (strcmp(what, "set") == 0 || strcmp(what, "reload") == 0)
		return call_fail(call, EACCES,
		    "this port has access = read; %s needs access = full in its"
		    " [control] section; or change the file, and reload it with"
		    " kill -HUP %d",
		    what, (int)getpid());
	return call_fail(call, EACCES,
	    "this port has access = read; %s needs access = full in its"
	    " [control] section",
	    what);
}

int
call_unknown(struct call *call, const char *what, const char *list,
    const char *word, const char **words)
{
	const char *near = words != NULL ? nearest(word, words) : NULL;

	call_fail(call, ENOENT, "unknown %s '%.64s'", what, word);
	error_append_meant(&call->err, near);
	if (near == NULL)
		error_append(&call->err, "; '%s' lists them", list);
	free(words);
	return -ENOENT;
}

struct node *
call_node(struct call *call, const char *name)
{
	const struct bridge *b = call->bridge;
	struct node *node = bridge_find(b, name);
	const char **names;

	if (node != NULL)
		return node;
	names = calloc(b->nnodes + 1, sizeof(*names));
	for (unsigned i = 0; names != NULL && i < b->nnodes; i++)
		names[i] = b->node[i]->endpoint->conf->name;
	call_unknown(call, "endpoint", "endpoints", name, names);
	return NULL;
}

/* The task of the object with that name: the one that reads, if there is one; or NULL. */
static const char *
task_of(const char *object)
{
	const char *found = NULL;
	size_t len = strlen(object);
	struct task *task;

	TAILQ_FOREACH(task, task_all(), entry) {
		if (strncmp(task->name, object, len) != 0 ||
		    task->name[len] != '.')
			continue;
		if (strcmp(task->name + len, ".read") == 0)
			return task->name;
		if (found == NULL)
			found = task->name;
	}
	return found;
}

struct task *
call_task(struct call *call, const char *name)
{
	struct task *task = task_find(name);
	const char **names, *near;
	size_t n = 0;

	if (task != NULL)
		return task;
	if ((near = task_of(name)) != NULL) {
		call_fail(call, ENOENT, "unknown task '%.64s'", name);
		error_append_meant(&call->err, near);
		return NULL;
	}
	TAILQ_FOREACH(task, task_all(), entry)
		n++;
	names = calloc(n + 1, sizeof(*names));
	n = 0;
	if (names != NULL)
		TAILQ_FOREACH(task, task_all(), entry)
			names[n++] = task->name;
	call_unknown(call, "task", "ps", name, names);
	return NULL;
}

char **
call_names(struct call *call, int first)
{
	char **names = calloc((size_t)(call->argc - first) + 1, sizeof(*names));

	for (int i = first; names != NULL && i < call->argc; i++) {
		if (call_node(call, call->argv[i]) == NULL) {
			tap_free_names(names);
			return NULL;
		}
		names[i - first] = strdup(call->argv[i]);
		if (names[i - first] == NULL) {
			tap_free_names(names);
			names = NULL;
		}
	}
	if (names == NULL)
		call_fail(call, ENOMEM, "out of memory");
	return names;
}

bool
call_is_option(const char *word)
{
	return word[0] == '-' && word[1] != '\0';
}

bool
call_pause(struct call *call)
{
	return ++call->rows >= CALL_ROWS || now_ns() >= call->until;
}

void
call_rewind(struct call *call)
{
	cursor_open(&call->at, call->bridge);
	task_cursor_open(&call->task);
	if (call->order != NULL)
		call->order->at = 0;
}

int
call_table(
    struct call *call, const char *const *headings, bool (*row)(struct call *))
{
	if (!call->begun) {
		output_table(call->out, headings);
		call_rewind(call);
	}
	while (row(call))
		if (call_pause(call))
			return CALL_MORE;
	if (!output_again(call->out))
		return 0;
	call_rewind(call);
	return CALL_MORE;
}

int
node_can_answer(struct error *err, const struct node *node)
{
	const struct endpoint *ep = node->endpoint;

	if (ep->state == ENDPOINT_UP && !ep->paused)
		return 0;
	error_set(err, "%s cannot answer: it is %s", ep->conf->name,
	    attribute_state(node));
	if (ep->state == ENDPOINT_WAITING)
		error_append(err, " for a program to open %s", ep->address);
	else if (ep->state != ENDPOINT_UP && error_is_set(&ep->error))
		error_append(err, " (%s)", ep->error.text);
	return -ENOTCONN;
}

int
call_can_answer(struct call *call, const struct node *node)
{
	return node_can_answer(&call->err, node);
}

void
call_json_text(struct evbuffer *out, const char *text)
{
	size_t n;

	for (; *text != '\0'; text += n) {
		if ((n = strcspn(text, "\"\\")) == 0) {
			evbuffer_add(out, "\\", 1);
			n = 1 + strcspn(text + 1, "\"\\");
		}
		evbuffer_add(out, text, n);
	}
}

void
call_escape(struct evbuffer *out, bool json, const uint8_t *data, size_t len)
{
	char text[4 * 256 + 4];
	size_t part;

	for (; len > 0; data += part, len -= part) {
		part = MIN(len, (size_t)256);
		escape(data, part, text, sizeof(text));
		if (json)
			call_json_text(out, text);
		else
			evbuffer_add(out, text, strlen(text));
	}
}
