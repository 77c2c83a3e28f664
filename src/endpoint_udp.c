/*
 * endpoint_udp: datagrams to and from one partner.
 *
 * One link on one connected socket.  A datagram that comes in is what one read
 * returns; frames that are sent together may share a datagram, so that the
 * receiver should cut them by the framing.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <event2/event.h>

#include "address.h"
#include "endpoint.h"

#define OFFSET(member) offsetof(struct endpoint_conf, member)

static const struct key udp_keys[] = {
	{ .name = "listen",
	    .type = KEY_STRING,
	    .offset = OFFSET(listen),
	    .min = 1,
	    .help = "HOST:PORT whose datagrams are received" },
	{ .name = "send_to",
	    .type = KEY_STRING,
	    .offset = OFFSET(send_to),
	    .min = 1,
	    .help = "HOST:PORT that frames are sent to" },
	{ .name = NULL }
};

static int
udp_check(struct endpoint_conf *conf, char *err, size_t size)
{
	struct address address;
	int r = 0;

	if (conf->send_to == NULL) {
		snprintf(err, size,
		    "'send_to = HOST:PORT' is missing: a udp"
		    " endpoint has one partner");
		return -EINVAL;
	}
	if (conf->listen != NULL)
		r = address_parse(conf->listen, &address, err, size);
	if (r == 0)
		r = address_parse(conf->send_to, &address, err, size);
	return r;
}

static int
udp_open(struct endpoint *ep)
{
	const struct endpoint_conf *conf = ep->conf;
	struct address to, from;
	int fd, r;

	snprintf(ep->address, sizeof(ep->address), "%s", conf->send_to);
	if ((r = address_parse(
		 conf->send_to, &to, ep->error, sizeof(ep->error))) < 0)
		return r;
	fd = socket(
	    to.ss.ss_family, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	if ((conf->listen == NULL ||
		(address_parse(
		     conf->listen, &from, ep->error, sizeof(ep->error)) == 0 &&
		    bind(fd, (struct sockaddr *)&from.ss, from.len) == 0)) &&
	    connect(fd, (struct sockaddr *)&to.ss, to.len) == 0)
		r = endpoint_up(ep, fd, true);
	else
		r = -errno;
	if (r < 0)
		close(fd);
	return r;
}

static void
udp_close(struct endpoint *ep)
{
	(void)ep;
}

const struct endpoint_ops endpoint_udp = {
	.type = "udp",
	.keys = udp_keys,
	.check = udp_check,
	.open = udp_open,
	.close = udp_close,
};
