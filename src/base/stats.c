/*
 * stats: the task registry and the latency histograms.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "stats.h"
#include "task_log.h"

/* 16 steps for each power of two, from 2^6 ns to 2^43 ns. */
#define STEP_BITS 4
#define STEPS (1 << STEP_BITS)
#define LOW_BITS 6
#define HIGH_BITS 42
#define BUCKETS ((HIGH_BITS - LOW_BITS + 1) * STEPS)
_Static_assert(BUCKETS == HISTOGRAM_BUCKETS, "as others know it");

static struct task_list tasks = TAILQ_HEAD_INITIALIZER(tasks);
static struct task *running;
/*
 * How long a run is delayed is the time that the runs before it in the same pass of the
 * loop took.  It is the end of a pass when no callback is left.  So that this need not be
 * found out after each run, several passes are taken for one until their runs took
 * LEAST_NS.
 */
#define LEAST_NS 1048576
static uint64_t pass_ns;
static int pass_left; /* callbacks left at the end of the last run */
struct task_hooks task_hooks;
/* Used by all tasks for whose record there was no memory. */
static struct task_record spare;
static LIST_HEAD(, task_cursor) cursors = LIST_HEAD_INITIALIZER(cursors);
static LIST_HEAD(, task_order) orders = LIST_HEAD_INITIALIZER(orders);

static const char *const state_names[] = {
	[TASK_IDLE] = "idle",
	[TASK_WAITING] = "waiting",
	[TASK_PAUSED] = "paused",
	[TASK_RUNNING] = "running",
};
_Static_assert(NELEM(state_names) == TASK_RUNNING + 1, "a name each");

void
task_add(struct task *task, void *arg,
    void (*label)(const struct task *, char *, size_t), const char *fmt, ...)
{
	va_list ap;

	memset(task, 0, sizeof(*task));
	va_start(ap, fmt);
	vsnprintf(task->name, sizeof(task->name), fmt, ap);
	va_end(ap);
	task->arg = arg;
	task->label = label;
	task->since_ns = task->began_ns = now_ns();
	TAILQ_INSERT_TAIL(&tasks, task, entry);
}

static void
leave_orders(const struct task *task)
{
	struct task_order *order;

	LIST_FOREACH(order, &orders, entry)
	for (size_t i = 0; i < order->n; i++)
		if (order->task[i] == task)
			order->task[i] = NULL;
}

void
task_remove(struct task *task)
{
	task_remove_why(task, "");
}

void
task_remove_why(struct task *task, const char *why)
{
	struct task_cursor *cursor;

	if (task->label == NULL)
		return;
	if (task->warnings != NULL && task_hooks.removed != NULL)
		task_hooks.removed(task);
	if (why != NULL)
		task_log_ended(task, why);
	LIST_FOREACH(cursor, &cursors, entry)
	if (cursor->next == task)
		cursor->next = TAILQ_NEXT(task, entry);
	leave_orders(task);
	TAILQ_REMOVE(&tasks, task, entry);
	if (task->record != &spare)
		free(task->record);
	task->record = NULL;
	task->label = NULL;
	if (running == task)
		running = NULL;
}

void
task_cursor_open(struct task_cursor *cursor)
{
	cursor->next = TAILQ_FIRST(&tasks);
	if (!cursor->open)
		LIST_INSERT_HEAD(&cursors, cursor, entry);
	cursor->open = true;
}

const struct task *
task_cursor_next(struct task_cursor *cursor)
{
	const struct task *task = cursor->next;

	if (task != NULL)
		cursor->next = TAILQ_NEXT(task, entry);
	return task;
}

void
task_cursor_close(struct task_cursor *cursor)
{
	if (cursor->open)
		LIST_REMOVE(cursor, entry);
	cursor->open = false;
}

