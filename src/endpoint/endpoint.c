/*
 * endpoint: opens endpoints, and reopens them when they are lost.
 *
 *	closed -> opening -> up -> lost -> (back-off) opening -> ...
 *	                     up <-> waiting   (a pty that no program has open)
 *
 * endpoint_set_state() sets the state and logs the change.  Only a retry that fails for
 * the same reason as the previous one returns to lost without it (back_off()).  While
 * an endpoint is lost, it waits for the back-off timer, task NAME.reopen, and a device
 * also for a change of its device file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/bufferevent.h>
#include <event2/event.h>

#include "line_use.h"
#include "link.h"
#include "log.h"

/* The minimum duration of a connection after which the back-off starts again. */
#define LASTING_NS NSEC_PER_SEC

static const char *const state_names[] = {
	[ENDPOINT_CLOSED] = "closed",
	[ENDPOINT_OPENING] = "opening",
	[ENDPOINT_WAITING] = "waiting",
	[ENDPOINT_UP] = "up",
	[ENDPOINT_LOST] = "lost",
	[ENDPOINT_IDLE] = "idle",
};
_Static_assert(NELEM(state_names) == ENDPOINT_IDLE + 1, "a name each");

const char *
endpoint_state_name(enum endpoint_state state)
{
	return state_names[state];
}

uint64_t
endpoint_next_try(const struct endpoint *ep)
{
	uint64_t now = now_ns();

	return ep->state == ENDPOINT_LOST && ep->next_try_ns > now
	    ? ep->next_try_ns - now
	    : 0;
}

/* The path of a device of this machine, or NULL. */
static const char *
device_path(const struct endpoint_conf *conf)
{
	const char *device = endpoint_named(conf, NAMES_DEVICE);

	return device != NULL && device[0] == '/' ? device : NULL;
}

static bool
is_device(const struct endpoint *ep)
{
	return device_path(ep->conf) != NULL ||
	    endpoint_named(ep->conf, NAMES_USB) != NULL;
}

static void
watch_device(struct endpoint *ep)
{
	if (is_device(ep))
		device_watch_start(&ep->device, ep->base);
}

static void
endpoint_set_state(
    struct endpoint *ep, enum endpoint_state state, const char *why)
{
	const char *device = device_path(ep->conf);
	enum endpoint_state old = ep->state;
	int level = state == ENDPOINT_LOST ? LOG_WARNING : LOG_INFO;
	bool failed = state == ENDPOINT_LOST && old == ENDPOINT_OPENING;
	bool name_it = failed && strstr(why, ep->address) == NULL;

	if (old == state)
		return;
	ep->state = state;
	ep->since_ns = now_ns();
	if (state == ENDPOINT_OPENING || state == ENDPOINT_CLOSED)
		level = LOG_DEBUG;
	if (failed && ep->absent && ep->opens == 0)
		log_to(level, ABOUT_STATE, ep->conf->name,
		    "not there: %s%s (will be retried)",
		    device != NULL ? "" : "USB device ",
		    device != NULL ? device
				   : endpoint_named(ep->conf, NAMES_USB));
	else
		log_to(level, ABOUT_STATE, ep->conf->name, "%s -> %s%s%s%s%s%s",
		    state_names[old], state_names[state],
		    *why != '\0' ? " (" : "", name_it ? ep->address : "",
		    name_it ? ": " : "", why, *why != '\0' ? ")" : "");
	if (state == ENDPOINT_LOST)
		watch_device(ep);
	else if (state != ENDPOINT_OPENING)
		device_watch_stop(&ep->device);
	ep->owner->state(ep);
}

/* --- opening and the back-off -------------------------------------------- */

static void
reopen_label(const struct task *task, char *buf, size_t size)
{
	const struct endpoint *ep = task->arg;
	char in[24];

	format_time(endpoint_next_try(ep), in, sizeof(in));
	snprintf(buf, size, "%s to come back (next try in %s; %s)", ep->address,
	    in, error_is_set(&ep->error) ? ep->error.text : "lost");
}

