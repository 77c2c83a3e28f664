/*
 * adopt: keeps the descriptors of endpoints for the next process, and takes those that
 * the previous process kept.
 */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <event2/util.h>

#include "address.h"
#include "link.h"

void
endpoint_keep_name(
    const struct endpoint *ep, const char *part, char *buf, size_t size)
{
	keep_name(buf, size, ep->conf->ops->type, ep->conf->name,
	    ep->conf->wire, part);
}

void
link_queue_name(const struct link *link, char *buf, size_t size)
{
	const struct endpoint *ep = link->endpoint;
	char part[32];

	snprintf(part, sizeof(part), "%s queue",
	    link->name + strlen(ep->conf->name));
	endpoint_keep_name(ep, part, buf, size);
}

void
link_keep(struct link *link, int fd)
{
	const struct endpoint *ep = link->endpoint;
	char name[KEEP_NAME_MAX];

	endpoint_keep_name(
	    ep, link->name + strlen(ep->conf->name), name, sizeof(name));
	keep_add(&link->kept, fd, name);
}

int
endpoint_take(struct endpoint *ep)
{
	char name[KEEP_NAME_MAX];
	int fd;

	endpoint_keep_name(ep, "", name, sizeof(name));
	fd = left_take(name);
	if (fd >= 0 && evutil_make_socket_nonblocking(fd) < 0) {
		close(fd);
		keep_forget(name);
		fd = -1;
	}
	ep->link.adopted = fd >= 0;
	if (fd >= 0)
		keep_add(&ep->link.kept, fd, name);
	return fd;
}

/* Continues a kept connection as a link; closes it if that is not possible. */
static void
take_link(struct endpoint *ep, int fd, unsigned number)
{
	char address[ENDPOINT_ADDRESS_MAX], name[KEEP_NAME_MAX], part[16];
	struct sockaddr_storage ss;
	socklen_t len = sizeof(ss);
	struct link *link = NULL;

	snprintf(part, sizeof(part), "#%u", number);
	endpoint_keep_name(ep, part, name, sizeof(name));
	if (getpeername(fd, (struct sockaddr *)&ss, &len) == 0 &&
	    evutil_make_socket_nonblocking(fd) == 0) {
		address_format(
		    (struct sockaddr *)&ss, len, address, sizeof(address));
		link = endpoint_make_link(ep, fd, address, number, true);
	} else
		close(fd);
	if (link != NULL) {
		ep->next_link = MAX(ep->next_link, number);
		link_keep(link, fd);
	} else
		keep_forget(name);
}

void
endpoint_take_links(struct endpoint *ep)
{
	char name[KEEP_NAME_MAX], begin[ENDPOINT_NAME_MAX + 2];
	unsigned number;
	int fd;

	snprintf(begin, sizeof(begin), "%s#", ep->conf->name);
	endpoint_keep_name(ep, "", name, sizeof(name));
	while ((fd = left_take_number(
		    begin, name + strlen(ep->conf->name), &number)) >= 0)
		take_link(ep, fd, number);
}
