/*
 * warning: what looks wrong with the tasks, and with the endpoints that they serve.
 *
 * The timer is a timerfd: while a timer of libevent is pending, the clock is read twice in
 * each pass of the loop.
 */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <event2/event.h>

#include "log.h"
#include "task_log.h"
#include "warning.h"

/* How long what was noticed in a run is in force. */
#define KEEP_NS (300 * NSEC_PER_SEC)
/* The timer does not fire more often. */
#define LEAST_NS NSEC_PER_SEC

const char *const warning_names[WARNINGS] = {
	[WARNING_NO_EVENT] = "no-event",
	[WARNING_HELD_LOOP] = "held-loop",
	[WARNING_NOT_SERVED] = "not-served",
	[WARNING_FLAPPING] = "flapping",
	[WARNING_SILENT] = "silent",
	[WARNING_FRAMING] = "mixed-framing",
	[WARNING_LOG] = "no-log",
	[WARNING_FAILOVER] = "failover",
	[WARNING_SPOOL] = "no-spool",
	[WARNING_DOWN] = "down",
	[WARNING_DISCARDED] = "discarded",
};

static TAILQ_HEAD(, warning) all = TAILQ_HEAD_INITIALIZER(all);
static uint64_t numbers;
static unsigned counts[WARNINGS];

static struct event_base *loop; /* NULL: not open */
static struct event *timer;	/* NULL: not needed yet */
static struct task timer_task;
static uint64_t due_ns;	    /* when it fires, 0: not armed */
static uint64_t checked_ns; /* the last check */
static void (*source)(void *, uint64_t);
static void *source_arg;

/* --- the list ------------------------------------------------------------- */

static struct warning *
warning_find(const struct warning *head, enum warning_kind kind)
{
	for (; head != NULL; head = head->next)
		if (head->kind == kind)
			return (struct warning *)(uintptr_t)head;
	return NULL;
}

static struct warning *
warning_begin(struct warning **head, const char *task, enum warning_kind kind)
{
	struct warning *w = calloc(1, sizeof(*w));

	if (w == NULL)
		return NULL;
	w->number = ++numbers;
	w->kind = kind;
	w->since_ns = now_ns();
	w->head = head;
	w->next = *head;
	*head = w;
	snprintf(w->task, sizeof(w->task), "%s", task);
	TAILQ_INSERT_TAIL(&all, w, entry);
	counts[kind]++;
	return w;
}

static void
warning_release(struct warning *w)
{
	struct warning **at = w->head;

	while (*at != w)
		at = &(*at)->next;
	*at = w->next;
	TAILQ_REMOVE(&all, w, entry);
	counts[w->kind]--;
	free(w->text);
	free(w);
}

/* why: as in "over after 5m: WHY"; NULL: nothing to add. */
static void
warning_end(struct warning *w, const char *why)
{
	char lasted[24];

	format_time(now_ns() - w->since_ns, lasted, sizeof(lasted));
	if (!w->quiet)
		log_to(LOG_NOTICE, ABOUT_WARNING, w->task,
		    "%s: over after %s%s%s", warning_names[w->kind], lasted,
		    why != NULL ? ": " : "", why != NULL ? why : "");
	warning_release(w);
}

/* The warning of that kind gets the text, and begins if there is none.  NULL: no memory. */
static struct warning *
warning_change(struct warning **head, const char *task, enum warning_kind kind,
    enum warning_log log, const char *text)
{
	struct warning *w = warning_find(*head, kind);
	bool new = w == NULL;

	if (new && (w = warning_begin(head, task, kind)) == NULL)
		return NULL;
	if (w->text == NULL || strcmp(w->text, text) != 0) {
		free(w->text);
		w->text = strdup(text);
	}
	if (new)
		w->quiet = log == WARNING_QUIET;
	if (new && !w->quiet)
		log_to(LOG_WARNING, ABOUT_WARNING, task, "%s: %s",
		    warning_names[kind], text);
	return w;
}

void
warning_set(struct warning **head, const char *task, enum warning_kind kind,
    uint64_t until_ns, const char *fmt, ...)
{
	char text[WARNING_TEXT_MAX];
	struct warning *w;
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	w = warning_change(head, task, kind, WARNING_LOGGED, text);
	if (w == NULL)
		return;
	w->until_ns = until_ns;
	if (until_ns != 0)
		warnings_due(until_ns);
}

void
warning_put(struct warning **head, const char *task, enum warning_kind kind,
    enum warning_log log, const char *fmt, ...)
{
	char text[WARNING_TEXT_MAX];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	warning_change(head, task, kind, log, text);
}

void
warning_clear(struct warning **head, enum warning_kind kind)
{
	struct warning *w = warning_find(*head, kind);

	if (w != NULL)
		warning_end(w, NULL);
}

void
warning_forget(struct warning **head, const char *why)
{
	while (*head != NULL)
		warning_end(*head, why);
}

bool
warning_is_set(const struct warning *head, enum warning_kind kind)
{
	return warning_find(head, kind) != NULL;
}

const struct warning *
warning_after(uint64_t number)
{
	const struct warning *w;

	TAILQ_FOREACH(w, &all, entry)
		if (w->number > number)
			return w;
	return NULL;
}

unsigned
warning_count(enum warning_kind kind)
{
	return counts[kind];
}

const char *
warning_list(const struct warning *head, char *buf, size_t size)
{
	buf[0] = '\0';
	for (; head != NULL; head = head->next)
		append(buf, size, "%s%s", *buf != '\0' ? "," : "",
		    warning_names[head->kind]);
	return buf;
}

/* --- what is noticed in runs ---------------------------------------------- */

