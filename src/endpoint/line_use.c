/*
 * line_use: restores a serial line when its last client has left.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include <event2/event.h>

#include "line_control.h"
#include "line_use.h"
#include "link.h"
#include "log.h"

#define BOTH (TIOCM_DTR | TIOCM_RTS)
#define BITS_MIN 5
#define BITS_MAX 8

/* The time without progress after which nothing is waited for. */
#define STUCK_NS NSEC_PER_SEC
#define LOOK_NS (10 * NSEC_PER_MSEC)

struct line_use {
	uint64_t number; /* the same as that of no earlier one */
	unsigned clients;
	bool has_signals;
	unsigned signals;
	struct line_settings before;
	struct line_settings section; /* what the section said then */
	/* While there are no clients any more: */
	struct event *timer;
	struct line_wait wait;
	struct task task;
};

static struct line_use *
use_new(struct endpoint *line)
{
	static uint64_t uses;
	struct line_use *use = calloc(1, sizeof(*use));

	if (use != NULL)
		use->number = ++uses;
	line->line_use = use;
	return use;
}

static bool
is_same(const struct line_settings *a, const struct line_settings *b)
{
	return a->baud == b->baud && a->flow == b->flow &&
	    a->mode.bits == b->mode.bits && a->mode.parity == b->mode.parity &&
	    a->mode.stop == b->mode.stop;
}

static struct line_settings
settings_of_section(const struct endpoint *line)
{
	struct line_settings section;
	unsigned mask, levels;

	line->conf->ops->control->section(line, &section, &mask, &levels);
	return section;
}

/* The settings from before, or those of the section if it was changed meanwhile. */
static struct line_settings
settings_after(const struct endpoint *line, const struct line_use *use)
{
	const struct line_settings section = settings_of_section(line);

	return is_same(&section, &use->section) ? use->before : section;
}

/* DTR and RTS: as the section says, or else as before. */
static unsigned
signals_after(const struct endpoint *line, const struct line_use *use)
{
	struct line_settings section;
	unsigned mask, levels;

	line->conf->ops->control->section(line, &section, &mask, &levels);
	return levels | (use->signals & BOTH & ~mask);
}

static void
restore(struct endpoint *line, const struct line_use *use)
{
	const struct line_ops *ops = line->conf->ops->control;
	const struct line_settings after = settings_after(line, use);
	const unsigned levels = signals_after(line, use);
	struct error err = { "" };
	unsigned now;

	if (ops->in_break(line))
		ops->set_break(line, false);
	if (ops->set(line, &after, &err) < 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, line->conf->name,
		    "the settings from before its clients cannot be"
		    " restored: %s",
		    err.text);
	if (use->has_signals && ops->signals(line, &now) == 0 &&
	    ((now ^ levels) & BOTH) != 0)
		ops->set_signals(line, BOTH, levels);
}

static void
stop_timer(struct line_use *use)
{
	if (use->timer == NULL)
		return;
	event_free(use->timer);
	use->timer = NULL;
	task_remove_why(&use->task, "stopped");
}

static void
end(struct endpoint *line)
{
	struct line_use *use = line->line_use;

	restore(line, use);
	line->line_use = NULL;
	stop_timer(use);
	free(use);
}

void
line_use_stop(struct endpoint *line)
{
	if (line->line_use != NULL)
		end(line);
}

/* --- the last client has left --------------------------------------------- */

static unsigned
unsent(const struct endpoint *line)
{
	const struct endpoint_ops *ops = line->conf->ops;

	return ops->unsent != NULL ? ops->unsent(line) : 0;
}

/* Whether the frames were written, and the driver has sent them. */
static bool
is_sent(const struct endpoint *line, struct line_wait *wait, uint64_t done,
    uint64_t waiting, uint64_t pending)
{
	if (!wait->written && (waiting == 0 || done >= wait->frames)) {
		wait->written = true;
		wait->bytes = line->link.tx_bytes;
	}
	return wait->written && line->link.tx_bytes - wait->bytes >= pending;
}

bool
line_written(const struct endpoint *line, struct line_wait *wait)
{
	uint64_t done, waiting, pending, measure, now = now_ns();

	if (line->state != ENDPOINT_UP)
		return true;
	line->owner->progress(line, &done, &waiting);
	pending = link_pending(&line->link) + unsent(line);
	if (!wait->started)
		*wait = (struct line_wait){ .started = true,
			.frames = done + waiting,
			.progress_ns = now };
	if (is_sent(line, wait, done, waiting, pending))
		return true;
	measure = done + line->link.tx_bytes - pending;
	if (measure != wait->last)
		wait->progress_ns = now;
	wait->last = measure;
	return now - wait->progress_ns >= STUCK_NS;
}