static void
cancel_reopen(struct task *task)
{
	struct endpoint *ep = task->arg;

	event_del(ep->reopen_event);
	task_remove_why(task, "cancelled");
	if (ep->state == ENDPOINT_OPENING)
		ep->conf->ops->close(ep);
	else if (ep->state != ENDPOINT_LOST)
		return;
	error_set(&ep->error, "reopening was cancelled");
	endpoint_set_state(ep, ENDPOINT_CLOSED, ep->error.text);
}

static void
schedule_reopen(struct endpoint *ep, uint64_t wait_ns)
{
	struct timeval tv = to_timeval(wait_ns);

	ep->next_try_ns = now_ns() + wait_ns;
	if (ep->reopen.label == NULL)
		task_add(
		    &ep->reopen, ep, reopen_label, "%s.reopen", ep->conf->name);
	ep->reopen.cancel = cancel_reopen;
	ep->reopen.event = ep->reopen_event;
	event_add(ep->reopen_event, &tv);
	TASK_WAIT(&ep->reopen);
}

static void
try_open(struct endpoint *ep)
{
	const struct endpoint_ops *ops = ep->conf->ops;
	int r;

	endpoint_set_state(ep, ENDPOINT_OPENING, "");
	device_watch_note(&ep->device);
	r = ops->open(ep);
	ep->tried = true;
	ep->absent =
	    is_device(ep) && (r == -ENOENT || r == -ENXIO || r == -ENODEV);
	if (r < 0)
		endpoint_lost(ep,
		    error_is_set(&ep->error) ? ep->error.text : strerror(-r));
}

static void
on_reopen(evutil_socket_t fd, short what, void *arg)
{
	struct endpoint *ep = arg;

	(void)fd, (void)what;
	task_begin(&ep->reopen);
	TASK_SET(&ep->reopen, TASK_IDLE);
	try_open(ep);
	task_end(&ep->reopen);
	if (ep->state == ENDPOINT_UP || ep->state == ENDPOINT_WAITING)
		task_remove_why(&ep->reopen, "opened");
}

/* Tries to open the endpoint now instead of after the back-off; no effect unless it is
 * lost. */
static void
endpoint_retry(struct endpoint *ep)
{
	if (ep->state != ENDPOINT_LOST)
		return;
	event_del(ep->reopen_event);
	TASK_SET(&ep->reopen, TASK_IDLE);
	try_open(ep);
	if (ep->state == ENDPOINT_UP || ep->state == ENDPOINT_WAITING)
		task_remove_why(&ep->reopen, "opened");
}

/*
 * A server or a broker may accept connections and close them at once.  So the back-off starts again
 * only after a connection that has lasted.  A device is open as soon as it is there.
 */
static void
end_back_off(struct endpoint *ep)
{
	uint64_t least = MAX(ep->backoff_ns, LASTING_NS);

	if (!(ep->link.socket || ep->conf->ops->confirms) ||
	    now_ns() - ep->link.since_ns >= least)
		ep->backoff_ns = 0;
}

/* Closes the endpoint and schedules the next attempt; the back-off time doubles each
 * time. */
static void
back_off(struct endpoint *ep, const char *why)
{
	bool news = ep->state != ENDPOINT_OPENING ||
	    strcmp(why, ep->said) != 0 || ep->backoff_ns == 0;

	if (why != ep->error.text)
		error_set(&ep->error, "%s", why);
	link_release(&ep->link);
	ep->conf->ops->close(ep);
	if (news) {
		snprintf(ep->said, sizeof(ep->said), "%s", ep->error.text);
		endpoint_set_state(ep, ENDPOINT_LOST, ep->error.text);
	} else {
		ep->state = ENDPOINT_LOST;
		ep->since_ns = now_ns();
		watch_device(ep);
	}
	ep->backoff_ns = ep->backoff_ns == 0
	    ? ep->conf->reopen_min
	    : MIN(2 * ep->backoff_ns, ep->conf->reopen_max);
	schedule_reopen(ep, ep->backoff_ns);
}