struct task_order *
task_order_new(int (*compare)(const void *, const void *))
{
	struct task_order *order;
	struct task *task;
	size_t n = 0;

	TAILQ_FOREACH(task, &tasks, entry)
		n++;
	order = malloc(sizeof(*order) + n * sizeof(task));
	if (order == NULL)
		return NULL;
	order->n = order->at = 0;
	TAILQ_FOREACH(task, &tasks, entry)
		order->task[order->n++] = task;
	if (n > 0)
		qsort(order->task, n, sizeof(task), compare);
	LIST_INSERT_HEAD(&orders, order, entry);
	return order;
}

const struct task *
task_order_next(struct task_order *order)
{
	const struct task *task = NULL;

	while (task == NULL && order->at < order->n)
		task = order->task[order->at++];
	return task;
}

void
task_order_free(struct task_order *order)
{
	if (order != NULL)
		LIST_REMOVE(order, entry);
	free(order);
}

const struct task_list *
task_all(void)
{
	return &tasks;
}

struct task *
task_find(const char *name)
{
	struct task *task;

	TAILQ_FOREACH(task, &tasks, entry)
		if (strcmp(task->name, name) == 0)
			return task;
	return NULL;
}

unsigned
task_waiting(void)
{
	const struct task *task;
	unsigned n = 0;

	TAILQ_FOREACH(task, &tasks, entry)
		if (task->state == TASK_WAITING ||
		    (task->state == TASK_RUNNING &&
			task->after == TASK_WAITING))
			n++;
	return n;
}

/*
 * During a task's own callback, sets the state that the task has after the run.
 * Renewing a wait does not change the time when it began.
 */
void
task_set(struct task *task, enum task_state state, const struct task_site *site)
{
	if (task->state == TASK_RUNNING) {
		task->after = state;
		task->site = site;
		return;
	}
	if (task->state == state && task->site == site)
		return;
	task->state = state;
	task->site = site;
	task->since_ns = running != NULL ? running->start_ns : now_ns();
}

static struct task_record *
record_new(struct task *task)
{
	if (task->label == NULL)
		return &spare;
	task->record = calloc(1, sizeof(*task->record));
	if (task->record == NULL)
		task->record = &spare;
	return task->record;
}

static inline unsigned
step_of(uint64_t ns)
{
	unsigned top = 63 - (unsigned)__builtin_clzll(ns | 512);

	return MIN((top - 8) / 2, TASK_STEPS - 1U);
}

uint64_t
task_step_end(unsigned step)
{
	return step >= TASK_STEPS - 1 ? UINT64_MAX : 1024ULL << (2 * step);
}

/* The number of callbacks that are to be called in this pass. */
static int
callbacks_left(void)
{
	return task_hooks.loop != NULL
	    ? event_base_get_num_events(
		  task_hooks.loop, EVENT_BASE_COUNT_ACTIVE)
	    : 0;
}

void
task_pass(void)
{
	pass_ns = 0;
}

/* Counts the delay of a run after others that took long. */
static void
count_delay(struct task *task, struct task_record *record)
{
	/* The rest of the last pass was no task's. */
	if (callbacks_left() >= pass_left)
		pass_ns = 0;
	record->delayed[pass_ns == 0 ? 0 : step_of(pass_ns)]++;
	if (pass_ns > TASK_SLOW_NS && task_hooks.delayed != NULL)
		task_hooks.delayed(task, pass_ns);
}

uint64_t
task_begin(struct task *task)
{
	uint64_t now = now_ns();
	struct task_record *record =
	    task->record != NULL ? task->record : record_new(task);
	struct task_past *past = &record->past[task->runs % TASK_HISTORY];

	past->site = task->site;
	past->since_ns = task->since_ns;
	past->waited_ns = now - task->since_ns;
	task->after = task->state;
	task->state = TASK_RUNNING;
	task->start_ns = now;
	running = task;
	if (pass_ns <= LEAST_NS)
		record->delayed[0]++;
	else
		count_delay(task, record);
	return now;
}

