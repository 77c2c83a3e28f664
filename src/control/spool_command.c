/*
 * spool_command: what waits on the disk, frame by frame if that is asked for.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "call.h"
#include "spool.h"

/* What an export has opened, beside the thread that uses the spool. */
struct spool_export {
	struct spool *files;
	uint8_t *buf;
	size_t size, len, at;
};

/* The time, the route, the number of bytes and the frame. */
#define LINE_EXTRA (SPOOL_ROUTE_MAX + 80)

void
spool_export_free(struct spool_export *e)
{
	if (e == NULL)
		return;
	spool_free(e->files);
	free(e->buf);
	free(e);
}

/* --- show ---------------------------------------------------------------- */

static bool
show_spool(struct call *call)
{
	struct output *o = call->out;
	struct spool_status st;
	const struct node *node;

	do
		if ((node = cursor_node(&call->at)) == NULL)
			return false;
	while (!node_spool(node, &st));
	output_cell(o, "%s", node->endpoint->conf->name);
	output_cell(o, "%s", st.state);
	output_cell_number(o, st.frames);
	output_cell_size(o, st.bytes);
	output_cell_size(o, st.size);
	output_cell_size(o, node->endpoint->conf->spool);
	output_cell_number(o, st.segments);
	output_cell_number(o, st.errors);
	output_cell(o, "%s", st.directory != NULL ? st.directory : "-");
	return true;
}

static int
show_all(struct call *call)
{
	static const char *const headings[] = {
		"NAME",
		"STATE",
		"FRAMES",
		"BYTES",
		"DISK",
		"LIMIT",
		"SEGMENTS",
		"ERRORS",
		"DIRECTORY",
		NULL,
	};

	return call_table(call, headings, show_spool);
}

/* The endpoint, which must have a spool; NULL with a message. */
static struct node *
spool_node(struct call *call, const char *name, struct spool_status *ret)
{
	struct node *node = call_node(call, name);

	if (node == NULL || node_spool(node, ret))
		return node;
	call_fail(call, ENOENT,
	    "'%s' has no spool; write spool = 256M in its section", name);
	return NULL;
}

/* The same, and it must have been opened. */
static struct node *
open_spool_node(struct call *call, const char *name, struct spool_status *ret)
{
	struct node *node = spool_node(call, name, ret);

	if (node == NULL || ret->directory != NULL)
		return node;
	call_fail(call, EIO, "the spool of '%s' cannot be used: %s", name,
	    ret->error);
	return NULL;
}

static int
show_one(struct call *call)
{
	struct output *o = call->out;
	struct spool_status st;
	const struct node *node = spool_node(call, call->argv[1], &st);

	if (node == NULL)
		return -ENOENT;
	output_pair(o, "name", "%s", node->endpoint->conf->name);
	output_pair(o, "state", "%s", st.state);
	output_pair_number(o, "frames", st.frames);
	output_pair_number(o, "bytes", st.bytes);
	output_pair_number(o, "disk", st.size);
	output_pair_number(o, "limit", node->endpoint->conf->spool);
	output_pair_number(o, "segments", st.segments);
	output_pair_number(o, "first", st.first);
	output_pair_number(o, "next", st.next);
	output_pair_number(o, "errors", st.errors);
	if (st.error != NULL)
		output_pair(o, "error", "%s", st.error);
	if (st.directory != NULL)
		output_pair(o, "directory", "%s", st.directory);
	return 0;
}

/* --- export -------------------------------------------------------------- */

static int
show_frame(struct call *call, const struct spool_record *r)
{
	time_t seconds = (time_t)(r->time_ns / NSEC_PER_SEC);
	const uint8_t *payload;
	char time[32], *text;
	struct tm tm;

	if ((payload = spool_payload(r)) == NULL)
		return 0;
	if ((text = malloc(4 * r->payload_len + 8)) == NULL)
		return call_fail(call, ENOMEM, "out of memory");
	gmtime_r(&seconds, &tm);
	strftime(time, sizeof(time), "%Y-%m-%dT%H:%M:%S", &tm);
	escape(payload, r->payload_len, text, 4 * r->payload_len + 8);
	output_line(call->out, "%s.%06uZ %.*s %zu %s", time,
	    (unsigned)(r->time_ns % NSEC_PER_SEC / NSEC_PER_USEC),
	    r->route_len > 0 ? (int)r->route_len : 1,
	    r->route_len > 0 ? r->route : "-", r->payload_len, text);
	free(text);
	return 0;
}

static int
open_export(struct call *call)
{
	struct spool_conf conf = { .read_only = true };
	struct spool_export *e;
	struct spool_status st;
	struct error err;

	if (open_spool_node(call, call->argv[2], &st) == NULL)
		return -ENOENT;
	if ((e = calloc(1, sizeof(*e))) == NULL)
		return call_fail(call, ENOMEM, "out of memory");
	call->export = e;
	conf.directory = st.directory;
	if (spool_open(&conf, &e->files, &err) < 0)
		return call_fail(call, EIO, "%s", err.text);
	return 0;
}

static int export(struct call *call)
{
	struct spool_export *e;
	struct spool_record r;
	int rc;

	if (!call->begun && (rc = open_export(call)) < 0)
		return rc;
	e = call->export;
	for (;;) {
		while (spool_decode(e->buf, e->len, &e->at, &r)) {
			if ((rc = show_frame(call, &r)) < 0)
				return rc;
			if (call_pause(call))
				return CALL_MORE;
		}
		e->at = 0;
		rc = spool_read(e->files, &e->buf, &e->size, &e->len);
		/* Segments that are delivered meanwhile are removed. */
		if (rc < 0 && rc != -ENOENT)
			return call_fail(call, -rc, "%s", strerror(-rc));
		if (rc < 0 || e->len == 0)
			return 0;
	}
}

/* --- drop ---------------------------------------------------------------- */

static int
drop(struct call *call)
{
	struct spool_status st;
	struct node *node;
	uint64_t n;

	if ((node = open_spool_node(call, call->argv[2], &st)) == NULL)
		return -ENOENT;
	n = node_spool_drop(node);
	output_pair_number(call->out, "dropped", n);
	return 0;
}

int
run_spool(struct call *call)
{
	static const struct {
		const char *name;
		bool full;
		int words;
		int (*run)(struct call *);
	} actions[] = {
		{ "export", false, 3, export },
		{ "drop", true, 3, drop },
	};

	if (call->argc == 1)
		return show_all(call);
	for (size_t i = 0; i < NELEM(actions); i++) {
		if (strcmp(call->argv[1], actions[i].name) != 0)
			continue;
		if (actions[i].full && !call->client->full)
			return call_not_allowed(call, "spool drop");
		if (call->argc != actions[i].words)
			return call_fail(call, EINVAL,
			    "of which endpoint? spool %s NAME",
			    actions[i].name);
		return actions[i].run(call);
	}
	if (call->argc == 2)
		return show_one(call);
	return call_fail(
	    call, EINVAL, "spool [NAME], spool export NAME, spool drop NAME");
}
