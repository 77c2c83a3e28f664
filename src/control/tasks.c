/*
 * tasks: the commands that show tasks and their warnings.
 */
#include <errno.h>
#include <string.h>

#include "call.h"
#include "task_log.h"
#include "warning.h"

/* --- cells ---------------------------------------------------------------- */

/* How long the task has been waiting; 0 while it runs. */
static uint64_t
task_idle(const struct task *task, uint64_t now)
{
	return task->state == TASK_RUNNING || now < task->since_ns
	    ? 0
	    : now - task->since_ns;
}

static uint64_t
since(uint64_t at, uint64_t now)
{
	return now > at ? now - at : 0;
}

static void
task_words(const struct task *task, char *buf, size_t size)
{
	buf[0] = '\0';
	task->label(task, buf, size);
}

/*
 * The endpoint whose warnings are shown beside the task: the one that it reads, accepts
 * connections for or opens again.
 */
static const struct node *
node_of(const struct call *call, const struct task *task)
{
	static const char *const actions[] = { "read", "reopen", "accept",
		"receive" };
	const char *dot = strrchr(task->name, '.');
	char name[ENDPOINT_NAME_MAX + 1];
	bool fits = false;

	if (dot == NULL || (size_t)(dot - task->name) >= sizeof(name))
		return NULL;
	for (size_t i = 0; i < NELEM(actions); i++)
		fits |= strcmp(dot + 1, actions[i]) == 0;
	if (!fits)
		return NULL;
	snprintf(
	    name, sizeof(name), "%.*s", (int)(dot - task->name), task->name);
	return bridge_find(call->bridge, name);
}

static const char *
warn_words(
    const struct call *call, const struct task *task, char *buf, size_t size)
{
	const struct node *node = NULL;
	char more[128];

	if (warning_after(0) == NULL)
		return "";
	warning_list(task->warnings, buf, size);
	node = node_of(call, task);
	if (node == NULL || node->warnings == NULL)
		return buf;
	warning_list(node->warnings, more, sizeof(more));
	append(buf, size, "%s%s", *buf != '\0' ? "," : "", more);
	return buf;
}

/* --- ps ------------------------------------------------------------------- */

#define PS_USAGE "ps [-s COLUMN] [PATTERN]"

static const struct task *
at(const void *p)
{
	return *(struct task *const *)p;
}

static int
order(uint64_t a, uint64_t b)
{
	return (a > b) - (a < b);
}

/* A task that runs is not idle. */
static int
by_idle(const void *a, const void *b)
{
	uint64_t x =
	    at(a)->state == TASK_RUNNING ? UINT64_MAX : at(a)->since_ns;
	uint64_t y =
	    at(b)->state == TASK_RUNNING ? UINT64_MAX : at(b)->since_ns;

	return order(x, y);
}

static int
by_cpu(const void *a, const void *b)
{
	return order(at(b)->busy_ns, at(a)->busy_ns);
}

static int
by_max(const void *a, const void *b)
{
	return order(at(b)->max_ns, at(a)->max_ns);
}

static int
ps_sort(struct call *call, const char *key)
{
	static const struct {
		const char *key;
		int (*compare)(const void *, const void *);
	} keys[] = { { "idle", by_idle }, { "cpu", by_cpu },
		{ "max", by_max } };

	for (size_t i = 0; i < NELEM(keys); i++) {
		if (strcmp(keys[i].key, key) != 0)
			continue;
		task_order_free(call->order);
		call->order = task_order_new(keys[i].compare);
		return call->order != NULL
		    ? 0
		    : call_fail(call, ENOMEM, "out of memory");
	}
	return call_fail(call, EINVAL,
	    "tasks are not sorted by '%.64s', but by idle, cpu or max", key);
}

/* The pattern, or NULL. */
static const char *
ps_pattern(const struct call *call)
{
	return call->argc > 1 ? call->argv[1] : NULL;
}

/* Takes the options out of the arguments. */
static int
ps_start(struct call *call)
{
	int words = 1, r = 0;

	for (int at = 1; at < call->argc && r == 0; at++) {
		char *word = call->argv[at];

		if (strcmp(word, "-s") == 0 && ++at == call->argc)
			r = call_fail(
			    call, EINVAL, "an argument is missing: " PS_USAGE);
		else if (strcmp(word, "-s") == 0)
			r = ps_sort(call, call->argv[at]);
		else if (*word == '-')
			r = call_fail(call, EINVAL,
			    "unknown option '%.64s': " PS_USAGE, word);
		else if (words > 1)
			r = call_fail(call, EINVAL,
			    "too many arguments, from '%.64s' on: " PS_USAGE,
			    word);
		else
			call->argv[words++] = word;
	}
	call->argc = words;
	return r;
}

/* '*' matches any characters, '?' one; the time is at most the product of the lengths. */
static bool
glob(const char *pattern, const char *text)
{
	const char *star = NULL, *from = text;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			from = text;
		} else if (*pattern == '?' || *pattern == *text) {
			pattern++;
			text++;
		} else if (star != NULL) {
			pattern = star;
			text = ++from;
		} else
			return false;
	}
	while (*pattern == '*')
		pattern++;
	return *pattern == '\0';
}

