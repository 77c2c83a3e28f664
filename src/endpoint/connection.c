/*
 * connection: the links of endpoints with several, such as the connections of a server.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "link.h"
#include "log.h"
#include "permission.h"

static struct link *
connection_new(struct endpoint *ep, const char *address, unsigned number)
{
	struct link *link = zalloc_lines(sizeof(*link));

	if (link == NULL)
		return NULL;
	link->endpoint = ep;
	link->number = number;
	snprintf(
	    link->name, sizeof(link->name), "%s#%u", ep->conf->name, number);
	snprintf(link->address, sizeof(link->address), "%s", address);
	return link;
}

static int
level(const struct link *link)
{
	return link->no_peer ? LOG_DEBUG : LOG_INFO;
}

/* Starts a connection.  Returns false if it was refused; the link is freed then. */
static bool
connection_start(struct link *link, int fd)
{
	struct endpoint *ep = link->endpoint;
	int r;

	if (link_start(link, fd) < 0) {
		free(link);
		return false;
	}
	link->up = true;
	log_to(level(link), ABOUT_CLIENT, link->name, "%s from %s",
	    link->adopted ? "still connected" : "connected", link->address);
	permission_join(link);
	if ((r = ep->owner->up(link)) < 0) {
		log_to(LOG_WARNING, ABOUT_CLIENT, link->name,
		    "disconnected (%s)", strerror(-r));
		permission_leave(link);
		link_stop(link);
		free(link);
		return false;
	}
	TAILQ_INSERT_TAIL(&ep->links, link, entry);
	ep->nlinks++;
	return true;
}

struct link *
endpoint_make_link(struct endpoint *ep, int fd, const char *address,
    unsigned number, bool adopted)
{
	struct link *link = connection_new(ep, address, number);

	if (link != NULL) {
		link->close_fd = true;
		link->adopted = adopted;
		if (connection_start(link, fd))
			return link;
	}
	close(fd);
	return NULL;
}

struct link *
endpoint_add_link(struct endpoint *ep, int fd, const char *address)
{
	return endpoint_make_link(ep, fd, address, ++ep->next_link, false);
}

struct link *
endpoint_add_carried(struct endpoint *ep, int fd, const struct link_ops *ops,
    void *transport, const char *address)
{
	struct link *link = connection_new(ep, address, ++ep->next_link);

	if (link != NULL) {
		link->close_fd = true;
		link_set_transport(link, ops, transport);
		if (connection_start(link, fd))
			return link;
	}
	close(fd);
	return NULL;
}

struct link *
endpoint_add_transport(struct endpoint *ep, const struct link_ops *ops,
    void *transport, const char *address, bool receive_only)
{
	struct link *link = connection_new(ep, address, ++ep->next_link);

	if (link == NULL)
		return NULL;
	link_set_transport(link, ops, transport);
	link->receive_only = link->no_peer = receive_only;
	return connection_start(link, -1) ? link : NULL;
}

void
connection_settle(struct link *link)
{
	struct endpoint *ep = link->endpoint;

	ep->owner->down(link, link->why);
	link_discard(link);
	link_release(link);
	link_stop(link);
	link_close_transport(link);
	TAILQ_REMOVE(&ep->links, link, entry);
	ep->nlinks--;
	ep->nended -= link->read_eof;
	log_to(level(link), ABOUT_CLIENT, link->name, "disconnected (%s)",
	    link->why);
	permission_leave(link);
	if (ep->conf->ops->hangup != NULL)
		ep->conf->ops->hangup(ep);
	free(link);
}
