/*
 * top_views: the tables that top shows.
 */
#include <errno.h>
#include <string.h>

#include "top_views.h"

static const struct column endpoint_columns[] = {
	{ "NAME", "name", NULL, CELL_TEXT, 12, 32, 0 },
	{ "STATE", "state", NULL, CELL_TEXT, 7, 0, 0 },
	{ "RX B/S", "rx_bytes", NULL, CELL_SIZE_RATE, 6, 0, 0 },
	{ "TX B/S", "tx_bytes", NULL, CELL_SIZE_RATE, 6, 0, 0 },
	{ "FRAMES/S", "rx_frames", "tx_frames", CELL_RATE, 8, 0, 0 },
	{ "QUEUED", "queued", NULL, CELL_SIZE, 6, 0, 0 },
	{ "DROPPED", "dropped", NULL, CELL_NUMBER, 7, 0, 0 },
	{ "TRAFFIC", "rx_bytes", "tx_bytes", CELL_HISTORY, SAMPLES_HISTORY, 0,
	    0 },
	{ "FRAMING", "framing", NULL, CELL_TEXT, 8, 0, 110 },
	{ "ADDRESS", "address", NULL, CELL_TEXT, 20, 40, 130 },
	{ "REASON", "reason", NULL, CELL_TEXT, 0, 0, 0 },
	{ 0 },
};

static const struct column route_columns[] = {
	{ "ROUTE", "name", NULL, CELL_TEXT, 8, 32, 0 },
	{ "FRAMES/S", "frames", NULL, CELL_RATE, 8, 0, 0 },
	{ "REJECTED", "rejected", NULL, CELL_NUMBER, 8, 0, 0 },
	{ "P50", "p50", NULL, CELL_TIME, 6, 0, 0 },
	{ "P99", "p99", NULL, CELL_TIME, 6, 0, 0 },
	{ "MAX", "max", NULL, CELL_TIME, 6, 0, 0 },
	{ "FROM", "from", NULL, CELL_TEXT, 8, 40, 0 },
	{ "TO", "to", NULL, CELL_TEXT, 0, 0, 0 },
	{ 0 },
};

static const struct column task_columns[] = {
	{ "TASK", "task", NULL, CELL_TEXT, 10, 40, 0 },
	{ "STATE", "state", NULL, CELL_TEXT, 7, 0, 0 },
	{ "IDLE", "idle", NULL, CELL_TIME, 6, 0, 0 },
	{ "RUNS/S", "runs", NULL, CELL_RATE, 6, 0, 0 },
	{ "CPU", "cpu", NULL, CELL_SHARE, 6, 0, 0 },
	{ "MAX", "max", NULL, CELL_TIME, 6, 0, 0 },
	{ "WARN", "warn", NULL, CELL_TEXT, 4, 9, 0 },
	{ "LABEL", "label", NULL, CELL_TEXT, 0, 0, 0 },
	{ 0 },
};

static const struct column warning_columns[] = {
	{ "TASK", "task", NULL, CELL_TEXT, 10, 40, 0 },
	{ "SINCE", "since", NULL, CELL_TIME, 6, 0, 0 },
	{ "WARNING", "warning", NULL, CELL_TEXT, 13, 0, 0 },
	{ "TEXT", "text", NULL, CELL_TEXT, 0, 0, 0 },
	{ 0 },
};

#define SAMPLES(table, name)                                  \
	{                                                     \
		.columns = (table), .key = (name), .sort = -1 \
	}
struct view views[NVIEWS] = {
	[VIEW_ENDPOINTS] = { "endpoints", "endpoints",
	    .samples = SAMPLES(endpoint_columns, "name") },
	[VIEW_ROUTES] = { "routes", "routes",
	    .samples = SAMPLES(route_columns, "name") },
	[VIEW_TASKS] = { "tasks", "ps",
	    .samples = SAMPLES(task_columns, "task") },
	[VIEW_WARNINGS] = { "warnings", "warnings", .optional = true,
	    .samples = SAMPLES(warning_columns, "task") },
};
struct summary summary;

static double
total(const char *name, enum cell_kind kind)
{
	const struct column column = { .member = name, .kind = kind };
	const struct samples *s = &views[VIEW_ENDPOINTS].samples;
	double sum = 0;

	for (size_t i = 0; i < s->nrows; i++)
		sum += samples_number(&s->rows[i], &column);
	return sum;
}

static void
sum_up(const json_t *version)
{
	const struct samples *s = &views[VIEW_ENDPOINTS].samples;
	const char *name = "", *number = "", *state;
	double uptime = 0;

	json_unpack((json_t *)version, "{s:s, s:s, s:F}", "name", &name,
	    "version", &number, "uptime", &uptime);
	snprintf(summary.daemon, sizeof(summary.daemon), "%s %s", name, number);
	format_time(
	    whole_part(uptime * 1e9), summary.uptime, sizeof(summary.uptime));
	summary.endpoints = s->nrows;
	summary.warnings = views[VIEW_WARNINGS].samples.nrows;
	summary.up = 0;
	for (size_t i = 0; i < s->nrows; i++) {
		state =
		    json_string_value(json_object_get(s->rows[i].now, "state"));
		summary.up += state != NULL && strcmp(state, "up") == 0;
	}
	summary.rx = total("rx_bytes", CELL_SIZE_RATE);
	summary.tx = total("tx_bytes", CELL_SIZE_RATE);
	summary.dropped = total("dropped", CELL_NUMBER);
	summary.dropping = total("dropped", CELL_RATE);
}

static int
take_view(struct connection *c, struct view *view, struct error *err)
{
	json_t *table;
	int r;

	if (view->missing)
		return 0;
	r = connection_query(c, view->command, &table, err);
	if (r == -EPROTO && view->optional) {
		view->missing = true;
		return 0;
	}
	if (r < 0)
		return r;
	r = samples_take(&view->samples, table, now_ns());
	json_decref(table);
	if (r < 0)
		return error_fail(err, r,
		    "'%s' is not answered as by a control port", view->command);
	return 0;
}

int
views_take(struct connection *c, struct error *err)
{
	json_t *version;
	int r;

	for (size_t i = 0; i < NVIEWS; i++)
		if ((r = take_view(c, &views[i], err)) < 0)
			return r;
	if ((r = connection_query(c, "version", &version, err)) < 0)
		return r;
	sum_up(version);
	json_decref(version);
	return 0;
}

void
views_free(void)
{
	for (size_t i = 0; i < NVIEWS; i++) {
		samples_free(&views[i].samples);
		views[i].missing = false;
		views[i].top = 0;
	}
}
