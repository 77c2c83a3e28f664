/*
 * silence: opens an endpoint again when it has received no frame for a while.
 */
#include <errno.h>
#include <stdlib.h>

#include <event2/event.h>

#include "log.h"
#include "silence.h"

struct silence_watch {
	struct node *node;
	struct event *event;
	struct task task;
	uint64_t frames;   /* received until the last look... */
	uint64_t since_ns; /* ...and none since then; 0: it is not up */
	bool reset;	   /* the device is to be reset when it is open */
};

static uint64_t
timeout_of(const struct silence_watch *s)
{
	return s->node->endpoint->conf->silence_timeout;
}

static void
arm(struct silence_watch *s, uint64_t now)
{
	uint64_t at = s->since_ns + timeout_of(s);
	struct timeval tv = to_timeval(at > now ? at - now : 0);

	event_add(s->event, &tv);
	TASK_WAIT(&s->task);
}

/* Whether the endpoint is not read. */
static bool
is_held_back(const struct node *node)
{
	const struct port *port = TAILQ_FIRST(&node->ports);

	return node->endpoint->paused ||
	    (port != NULL && port->blocked_by != NULL);
}

static void
reopen(struct silence_watch *s)
{
	struct endpoint *ep = s->node->endpoint;
	char within[24];

	format_time(timeout_of(s), within, sizeof(within));
	log_to(LOG_WARNING, ABOUT_ENDPOINT, ep->conf->name,
	    "no frame was received within %s: it is opened again", within);
	ep->silences++;
	s->reset = true;
	endpoint_reopen(ep, "silent");
}

static void
look(struct silence_watch *s, uint64_t now)
{
	const struct node *node = s->node;
	uint64_t frames = node_received(node);

	if (s->since_ns == 0 || node->bridge->stopping)
		return;
	if (frames != s->frames)
		s->since_ns =
		    MAX(s->since_ns, MIN(node->endpoint->link.heard_ns, now));
	s->frames = frames;
	if (is_held_back(node))
		s->since_ns = now;
	if (now - s->since_ns < timeout_of(s))
		arm(s, now);
	else
		reopen(s);
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	struct silence_watch *s = arg;
	uint64_t now = task_begin(&s->task);

	(void)fd, (void)what;
	TASK_SET(&s->task, TASK_IDLE);
	look(s, now);
	task_end(&s->task);
}

static void
label(const struct task *task, char *buf, size_t size)
{
	const struct silence_watch *s = task->arg;
	const struct endpoint *ep = s->node->endpoint;
	char within[24];

	if (s->since_ns == 0)
		snprintf(buf, size, "nothing: %s is not up", ep->conf->name);
	else
		snprintf(buf, size,
		    "a frame from %s (%s), which is opened again after %s"
		    " without one",
		    ep->conf->name, ep->address,
		    format_time(timeout_of(s), within, sizeof(within)));
}

static int
begin(struct node *node)
{
	struct silence_watch *s = calloc(1, sizeof(*s));

	if (s == NULL)
		return -ENOMEM;
	s->node = node;
	s->event = evtimer_new(node->endpoint->base, on_event, s);
	if (s->event == NULL) {
		free(s);
		return -ENOMEM;
	}
	task_add(&s->task, s, label, "%s.silence", node->endpoint->conf->name);
	s->task.event = s->event;
	TASK_SET(&s->task, TASK_IDLE);
	node->silence = s;
	return 0;
}

void
node_silence(struct node *node)
{
	const struct endpoint *ep = node->endpoint;
	uint64_t now = now_ns();
	struct silence_watch *s;

	if (ep->conf->silence_timeout == 0) {
		node_silence_end(node);
		return;
	}
	/* Without memory it is not opened again. */
	if (node->silence == NULL && begin(node) < 0)
		return;
	s = node->silence;
	if (ep->state != ENDPOINT_UP) {
		event_del(s->event);
		TASK_SET(&s->task, TASK_IDLE);
		s->since_ns = 0;
		return;
	}
	if (s->since_ns == 0) {
		s->since_ns = now;
		s->frames = node_received(node);
	}
	arm(s, now);
}

void
node_silence_end(struct node *node)
{
	struct silence_watch *s = node->silence;

	if (s == NULL)
		return;
	event_free(s->event);
	task_remove_why(&s->task, "'silence_timeout' was removed");
	free(s);
	node->silence = NULL;
}

void
node_silence_up(struct node *node)
{
	struct silence_watch *s = node->silence;
	const char *name = node->endpoint->conf->name;
	struct error err;
	int r;

	if (s == NULL || !s->reset)
		return;
	s->reset = false;
	r = endpoint_reset(node->endpoint, NULL, &err);
	if (r == 0)
		log_to(LOG_NOTICE, ABOUT_ENDPOINT, name,
		    "it was silent: its device is reset");
	/* Otherwise its section does not say how. */
	else if (r != -EINVAL && r != -EOPNOTSUPP)
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name,
		    "it was silent, and its device could not be reset: %s",
		    err.text);
}