static void
label(const struct task *task, char *buf, size_t size)
{
	const struct endpoint *line = task->arg;

	snprintf(buf, size,
	    "what the last client sent to be written, before the settings of"
	    " %s are restored",
	    line->conf->name);
}

static void
on_look(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *line = arg;
	struct line_use *use = line->line_use;
	const struct timeval tv = to_timeval(LOOK_NS);

	(void)fd, (void)what;
	task_begin(&use->task);
	if (line_written(line, &use->wait)) {
		end(line);
		return;
	}
	event_add(use->timer, &tv);
	TASK_WAIT(&use->task);
	task_end(&use->task);
}

/* Restores the line when everything was written. */
static void
end_later(struct endpoint *line)
{
	struct line_use *use = line->line_use;
	const struct timeval tv = to_timeval(LOOK_NS);

	memset(&use->wait, 0, sizeof(use->wait));
	if (line_written(line, &use->wait)) {
		end(line);
		return;
	}
	use->timer = evtimer_new(line->base, on_look, line);
	if (use->timer == NULL || event_add(use->timer, &tv) < 0) {
		end(line);
		return;
	}
	task_add(&use->task, line, label, "%s.restore", line->conf->name);
	TASK_WAIT(&use->task);
}

bool
line_use_is(const struct endpoint *line, uint64_t number)
{
	return line->line_use != NULL && line->line_use->number == number;
}

void
line_use_end(struct endpoint *line, uint64_t number)
{
	if (line_use_is(line, number) && --line->line_use->clients == 0)
		end_later(line);
}

void
line_use_settle(struct endpoint *line)
{
	if (line->line_use != NULL && line->line_use->clients == 0)
		end_later(line);
}

/* --- clients -------------------------------------------------------------- */

uint64_t
line_use_begin(struct endpoint *line)
{
	const struct line_ops *ops = line->conf->ops->control;
	struct line_use *use = line->line_use;

	if (use == NULL) {
		if ((use = use_new(line)) == NULL)
			return 0;
		use->section = settings_of_section(line);
		ops->get(line, &use->before);
		use->has_signals = ops->signals(line, &use->signals) == 0;
	}
	stop_timer(use);
	use->clients++;
	return use->number;
}

/* --- for the next process ------------------------------------------------- */

static void
save_settings(const struct line_settings *settings, struct pack *p)
{
	pack_number(p, settings->baud);
	pack_number(p, (uint64_t)settings->mode.bits);
	pack_number(p, (uint64_t)settings->mode.parity);
	pack_number(p, (uint64_t)settings->mode.stop);
	pack_number(p, (uint64_t)settings->flow);
}

static void
read_settings(struct unpack *u, struct line_settings *ret)
{
	ret->baud = unpack_number_to(u, UINT32_MAX);
	ret->mode.bits = (int)unpack_number_to(u, BITS_MAX);
	ret->mode.parity = (char)unpack_number_to(u, INT8_MAX);
	ret->mode.stop = (int)unpack_number_to(u, 2);
	ret->flow = (int)unpack_number_to(u, FLOW_DTRDSR);
	if (ret->baud == 0 || ret->mode.bits < BITS_MIN || ret->mode.stop < 1)
		u->failed = true;
}

void
line_use_save(const struct endpoint *line, struct pack *p)
{
	const struct line_use *use = line->line_use;
	struct line_settings now, after, section;

	if (use == NULL)
		return;
	after = settings_after(line, use);
	section = settings_of_section(line);
	if (line->conf->ops->control->get(line, &now) < 0)
		now = use->before;
	pack_number(p, false); /* a break does not go over */
	pack_number(p, use->has_signals);
	pack_number(p, use->signals);
	save_settings(&after, p);
	save_settings(&now, p);
	save_settings(&section, p);
}

void
line_use_restore(struct endpoint *line, struct unpack *u)
{
	struct line_use use = { .clients = 0 };
	struct line_settings now, section;
	struct error err;

	if (u->left == 0)
		return;
	unpack_bool(u);
	use.has_signals = unpack_bool(u);
	use.signals = (unsigned)unpack_number_to(u, UINT32_MAX);
	read_settings(u, &use.before);
	read_settings(u, &now);
	read_settings(u, &use.section);
	if (u->failed || line->conf->ops->control == NULL ||
	    use_new(line) == NULL)
		return;
	use.number = line->line_use->number;
	section = settings_of_section(line);
	/* A section that was changed meanwhile takes effect. */
	if (is_same(&section, &use.section))
		line->conf->ops->control->set(line, &now, &err);
	else
		use.before = use.section = section;
	*line->line_use = use;
}