/* What is rarely to be done after a run. */
static void
note_run(struct task *task, uint64_t held, const struct task_site *site)
{
	if (held > TASK_SLOW_NS) {
		task->slow++;
		if (task_hooks.held != NULL)
			task_hooks.held(task, held, site);
	}
	if (task->noted && task_hooks.ran != NULL)
		task_hooks.ran(task);
}

void
task_end(struct task *task)
{
	struct task_past *past;
	uint64_t now, held;

	if (task->label == NULL || task->state != TASK_RUNNING)
		return;
	now = now_ns();
	held = now - task->start_ns;
	past = &task->record->past[task->runs % TASK_HISTORY];
	past->held_ns = held;
	task->record->held[step_of(held)]++;
	task->runs++;
	task->busy_ns += held;
	if (held > task->max_ns)
		task->max_ns = held;
	task->state = task->after;
	task->since_ns = now;
	running = NULL;
	pass_ns += held;
	if (pass_ns > LEAST_NS && (pass_left = callbacks_left()) == 0)
		pass_ns = 0;
	if (held > TASK_SLOW_NS || task->noted)
		note_run(task, held, past->site);
}

uint64_t
task_now(void)
{
	return running != NULL ? running->start_ns : now_ns();
}

const char *
task_state_name(enum task_state state)
{
	return state_names[state];
}

const char *
task_site_name(const struct task_site *site, char *buf, size_t size)
{
	const char *base;

	if (site == NULL) {
		snprintf(buf, size, "-");
		return buf;
	}
	base = strrchr(site->file, '/');
	base = base != NULL ? base + 1 : site->file;
	snprintf(buf, size, "%s:%d", base, site->line);
	return buf;
}

static unsigned
bucket_of(uint64_t ns)
{
	unsigned top;

	if (ns < (1ULL << LOW_BITS))
		return 0;
	top = 63 - (unsigned)__builtin_clzll(ns);
	if (top > HIGH_BITS)
		return BUCKETS - 1;
	return (top - LOW_BITS) * STEPS +
	    ((ns >> (top - STEP_BITS)) & (STEPS - 1));
}

/* The middle of the range of a bucket. */
static uint64_t
bucket_value(unsigned bucket)
{
	unsigned top = bucket / STEPS + LOW_BITS;
	uint64_t step = 1ULL << (top - STEP_BITS);

	return (1ULL << top) + (bucket % STEPS) * step + step / 2;
}

void
histogram_add(struct histogram *h, uint64_t ns, uint64_t n)
{
	if (h->count == NULL)
		h->count = calloc(BUCKETS, sizeof(*h->count));
	if (h->count != NULL)
		h->count[bucket_of(ns)] += (uint32_t)n;
	h->total += n;
	if (ns > h->max_ns)
		h->max_ns = ns;
}

uint64_t
histogram_percentile(const struct histogram *h, double percent)
{
	uint64_t seen = 0, counted = 0, want;

	if (h->count == NULL || h->total == 0)
		return h->max_ns;
	for (unsigned i = 0; i < BUCKETS; i++)
		counted += h->count[i];
	want = (uint64_t)((double)counted * percent / 100.0 + 0.5);
	for (unsigned i = 0; i < BUCKETS; i++) {
		seen += h->count[i];
		if (seen >= want && seen > 0)
			return MIN(bucket_value(i), h->max_ns);
	}
	return h->max_ns;
}

uint64_t
histogram_below(const struct histogram *h, const uint64_t *bounds, unsigned n,
    uint64_t *count)
{
	uint64_t seen = 0, sum = 0;
	unsigned bucket = 0;

	for (unsigned i = 0; i <= n; i++) {
		unsigned end = i < n ? bucket_of(bounds[i]) : BUCKETS;

		for (; h->count != NULL && bucket < end; bucket++) {
			seen += h->count[bucket];
			sum += h->count[bucket] * bucket_value(bucket);
		}
		count[i] = seen;
	}
	return sum;
}

void
histogram_free(struct histogram *h)
{
	free(h->count);
	memset(h, 0, sizeof(*h));
}