/* --- for the types ------------------------------------------------------- */

static int
bring_up(struct endpoint *ep, int fd)
{
	struct link *link = &ep->link;
	int r;

	snprintf(link->address, sizeof(link->address), "%s", ep->address);
	if ((r = link_start(link, fd)) < 0)
		return r;
	link->up = true;
	error_clear(&ep->error);
	ep->opens += !link->adopted;
	endpoint_set_state(ep, ENDPOINT_UP, ep->address);
	/* on_reopen() removes the task itself at the end of its run. */
	if (ep->reopen.state != TASK_RUNNING)
		task_remove_why(&ep->reopen, "opened");
	if ((r = ep->owner->up(link)) < 0) {
		ep->losses++;
		link_stop(link);
	}
	return r;
}

int
endpoint_up(struct endpoint *ep, int fd, bool close_fd)
{
	int r;

	ep->link.close_fd = close_fd;
	r = bring_up(ep, fd);
	if (r < 0) {
		ep->link.fd = fd;
		link_close_transport(&ep->link);
	}
	return r;
}

void
endpoint_listening(struct endpoint *ep)
{
	ep->backoff_ns = 0;
	error_clear(&ep->error);
	ep->opens += !ep->link.adopted || ep->opens == 0;
	endpoint_set_state(ep, ENDPOINT_UP, ep->address);
}

void
endpoint_lost(struct endpoint *ep, const char *why)
{
	if (ep->link.deferred || ep->state == ENDPOINT_LOST ||
	    ep->state == ENDPOINT_CLOSED || ep->state == ENDPOINT_IDLE)
		return;
	if (ep->link.bev != NULL)
		link_lose(&ep->link, LINK_LOST, why);
	else
		back_off(ep, why);
}

void
endpoint_wait(struct endpoint *ep, const char *why)
{
	error_set(&ep->error, "%s", why);
	if (ep->link.bev != NULL) {
		/* Data that arrives from now on comes from another user. */
		ep->link.read_eof = true;
		link_lose(&ep->link, LINK_WAIT, why);
		return;
	}
	ep->backoff_ns = 0;
	endpoint_set_state(ep, ENDPOINT_WAITING, why);
}

void
endpoint_resume(struct endpoint *ep)
{
	link_settle_now(&ep->link);
	if (ep->state == ENDPOINT_WAITING && bring_up(ep, ep->link.fd) < 0)
		endpoint_lost(ep, "out of memory");
}

/* The deferred close of a link: notifies the owner and closes the link. */
static void
endpoint_settle(struct link *link)
{
	struct endpoint *ep = link->endpoint;

	if (link != &ep->link) {
		connection_settle(link);
		return;
	}
	ep->owner->down(link, link->why);
	end_back_off(ep);
	link_stop(link);
	if (link->end == LINK_WAIT) {
		endpoint_set_state(ep, ENDPOINT_WAITING, link->why);
		return;
	}
	if (link->close_fd)
		link_discard(link);
	link_release(link);
	link_close_transport(link);
	if (link->end == LINK_REOPEN) {
		ep->conf->ops->close(ep);
		endpoint_set_state(ep, ENDPOINT_CLOSED, link->why);
		try_open(ep);
		return;
	}
	ep->losses++;
	device_watch_note(&ep->device);
	back_off(ep, link->why);
}

/* --- for the owner ------------------------------------------------------- */

static void
on_device_changed(void *arg)
{
	endpoint_retry(arg);
}

