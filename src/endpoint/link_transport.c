/*
 * link_transport: the events that a link waits for.
 */
#include <errno.h>
#include <string.h>

#include <event2/event.h>

#include "link.h"
#include "link_filter.h"

short
link_events(const struct link *link)
{
	const struct filter *filter = link->filter;
	short events = 0;

	if (!link->up)
		return 0;
	if (link->reading && !(filter != NULL && filter->held))
		events |= EV_READ;
	if (link->unwritable)
		return events;
	if (filter != NULL && filter->rest_len > 0)
		events |= EV_WRITE;
	if (link->output_pending && !link->paced &&
	    !(filter != NULL && filter->suspended))
		events |= EV_WRITE;
	return events;
}

int
link_arm(struct link *link, bool on)
{
	if (link->armed == on)
		return 0;
	if (!on) {
		link_disarm(link);
		return 0;
	}
	if (event_add(link->readable, NULL) < 0)
		return -1;
	link->armed = true;
	return 0;
}

/* Waits for the events of a descriptor with a filter. */
static void
wait_descriptor(struct link *link)
{
	short events = link_events(link);
	int r = link_arm(link, (events & EV_READ) != 0);

	if (events & EV_WRITE)
		r |= event_add(link->filter->writable, NULL);
	else
		event_del(link->filter->writable);
	if (r < 0)
		link_lose(link, LINK_LOST, strerror(errno));
}

void
link_wait(struct link *link)
{
	if (link->carried)
		link->ops->wait(link);
	else if (link->up)
		wait_descriptor(link);
}

void
link_set_transport(
    struct link *link, const struct link_ops *ops, void *transport)
{
	link->ops = ops;
	link->transport = transport;
	link->carried = ops != NULL;
}

void
link_release(struct link *link)
{
	if (keep_remove(&link->kept) && link->close_fd)
		shutdown(link->fd, SHUT_RDWR);
}

void
link_close_transport(struct link *link)
{
	if (link->carried)
		link->ops->closed(link);
	link_set_transport(link, NULL, NULL);
	if (link->close_fd && link->fd >= 0)
		close(link->fd);
	link->fd = -1;
	link->close_fd = false;
}

size_t
link_held(const struct link *link)
{
	size_t held = link->filtered ? link->filter->rest_len : 0;

	if (link->carried && link->ops->held != NULL)
		held += link->ops->held(link);
	return held;
}
