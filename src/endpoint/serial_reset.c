/*
 * serial_reset: resets the board at a serial port, by a sequence of levels of DTR and RTS.
 *
 * An ESP board has two transistors: DTR off with RTS on holds the chip in reset, DTR on
 * with RTS off pulls the pin that selects the bootloader, and equal levels do nothing.  So
 * both signals are changed at the same time: the levels between would be a state of their
 * own.
 *
 * An Arduino has a capacitor between DTR and the reset pin, which is charged while DTR is
 * off and resets the board when DTR is raised.
 */
#include <sys/ioctl.h>

#include <errno.h>
#include <string.h>

#include <event2/event.h>

#include "log.h"
#include "serial_reset.h"

#define BOTH (TIOCM_DTR | TIOCM_RTS)
#define STEPS_MAX 3

/* The last step, whose wait is 0, sets the final levels. */
static const struct sequence {
	struct step {
		unsigned mask, levels;
		unsigned wait_ms;
	} step[STEPS_MAX];
} sequences[] = {
	[RESET_CLASSIC] = { { { BOTH, TIOCM_RTS, 100 }, { BOTH, TIOCM_DTR, 50 },
	    { BOTH, 0, 0 } } },
	[RESET_ESP] = { { { BOTH, TIOCM_RTS, 100 }, { BOTH, 0, 0 } } },
	[RESET_UNO] = { { { TIOCM_DTR, 0, 250 },
	    { TIOCM_DTR, TIOCM_DTR, 0 } } },
};

static unsigned
level(unsigned levels, unsigned signal, int how)
{
	if (how == LINE_KEEP)
		return levels;
	return how == LINE_ON ? levels | signal : levels & ~signal;
}

/* The levels of a step.  The final ones are those of the section where it has some. */
static unsigned
step_levels(const struct serial *s, const struct step *step)
{
	const struct serial_conf *conf = s->ep->conf->type_conf;
	unsigned levels = step->levels;

	if (step->wait_ms > 0)
		return levels;
	levels = level(levels, TIOCM_DTR, conf->dtr.line);
	return level(levels, TIOCM_RTS, conf->rts);
}

static void
reset_end(struct serial *s)
{
	event_free(s->reset_timer);
	s->reset_timer = NULL;
	task_remove_why(&s->reset_task, "the reset has ended");
}

/* Performs the next step; returns 0 after the last one, and 1 before. */
static int
reset_step(struct serial *s)
{
	const struct step *step = s->reset_step;
	const struct timeval tv = to_timeval(step->wait_ms * NSEC_PER_MSEC);
	int r = s->ops->set_signals(s, step->mask, step_levels(s, step));

	if (r < 0 || step->wait_ms == 0)
		return r;
	s->reset_step++;
	if (event_add(s->reset_timer, &tv) < 0)
		return -ENOMEM;
	TASK_WAIT(&s->reset_task);
	return 1;
}

static void
on_step(evutil_socket_t fd, short what, void *arg)
{
	struct serial *s = arg;
	int r;

	(void)fd, (void)what;
	task_begin(&s->reset_task);
	r = reset_step(s);
	if (r < 0)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, s->ep->conf->name,
		    "the reset was not completed: %s", strerror(-r));
	if (r <= 0)
		reset_end(s);
	else
		task_end(&s->reset_task);
}

void
serial_reset_stop(struct serial *s)
{
	const struct step *step = s->reset_step;

	if (s->reset_timer == NULL)
		return;
	while (step->wait_ms > 0)
		step++;
	if (s->ops->is_open(s))
		s->ops->set_signals(s, step->mask, step_levels(s, step));
	reset_end(s);
}

static void
reset_cancel(struct task *task)
{
	serial_reset_stop(task->arg);
}

static void
reset_label(const struct task *task, char *buf, size_t size)
{
	const struct serial *s = task->arg;

	snprintf(buf, size, "the end of a reset (%s) of %s",
	    serial_reset_words[s->reset_kind], s->ep->address);
}

/* Which sequence is meant; -EINVAL. */
static int
find(const struct serial *s, const char *sequence, struct error *err)
{
	const struct serial_conf *conf = s->ep->conf->type_conf;
	const char *name = s->ep->conf->name;

	if (sequence == NULL && conf->reset == RESET_NONE)
		return error_fail(err, -EINVAL,
		    "[serial %s] does not say how; name the sequence, as in"
		    " 'reset %s uno': classic, esp or uno",
		    name, name);
	if (sequence == NULL)
		return conf->reset;
	for (int i = RESET_NONE + 1; serial_reset_words[i] != NULL; i++)
		if (strcmp(serial_reset_words[i], sequence) == 0)
			return i;
	error_set(
	    err, "'%.64s' is not a sequence: classic, esp or uno", sequence);
	error_append_meant(
	    err, nearest(sequence, serial_reset_words + RESET_NONE + 1));
	return -EINVAL;
}

int
serial_reset_start(struct serial *s, const char *sequence, struct error *err)
{
	const struct serial_conf *conf = s->ep->conf->type_conf;
	int r, kind = find(s, sequence, err);

	if (kind < 0)
		return kind;
	if (!serial_reset_allowed(conf, kind, err))
		return -EINVAL;
	if (s->reset_timer != NULL)
		return error_fail(err, -EBUSY, "a reset is in progress");
	s->reset_timer = evtimer_new(s->ep->base, on_step, s);
	if (s->reset_timer == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	s->reset_kind = kind;
	s->reset_step = sequences[kind].step;
	task_add(&s->reset_task, s, reset_label, "%s.reset", s->ep->conf->name);
	s->reset_task.cancel = reset_cancel;
	if ((r = reset_step(s)) > 0)
		return 0;
	reset_end(s);
	return error_fail(
	    err, r, "DTR and RTS cannot be set: %s", strerror(-r));
}