/* A pattern without wildcards is searched for in the name and in the label. */
static bool
ps_matches(const struct task *task, const char *label, const char *pattern)
{
	if (pattern == NULL)
		return true;
	if (strpbrk(pattern, "*?") != NULL)
		return glob(pattern, task->name);
	return strcasestr(task->name, pattern) != NULL ||
	    strcasestr(label, pattern) != NULL;
}

static void
ps_row(struct call *call, const struct task *task, const char *label)
{
	struct output *o = call->out;
	char site[64], warn[256];

	output_cell(o, "%s", task->name);
	output_cell(o, "%s", task_state_name(task->state));
	output_cell(o, "%s", task_site_name(task->site, site, sizeof(site)));
	output_cell_time(o, task_idle(task, now_ns()), false);
	output_cell_number(o, task->runs);
	output_cell_time(o, task->busy_ns, false);
	output_cell_time(o, task->max_ns, false);
	output_cell(o, "%s", warn_words(call, task, warn, sizeof(warn)));
	output_cell(o, "%s", label);
}

/*
 * The next task that matches; NULL: there is none, or, with *more, the time of this piece is
 * over, which tasks that do not match take, too.
 */
static const struct task *
ps_next(struct call *call, char *label, size_t size, bool *more)
{
	const char *pattern = ps_pattern(call);
	const struct task *task;

	*more = false;
	for (;;) {
		task = call->order != NULL ? task_order_next(call->order)
					   : task_cursor_next(&call->task);
		if (task == NULL)
			return NULL;
		task_words(task, label, size);
		if (ps_matches(task, label, pattern))
			return task;
		if (now_ns() >= call->until) {
			*more = true;
			return NULL;
		}
	}
}

/* Shows the tasks that match, in pieces. */
static bool
ps_rows(struct call *call)
{
	char label[TASK_LABEL_MAX];
	const struct task *task;
	bool more;

	while ((task = ps_next(call, label, sizeof(label), &more)) != NULL) {
		ps_row(call, task, label);
		if (call_pause(call))
			return true;
	}
	return more;
}

/* Searches for a task that matches before there is a reply: an error if there is none. */
static int
ps_find(struct call *call)
{
	char label[TASK_LABEL_MAX];
	bool more;

	if (ps_next(call, label, sizeof(label), &more) != NULL)
		return 0;
	if (more)
		return CALL_MORE;
	return call_fail(call, ENOENT,
	    "no task matches '%.64s'; 'ps' lists all", ps_pattern(call));
}

int
show_ps(struct call *call)
{
	static const char *const headings[] = {
		"TASK",
		"STATE",
		"AWAITING",
		"IDLE",
		"RUNS",
		"CPU",
		"MAX",
		"WARN",
		"LABEL",
		NULL,
	};
	int r;

	if (!call->begun) {
		if ((r = ps_start(call)) < 0)
			return r;
		warnings_check();
		call_rewind(call);
	}
	if (call->stage == 0) {
		if ((r = ps_find(call)) != 0)
			return r;
		output_table(call->out, headings);
		call_rewind(call);
		call->stage = 1;
	}
	if (ps_rows(call))
		return CALL_MORE;
	if (!output_again(call->out))
		return 0;
	call_rewind(call);
	return CALL_MORE;
}

/* --- where ---------------------------------------------------------------- */

/* Shows the last waits of the task, the latest first. */
static void
show_waits(struct output *o, const struct task *task, uint64_t now)
{
	static const char *const headings[] = {
		"AWAITING",
		"WAITED",
		"HELD",
		"AGO",
		NULL,
	};
	uint64_t n = MIN(task->runs, (uint64_t)TASK_HISTORY);
	char site[64];

	/* The entry of the oldest was overwritten by the current run. */
	if (task->state == TASK_RUNNING && n == TASK_HISTORY)
		n--;
	output_table(o, headings);
	for (uint64_t i = 1; i <= n; i++) {
		const struct task_past *past =
		    &task->record->past[(task->runs - i) % TASK_HISTORY];

		output_cell(
		    o, "%s", task_site_name(past->site, site, sizeof(site)));
		output_cell_time(o, past->waited_ns, false);
		output_cell_time(o, past->held_ns, false);
		output_cell_time(
		    o, since(past->since_ns + past->waited_ns, now), false);
	}
}

#define BAR 30

/* A bar for n of all runs; at least one character unless n is 0. */
static const char *
bar(uint64_t n, uint64_t all, char buf[BAR + 1])
{
	size_t len = all == 0 ? 0 : (size_t)((n * BAR + all - 1) / all);

	memset(buf, '#', len);
	buf[len] = '\0';
	return buf;
}

static uint64_t
sum(const uint32_t *count)
{
	uint64_t n = 0;

	for (unsigned i = 0; i < TASK_STEPS; i++)
		n += count[i];
	return n;
}

