/*
 * taken: how much of what was written to a link the receiver has read.
 *
 * What the kernel accepts is a poor indication.  A socket becomes writable only after a
 * large part of its send buffer has drained, which takes minutes with a slow reader;
 * the driver of a serial port may wait until its buffer is nearly empty.
 *
 * SIOCOUTQ (TIOCOUTQ of a tty is the same number) returns how much has not left the
 * kernel, but it also changes in large steps.  A TCP receiver whose window is closed
 * opens it again when the memory of whole segments is free, and segments are merged
 * into pieces as large as its buffer: with the default buffer of 128K, a program that
 * reads 10 KB/s acknowledges nothing for 13 s.  A Unix socket frees memory a message at
 * a time.  Smaller send buffers, TCP_NOTSENT_LOWAT and TCP_MAXSEG do not help, because
 * the progress is hidden by the receiver's buffer.
 *
 * For a receiver on the same machine, sock_diag(7) returns the exact number of unread
 * bytes in its socket.  Where that is not available (the other side is on another
 * machine, or the service may not use netlink), a receiver is allowed the time in which
 * it would read what its buffer may hide.
 */
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stddef.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <linux/sockios.h>
#include <linux/unix_diag.h>

#include "taken.h"

/* The number of bytes that a receiver's buffer may hide while it is being read. */
#define HIDDEN_TCP (150 * 1000) /* a closed window: 15 s */
#define HIDDEN_UNIX (40 * 1000) /* the largest message in it: 4 s */
#define HIDDEN_PTY (16 * 1000)	/* half of what it buffers: 1.6 s */
#define HIDDEN_SERIAL 4096 /* the buffer of a driver, at the line's speed */
#define BITS_OF_BYTE 12	   /* at most: start, 8 data, parity, 2 stop bits */

/* --- sock_diag ----------------------------------------------------------- */

struct reply {
	struct nlmsghdr head;
	uint8_t data[1024];
};

/* Sends one request and receives the reply, which is available when send() returns.
 * -errno. */
static int
diag_ask(const void *question, size_t len, struct reply *ret)
{
	struct {
		struct nlmsghdr head;
		uint8_t data[128];
	} request = { .head = { .nlmsg_len = (uint32_t)NLMSG_LENGTH(len),
			  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
			  .nlmsg_flags = NLM_F_REQUEST } };
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
	ssize_t n = -1;

	if (fd < 0)
		return -errno;
	memcpy(request.data, question, len);
	if (send(fd, &request, request.head.nlmsg_len, 0) >= 0)
		n = recv(fd, ret, sizeof(*ret), MSG_DONTWAIT);
	close(fd);
	if (n < (ssize_t)sizeof(ret->head) || ret->head.nlmsg_len > (size_t)n ||
	    ret->head.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return -ENOENT;
	return 0;
}

/* Converts an address and a port for sock_diag; false if it is not IPv4 or IPv6. */
static bool
diag_address(const struct sockaddr_storage *ss, __be32 *address, __be16 *port,
    uint8_t *ret_family)
{
	const struct sockaddr_in *in = (const void *)ss;
	const struct sockaddr_in6 *in6 = (const void *)ss;

	if (ss->ss_family == AF_INET) {
		memcpy(address, &in->sin_addr, sizeof(in->sin_addr));
		*port = in->sin_port;
	} else if (ss->ss_family == AF_INET6 &&
	    IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
		memcpy(address, &in6->sin6_addr.s6_addr[12], sizeof(*address));
		*port = in6->sin6_port;
	} else if (ss->ss_family == AF_INET6) {
		memcpy(address, &in6->sin6_addr, sizeof(in6->sin6_addr));
		*port = in6->sin6_port;
	} else
		return false;
	*ret_family =
	    ss->ss_family == AF_INET || IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)
	    ? AF_INET
	    : AF_INET6;
	return true;
}

/* The number of unread bytes in the socket at the other end of a TCP connection.
 * -errno. */
static int
tcp_unread(int fd, uint32_t *ret)
{
	struct inet_diag_req_v2 r = { .sdiag_protocol = IPPROTO_TCP,
		.idiag_states = UINT32_MAX,
		.id.idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } };
	struct sockaddr_storage here, there;
	socklen_t m = sizeof(here), n = sizeof(there);
	struct inet_diag_msg answer;
	struct reply reply;
	int e;

	if (getsockname(fd, (struct sockaddr *)&here, &m) < 0 ||
	    getpeername(fd, (struct sockaddr *)&there, &n) < 0)
		return -errno;
	/* The source address of the other socket is our peer address. */
	if (!diag_address(
		&there, r.id.idiag_src, &r.id.idiag_sport, &r.sdiag_family) ||
	    !diag_address(
		&here, r.id.idiag_dst, &r.id.idiag_dport, &r.sdiag_family))
		return -EAFNOSUPPORT;
	if ((e = diag_ask(&r, sizeof(r), &reply)) < 0)
		return e;
	if (reply.head.nlmsg_len < NLMSG_LENGTH(sizeof(answer)))
		return -EPROTO;
	memcpy(&answer, reply.data, sizeof(answer));
	*ret = answer.idiag_rqueue;
	return 0;
}