int
endpoint_new(struct event_base *base, struct endpoint_conf *conf,
    const struct endpoint_owner *owner, void *node, struct endpoint **ret)
{
	struct endpoint *ep;
	int r;

	if ((r = link_machinery(base, endpoint_settle)) < 0)
		return r;
	if ((ep = zalloc_lines(sizeof(*ep))) == NULL)
		return -ENOMEM;
	TAILQ_INIT(&ep->links);
	ep->reopen_event = evtimer_new(base, on_reopen, ep);
	if (ep->reopen_event == NULL) {
		free(ep);
		return -ENOMEM;
	}
	ep->base = base;
	ep->conf = conf;
	ep->owner = owner;
	ep->node = node;
	ep->since_ns = now_ns();
	ep->device.name = conf->name;
	ep->device.path = device_path(conf);
	ep->device.changed = on_device_changed;
	ep->device.arg = ep;
	ep->link.endpoint = ep;
	ep->link.fd = -1;
	snprintf(ep->link.name, sizeof(ep->link.name), "%s", conf->name);
	*ret = ep;
	return 0;
}

void
endpoint_start(struct endpoint *ep)
{
	if (ep->conf->demand)
		endpoint_set_state(ep, ENDPOINT_IDLE, "");
	else
		try_open(ep);
}

/* No effect if the endpoint is already closed. */
static void
close_now(struct endpoint *ep)
{
	struct link *link;

	while ((link = TAILQ_FIRST(&ep->links)) != NULL) {
		link_lose(link, LINK_LOST, "its endpoint was closed");
		link_settle_now(link);
	}
	link = &ep->link;
	if (link->deferred) {
		link->end = LINK_WAIT;
		link_settle_now(link);
	} else if (link->bev != NULL) {
		if (link->up)
			ep->owner->closing(link);
		link->up = false;
		ep->owner->down(link, "closed");
		link_stop(link);
	}
	if (link->close_fd && link->fd >= 0)
		link_discard(link);
	link_release(link);
	link_close_transport(link);
	ep->conf->ops->close(ep);
	event_del(ep->reopen_event);
	task_remove_why(&ep->reopen, "the endpoint was closed");
	device_watch_stop(&ep->device);
}

void
endpoint_stop(struct endpoint *ep)
{
	line_use_stop(ep);
	close_now(ep);
	endpoint_set_state(ep, ENDPOINT_CLOSED, "stopped");
}

void
endpoint_need(struct endpoint *ep, bool needed)
{
	if (needed && ep->state == ENDPOINT_IDLE) {
		ep->backoff_ns = 0;
		try_open(ep);
	}
	if (needed || ep->state == ENDPOINT_IDLE ||
	    ep->state == ENDPOINT_CLOSED)
		return;
	close_now(ep);
	error_clear(&ep->error);
	endpoint_set_state(ep, ENDPOINT_IDLE, "no client is connected");
}

void
endpoint_free(struct endpoint *ep)
{
	if (ep == NULL)
		return;
	if (ep->conf != NULL) {
		line_use_stop(ep);
		close_now(ep);
		if (ep->conf->ops->free != NULL)
			ep->conf->ops->free(ep);
	}
	event_free(ep->reopen_event);
	endpoint_conf_free(ep->conf);
	free(ep);
}

void
endpoint_reopen(struct endpoint *ep, const char *why)
{
	ep->backoff_ns = 0;
	if (ep->link.bev != NULL) {
		if (ep->link.up)
			ep->owner->closing(&ep->link);
		link_lose(&ep->link, LINK_REOPEN, why);
		return;
	}
	close_now(ep);
	endpoint_set_state(ep, ENDPOINT_CLOSED, why);
	try_open(ep);
}

int
endpoint_break(struct endpoint *ep, uint64_t ns)
{
	if (ep->conf->ops->send_break == NULL)
		return -EOPNOTSUPP;
	return ep->conf->ops->send_break(ep, ns);
}

int
endpoint_reset(struct endpoint *ep, const char *sequence, struct error *err)
{
	if (ep->conf->ops->reset == NULL)
		return error_fail(
		    err, -EOPNOTSUPP, "its type is %s", ep->conf->ops->type);
	return ep->conf->ops->reset(ep, sequence, err);
}

void
endpoint_end_signals(struct endpoint *ep)
{
	if (ep->conf->ops->end_signals != NULL)
		ep->conf->ops->end_signals(ep);
}