static void
show_step(struct call *call, const struct task_record *record, unsigned i)
{
	struct output *o = call->out;
	uint64_t end = task_step_end(i);
	char text[BAR + 1];

	if (end == UINT64_MAX && !call->json)
		output_cell(o, "longer");
	else
		output_cell_time(o, end, end == UINT64_MAX);
	output_cell_number(o, record->held[i]);
	if (!call->json)
		output_cell(
		    o, "%s", bar(record->held[i], sum(record->held), text));
	output_cell_number(o, record->delayed[i]);
	if (!call->json)
		output_cell(o, "%s",
		    bar(record->delayed[i], sum(record->delayed), text));
}

/*
 * Shows how many runs took up to a time, and how many began that long after the start of
 * the pass of the loop.
 */
static void
show_histograms(struct call *call, const struct task_record *record)
{
	static const char *const text[] = { "UP_TO", "RAN", "RUN_TIME", "BEGAN",
		"DELAY", NULL };
	static const char *const json[] = { "UP_TO", "RAN", "BEGAN", NULL };
	unsigned n = TASK_STEPS;

	while (n > 0 && record->held[n - 1] == 0 && record->delayed[n - 1] == 0)
		n--;
	output_table(call->out, call->json ? json : text);
	for (unsigned i = 0; i < n; i++)
		show_step(call, record, i);
}

int
show_where(struct call *call)
{
	const struct task *task = call_task(call, call->argv[1]);
	struct output *o = call->out;
	uint64_t now = now_ns();
	char label[TASK_LABEL_MAX], site[64], warn[256];

	if (task == NULL)
		return -ENOENT;
	warnings_check();
	task_words(task, label, sizeof(label));
	output_pair(o, "task", "%s", task->name);
	output_pair(o, "state", "%s", task_state_name(task->state));
	output_pair(o, "awaits at", "%s",
	    task_site_name(task->site, site, sizeof(site)));
	output_pair_time(o, "idle", task_idle(task, now));
	output_pair_number(o, "runs", task->runs);
	output_pair_time(o, "cpu", task->busy_ns);
	output_pair_time(o, "max", task->max_ns);
	output_pair_number(o, "slow runs", task->slow);
	output_pair(
	    o, "warn", "%s", warn_words(call, task, warn, sizeof(warn)));
	output_pair(o, "label", "%s", label);
	if (task->record == NULL)
		return 0;
	show_waits(o, task, now);
	show_histograms(call, task->record);
	return 0;
}

/* --- warnings, ended, stalls ---------------------------------------------- */

/* Rows of warnings from the last number shown on; false at the end. */
static bool
warning_rows(struct call *call)
{
	struct output *o = call->out;
	const struct warning *w;

	while ((w = warning_after(call->shown)) != NULL) {
		call->shown = w->number;
		output_cell(o, "%s", w->task);
		output_cell_time(o, since(w->since_ns, now_ns()), false);
		output_cell(o, "%s", warning_names[w->kind]);
		output_cell(o, "%s", w->text != NULL ? w->text : "");
		if (call_pause(call))
			return true;
	}
	return false;
}

int
show_warnings(struct call *call)
{
	static const char *const headings[] = { "TASK", "SINCE", "WARNING",
		"TEXT", NULL };

	if (!call->begun) {
		warnings_check();
		output_table(call->out, headings);
	}
	if (warning_rows(call))
		return CALL_MORE;
	if (!output_again(call->out))
		return 0;
	call->shown = 0;
	return CALL_MORE;
}

int
show_ended(struct call *call)
{
	static const char *const headings[] = { "TASK", "AGO", "LIVED", "RUNS",
		"CPU", "MAX", "REASON", NULL };
	struct output *o = call->out;
	const struct task_ended *e;
	uint64_t now = now_ns();

	output_table(o, headings);
	for (unsigned i = 0; (e = task_log_ended_at(i)) != NULL; i++) {
		output_cell(o, "%s", e->name);
		output_cell_time(o, since(e->at_ns, now), false);
		output_cell_time(o, since(e->began_ns, e->at_ns), false);
		output_cell_number(o, e->runs);
		output_cell_time(o, e->busy_ns, false);
		output_cell_time(o, e->max_ns, false);
		output_cell(o, "%s", e->why);
	}
	return 0;
}

int
show_stalls(struct call *call)
{
	static const char *const headings[] = { "TASK", "AGO", "HELD",
		"AWAITED", NULL };
	struct output *o = call->out;
	const struct task_stall *s;
	uint64_t now = now_ns();
	char site[64];

	output_table(o, headings);
	for (unsigned i = 0; (s = task_log_stall_at(i)) != NULL; i++) {
		output_cell(o, "%s", s->name);
		output_cell_time(o, since(s->at_ns, now), false);
		output_cell_time(o, s->held_ns, false);
		output_cell(
		    o, "%s", task_site_name(s->site, site, sizeof(site)));
	}
	return 0;
}