/* Looks up a Unix socket by its inode and copies the attribute of that type.  -errno. */
static int
unix_ask(
    uint32_t inode, uint32_t show, unsigned short type, void *ret, size_t size)
{
	const struct unix_diag_req r = { .sdiag_family = AF_UNIX,
		.udiag_states = UINT32_MAX,
		.udiag_ino = inode,
		.udiag_show = show,
		.udiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } };
	struct reply reply;
	size_t at = sizeof(struct unix_diag_msg), end;
	struct rtattr attribute;
	int e;

	if ((e = diag_ask(&r, sizeof(r), &reply)) < 0)
		return e;
	end = MIN(reply.head.nlmsg_len - NLMSG_HDRLEN, sizeof(reply.data));
	while (at + sizeof(attribute) <= end) {
		memcpy(&attribute, reply.data + at, sizeof(attribute));
		if (attribute.rta_len < sizeof(attribute) ||
		    at + attribute.rta_len > end)
			break;
		if (attribute.rta_type == type &&
		    attribute.rta_len >= RTA_LENGTH(size)) {
			memcpy(ret, reply.data + at + RTA_LENGTH(0), size);
			return 0;
		}
		at += RTA_ALIGN(attribute.rta_len);
	}
	return -ENOENT;
}

/* The same for a Unix socket. */
static int
unix_unread(int fd, uint32_t *ret)
{
	struct unix_diag_rqlen length;
	struct stat st;
	uint32_t peer;
	int e;

	if (fstat(fd, &st) < 0)
		return -errno;
	e = unix_ask((uint32_t)st.st_ino, UDIAG_SHOW_PEER, UNIX_DIAG_PEER,
	    &peer, sizeof(peer));
	if (e == 0)
		e = unix_ask(peer, UDIAG_SHOW_RQLEN, UNIX_DIAG_RQLEN, &length,
		    sizeof(length));
	if (e == 0)
		*ret = length.udiag_rqueue;
	return e;
}

/* --- links --------------------------------------------------------------- */

static int
socket_family(int fd)
{
	socklen_t len = sizeof(int);
	int family;

	return getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &family, &len) < 0
	    ? AF_UNSPEC
	    : family;
}

/*
 * How long a receiver that cannot be inspected may show no progress.  A TCP connection
 * cannot hide more than was ever taken from it.
 */
static uint64_t
hidden_time(const struct link *link, int family, uint64_t taken)
{
	const struct endpoint_conf *conf = link->endpoint->conf;
	uint64_t baud = conf->framing.baud, bytes = 0, speed = TAKEN_SLOWEST;

	if (family == AF_INET || family == AF_INET6)
		bytes = MIN(taken, (uint64_t)HIDDEN_TCP);
	else if (family == AF_UNIX)
		bytes = HIDDEN_UNIX;
	else if (conf->ops->terminal && baud == 0)
		bytes = HIDDEN_PTY;
	else if (baud != 0) {
		bytes = HIDDEN_SERIAL * BITS_OF_BYTE;
		speed = baud;
	}
	return bytes * NSEC_PER_SEC / speed;
}

void
link_taken(const struct link *link, struct taken *ret)
{
	int unsent = 0, family = AF_UNSPEC;
	uint32_t unread = 0;
	bool seen = false;

	if (link->socket)
		family = socket_family(link->fd);
	if (ioctl(link->fd, SIOCOUTQ, &unsent) < 0 || unsent < 0)
		unsent = 0;
	if (family == AF_UNIX) {
		seen = unix_unread(link->fd, &unread) == 0;
		/* For a Unix socket, SIOCOUTQ covers the same unread data. */
		if (seen)
			unsent = 0;
	} else if (family != AF_UNSPEC)
		seen = tcp_unread(link->fd, &unread) == 0;
	ret->bytes = link->tx_bytes - link_pending(link) - link_held(link) -
	    (uint64_t)unsent - unread;
	ret->delay_ns = seen ? 0 : hidden_time(link, family, ret->bytes);
}