static void
on_held(struct task *task, uint64_t ns, const struct task_site *site)
{
	char place[64];

	task_log_stall(task, ns, site);
	warning_set(&task->warnings, task->name, WARNING_HELD_LOOP,
	    now_ns() + KEEP_NS,
	    "held the loop for %llu ms, in the run that %s had awaited",
	    (unsigned long long)(ns / NSEC_PER_MSEC),
	    task_site_name(site, place, sizeof(place)));
}

static void
on_delayed(struct task *task, uint64_t ns)
{
	warning_set(&task->warnings, task->name, WARNING_NOT_SERVED,
	    now_ns() + KEEP_NS,
	    "was ready, but not served for %llu ms, while others ran",
	    (unsigned long long)(ns / NSEC_PER_MSEC));
}

static void
on_ran(struct task *task)
{
	(void)task;
	warnings_due(now_ns());
}

static void
on_removed(struct task *task)
{
	warning_forget(&task->warnings, "the task has ended");
}

/* --- checks --------------------------------------------------------------- */

static bool
lacks_event(const struct task *task)
{
	if (task->state != TASK_WAITING)
		return false;
	if (task->armed != NULL)
		return !task->armed(task);
	return task->event != NULL &&
	    event_pending(task->event,
		EV_READ | EV_WRITE | EV_TIMEOUT | EV_SIGNAL, NULL) == 0;
}

static void
check_task(struct task *task)
{
	char label[TASK_LABEL_MAX] = "", place[64];

	if (!lacks_event(task)) {
		if (task->warnings != NULL)
			warning_clear(&task->warnings, WARNING_NO_EVENT);
		return;
	}
	if (warning_is_set(task->warnings, WARNING_NO_EVENT))
		return;
	task->label(task, label, sizeof(label));
	warning_set(&task->warnings, task->name, WARNING_NO_EVENT, 0,
	    "waits in %s for %s, and no event is armed: it will not run again",
	    task_site_name(task->site, place, sizeof(place)), label);
}

/* Ends the warnings whose time has come. */
static void
check_times(uint64_t now)
{
	struct warning *w, *next;
	uint64_t first = 0;

	for (w = TAILQ_FIRST(&all); w != NULL; w = next) {
		next = TAILQ_NEXT(w, entry);
		if (w->until_ns == 0)
			continue;
		if (w->until_ns <= now)
			warning_end(w, NULL);
		else if (first == 0 || w->until_ns < first)
			first = w->until_ns;
	}
	if (first != 0)
		warnings_due(first);
}

void
warnings_check(void)
{
	struct task *task;
	uint64_t now = now_ns();

	checked_ns = now;
	check_times(now);
	TAILQ_FOREACH(task, task_all(), entry)
		check_task(task);
	if (source != NULL)
		source(source_arg, now);
}

void
warnings_source(void (*check)(void *, uint64_t), void *arg)
{
	source = check;
	source_arg = arg;
}

/* --- the timer ------------------------------------------------------------ */

static void
timer_label(const struct task *task, char *buf, size_t size)
{
	uint64_t now = now_ns();
	char in[24];

	(void)task;
	if (due_ns == 0) {
		snprintf(buf, size, "nothing: no warning begins or ends soon");
		return;
	}
	format_time(due_ns > now ? due_ns - now : 0, in, sizeof(in));
	snprintf(
	    buf, size, "the time when a warning may begin or end, in %s", in);
}

static void
on_timer(evutil_socket_t fd, short what, void *arg)
{
	uint64_t times;

	(void)what, (void)arg;
	task_begin(&timer_task);
	if (read(fd, &times, sizeof(times)) == sizeof(times)) {
		TASK_SET(&timer_task, TASK_IDLE);
		due_ns = 0;
		warnings_check();
	} else {
		/* It was set to a later time after it had fired. */
		event_add(timer, NULL);
		TASK_WAIT(&timer_task);
	}
	task_end(&timer_task);
}

/* Without a descriptor or memory for it, warnings end when they are looked at. */
static bool
make_timer(void)
{
	int fd;

	if (timer != NULL)
		return true;
	if (loop == NULL)
		return false;
	fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
	if (fd < 0)
		return false;
	if ((timer = event_new(loop, fd, EV_READ, on_timer, NULL)) == NULL) {
		close(fd);
		return false;
	}
	task_add(&timer_task, NULL, timer_label, "daemon.warnings");
	timer_task.event = timer;
	return true;
}

void
warnings_due(uint64_t at)
{
	struct itimerspec when = { .it_value.tv_sec = 0 };

	at = MAX(at, checked_ns + LEAST_NS);
	if ((due_ns != 0 && due_ns <= at) || !make_timer())
		return;
	when.it_value.tv_sec = (time_t)(at / NSEC_PER_SEC);
	when.it_value.tv_nsec = (long)(at % NSEC_PER_SEC);
	if (timerfd_settime(
		event_get_fd(timer), TFD_TIMER_ABSTIME, &when, NULL) < 0 ||
	    event_add(timer, NULL) < 0)
		return;
	due_ns = at;
	TASK_WAIT(&timer_task);
}

void
warnings_open(struct event_base *base)
{
	loop = base;
	task_hooks = (struct task_hooks){
		.loop = base,
		.held = on_held,
		.delayed = on_delayed,
		.ran = on_ran,
		.removed = on_removed,
	};
}

void
warnings_close(void)
{
	struct warning *w;

	task_hooks = (struct task_hooks){ .held = NULL };
	while ((w = TAILQ_FIRST(&all)) != NULL)
		warning_release(w);
	task_remove(&timer_task);
	if (timer != NULL) {
		close(event_get_fd(timer));
		event_free(timer);
	}
	timer = NULL;
	loop = NULL;
	source = NULL;
	due_ns = checked_ns = 0;
}
