/*
 * turns: schedules the turns of control sessions and TLS handshakes.
 *
 * A timer with zero delay, set whenever a session has used some time, separates the
 * passes of the event loop.  Within a pass sessions continue immediately while there is
 * time left; when the timer fires, waiting sessions get turns one after the other.  A
 * pass in which both happen uses PASS_NS twice, and may exceed each by the longest step
 * of a command, so that all sessions together stay below 5 ms.
 */
#include <errno.h>

#include <event2/event.h>

#include "turns.h"

#define PASS_NS (2 * NSEC_PER_MSEC)

static struct event *timer;
static struct task task;
static TAILQ_HEAD(, turn) waiting = TAILQ_HEAD_INITIALIZER(waiting);
static unsigned holders, nwaiting;
static uint64_t used; /* ns, in this pass */

static void
turns_label(const struct task *t, char *buf, size_t size)
{
	(void)t;
	if (!evtimer_pending(timer, NULL))
		snprintf(buf, size,
		    "nothing: no control session has a command, and no TLS "
		    "handshake is in progress");
	else if (nwaiting == 0)
		snprintf(buf, size, "the next pass of the loop");
	else
		snprintf(buf, size,
		    "the next pass of the loop, for %u session%s or handshakes",
		    nwaiting, nwaiting == 1 ? "" : "s");
}

static void
arm(void)
{
	static const struct timeval at_once = { 0, 0 };

	if (!evtimer_pending(timer, NULL)) {
		event_add(timer, &at_once);
		TASK_WAIT(&task);
	}
}

static void
on_pass(evutil_socket_t fd, short what, void *arg)
{
	struct turn *turn;

	(void)fd, (void)what, (void)arg;
	task_begin(&task);
	TASK_SET(&task, TASK_IDLE);
	task_end(&task);
	used = 0;
	while (used < PASS_NS && (turn = TAILQ_FIRST(&waiting)) != NULL) {
		turns_wait(turn, false);
		turn->run(turn);
	}
	if (nwaiting > 0)
		arm();
}

int
turns_hold(struct event_base *base)
{
	if (holders == 0) {
		if ((timer = evtimer_new(base, on_pass, NULL)) == NULL)
			return -ENOMEM;
		task_add(&task, NULL, turns_label, "control.turns");
		used = 0;
	}
	holders++;
	return 0;
}

void
turns_release(void)
{
	if (--holders > 0)
		return;
	task_remove_why(&task, NULL);
	event_free(timer);
	timer = NULL;
}

bool
turns_free(void)
{
	return nwaiting == 0 && used < PASS_NS;
}

void
turns_wait(struct turn *turn, bool on)
{
	if (turn->waiting == on)
		return;
	turn->waiting = on;
	if (on) {
		TAILQ_INSERT_TAIL(&waiting, turn, entry);
		nwaiting++;
		arm();
	} else {
		TAILQ_REMOVE(&waiting, turn, entry);
		nwaiting--;
	}
}

uint64_t
turn_begin(void)
{
	arm();
	return now_ns();
}

void
turn_end(uint64_t start)
{
	used += now_ns() - start;
}

void
turns_exhaust(void)
{
	used = MAX(used, PASS_NS);
}

bool
turns_left(void)
{
	return used < 2 * PASS_NS;
}
