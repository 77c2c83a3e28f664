/*
 * daemon_connection: a connection to a control port.
 *
 * The descriptor is non-blocking; every wait is a poll() that is ended by a signal, or
 * repeated a few times a second, as a signal may arrive immediately before it.
 */
#include <sys/socket.h>

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "address.h"
#include "daemon_connection.h"

#define PIECE (64 * 1024)
#define LOOK_MS 250
/* The first byte that a port with TLS sends to a client without. */
#define TLS_ALERT 0x15

volatile sig_atomic_t connection_stop;
struct connection_limits connection_limits = { .line = CONNECTION_LINE_MAX };

/* --- waiting --------------------------------------------------------------- */

static bool
is_over(void)
{
	return connection_limits.end_ns != 0 &&
	    now_ns() >= connection_limits.end_ns;
}

static int
wait_for(int fd, short events, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = events };
	int waited = 0, n;

	for (;;) {
		if (connection_stop != 0)
			return -EINTR;
		if (is_over())
			return -ETIMEDOUT;
		n = poll(&p, 1, LOOK_MS);
		if (n > 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		waited += n == 0 ? LOOK_MS : 0;
		if (timeout_ms >= 0 && waited >= timeout_ms)
			return -ETIMEDOUT;
	}
}

static int
fail_with(struct error *err, int r, const char *what)
{
	return error_fail(err, r, "%s: %s", what, strerror(-r));
}

static int
fail_to_connect(struct error *err, int r, const char *address, const char *why)
{
	return error_fail(err, r, "cannot connect to %s: %s", address, why);
}

/* --- connecting ------------------------------------------------------------ */

static int
connect_to(const struct sockaddr *sa, socklen_t len, int timeout_ms, int *ret)
{
	int fd = socket(
	    sa->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	socklen_t size = sizeof(int);
	int r = 0, e = 0;

	if (fd == -1)
		return -errno;
	if (connect(fd, sa, len) < 0) {
		r = -errno;
		if (r == -EINPROGRESS &&
		    (r = wait_for(fd, POLLOUT, timeout_ms)) == 0 &&
		    getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &size) == 0)
			r = -e;
	}
	if (r < 0) {
		close(fd);
		return r;
	}
	*ret = fd;
	return 0;
}

/* Whether it is an address of a socket; a wildcard address is that of this machine. */
static bool
numeric_address(const char *text, struct address *ret)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&ret->ss;
	struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&ret->ss;
	struct error err;

	if (address_parse(text, ret, &err) < 0)
		return false;
	if (ret->ss.ss_family == AF_INET && in->sin_addr.s_addr == INADDR_ANY)
		in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	if (ret->ss.ss_family == AF_INET6 &&
	    IN6_IS_ADDR_UNSPECIFIED(&in6->sin6_addr))
		in6->sin6_addr = in6addr_loopback;
	return true;
}

/* Splits HOST:PORT. */
static int
split(const char *text, char *host, size_t size, const char **port,
    struct error *err)
{
	const char *colon = strrchr(text, ':');
	uint64_t number;

	if (colon == NULL || colon == text || (size_t)(colon - text) >= size ||
	    parse_number(colon + 1, 1, 65535, &number) < 0)
		return error_fail(err, -EINVAL,
		    "'%s' is not an address; write HOST:PORT, such as"
		    " localhost:5010",
		    text);
	snprintf(host, size, "%.*s", (int)(colon - text), text);
	*port = colon + 1;
	return 0;
}

static int
connect_by_name(const char *text, int timeout_ms, int *ret, struct error *err)
{
	const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
	struct addrinfo *found, *ai;
	const char *port;
	char host[256];
	int r;

	if ((r = split(text, host, sizeof(host), &port, err)) < 0)
		return r;
	if ((r = getaddrinfo(host, port, &hints, &found)) != 0)
		return fail_to_connect(
		    err, -EHOSTUNREACH, text, gai_strerror(r));
	r = -EHOSTUNREACH;
	for (ai = found; ai != NULL && r != 0 && r != -EINTR; ai = ai->ai_next)
		r = connect_to(ai->ai_addr, ai->ai_addrlen, timeout_ms, ret);
	freeaddrinfo(found);
	return r < 0 ? fail_to_connect(err, r, text, strerror(-r)) : 0;
}

static int
connect_target(const char *text, int timeout_ms, int *ret, struct error *err)
{
	struct address a;
	int r;

	if (!numeric_address(text, &a))
		return connect_by_name(text, timeout_ms, ret, err);
	r = connect_to((const struct sockaddr *)&a.ss, a.len, timeout_ms, ret);
	return r < 0 ? fail_to_connect(err, r, text, strerror(-r)) : 0;
}

/* Names the options that set the keys of which the text speaks: 'tls_ca' is --ca. */
static void
name_options(struct error *err)
{
	static const char prefix[] = "'tls_";
	char text[sizeof(err->text)];
	const char *from = text, *key, *end;

	memcpy(text, err->text, sizeof(text));
	error_clear(err);
	while ((key = strstr(from, prefix)) != NULL) {
		error_append(err, "%.*s--", (int)(key - from), from);
		key += strlen(prefix);
		end = key + strcspn(key, "'");
		error_append(err, "%.*s", (int)(end - key), key);
		from = *end != '\0' ? end + 1 : end;
	}
	error_append(err, "%s", from);
}

static int
handshake(struct connection *c, const struct target *target, struct error *err)
{
	static const char no_tls[] = "what it sends is no TLS";
	char host[256];
	const char *port;
	short events;
	int r;

	if ((r = split(target->address, host, sizeof(host), &port, err)) < 0)
		return r;
	if ((r = tls_load(&target->tls, false, &c->context, err)) < 0) {
		name_options(err);
		return r;
	}
	/* The brackets of an IPv6 address do not belong to the name. */
	if (host[0] == '[' && host[strlen(host) - 1] == ']') {
		memmove(host, host + 1, strlen(host));
		host[strlen(host) - 1] = '\0';
	}
	if ((r = tls_library->session_new(c->context, c->fd, host, &c->tls)) <
	    0)
		return fail_with(err, r, target->address);
	while ((r = tls_library->handshake(c->tls)) == -EAGAIN) {
		events = c->tls->held > 0 ? POLLIN | POLLOUT : POLLIN;
		if ((r = wait_for(c->fd, events, c->timeout_ms)) < 0)
			break;
	}
	if (r == -EPROTO)
		return error_fail(err, r, "%s: %s%s", target->address,
		    c->tls->why,
		    strncmp(c->tls->why, no_tls, strlen(no_tls)) == 0
			? "; if it is a port without TLS, leave out --tls"
			: "");
	return r < 0 ? fail_with(err, r, target->address) : 0;
}

int
connection_open(const struct target *target, int timeout_ms,
    struct connection **ret, struct error *err)
{
	struct connection *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	c->fd = -1;
	c->timeout_ms = timeout_ms;
	r = connect_target(target->address, timeout_ms, &c->fd, err);
	if (r == 0 && target->tls.on)
		r = handshake(c, target, err);
	if (r < 0) {
		connection_close(c);
		return r;
	}
	*ret = c;
	return 0;
}

void
connection_close(struct connection *c)
{
	if (c == NULL)
		return;
	tls_session_free(c->tls);
	tls_context_free(c->context);
	if (c->fd >= 0)
		close(c->fd);
	free(c->in);
	free(c);
}

/* --- output ---------------------------------------------------------------- */

static ssize_t
write_some(struct connection *c, const char *data, size_t len)
{
	ssize_t n;

	if (c->tls != NULL)
		return tls_library->write(c->tls, data, len);
	n = send(c->fd, data, len, MSG_NOSIGNAL);
	return n < 0 ? -errno : n;
}

static int
write_all(struct connection *c, const char *data, size_t len)
{
	ssize_t n;
	int r;

	while (len > 0) {
		n = write_some(c, data, len);
		if (n > 0) {
			data += n;
			len -= (size_t)n;
		} else if (n < 0 && n != -EAGAIN && n != -EINTR) {
			return (int)n;
		} else if ((r = wait_for(c->fd, POLLOUT, c->timeout_ms)) < 0) {
			return r;
		}
	}
	while (c->tls != NULL && c->tls->held > 0) {
		if ((r = tls_library->flush(c->tls)) < 0 && r != -EAGAIN)
			return r;
		if (r < 0 && (r = wait_for(c->fd, POLLOUT, c->timeout_ms)) < 0)
			return r;
	}
	return 0;
}

int
connection_send(struct connection *c, const char *line, struct error *err)
{
	int r;

	if ((r = write_all(c, line, strlen(line))) < 0 ||
	    (r = write_all(c, "\n", 1)) < 0)
		return fail_with(err, r, "the connection was lost");
	return 0;
}

int
connection_finish(struct connection *c, struct error *err)
{
	int r;

	if (c->tls == NULL)
		r = shutdown(c->fd, SHUT_WR) < 0 ? -errno : 0;
	else
		while ((r = tls_library->finish(c->tls)) == -EAGAIN)
			if ((r = wait_for(c->fd, POLLOUT, c->timeout_ms)) < 0)
				break;
	/* The other side may have ended the session already. */
	return r < 0 && r != -ENOTCONN && r != -EPIPE
	    ? fail_with(err, r, "the connection was lost")
	    : 0;
}

/* --- input ----------------------------------------------------------------- */

char *
connection_line(struct connection *c)
{
	char *end, *line = c->in + c->start;

	if (c->start == c->end)
		return NULL;
	end = memchr(c->in + c->searched, '\n', c->end - c->searched);
	if (end == NULL) {
		c->searched = c->end;
		if (!c->ended)
			return NULL;
		end = c->in + c->end; /* there is room for this NUL */
		c->start = c->end;
	} else
		c->start = (size_t)(end - c->in) + 1;
	c->searched = c->start;
	*end = '\0';
	return line;
}

/* Makes room for another piece, and for a NUL. */
static int
make_room(struct connection *c)
{
	char *in;

	if (c->start > 0) {
		memmove(c->in, c->in + c->start, c->end - c->start);
		c->end -= c->start;
		c->searched -= c->start;
		c->start = 0;
	}
	if (c->size - c->end > PIECE)
		return 0;
	if (c->end > connection_limits.line)
		return -EMSGSIZE;
	if ((in = realloc(c->in, 2 * c->size + PIECE + 1)) == NULL)
		return -ENOMEM;
	c->in = in;
	c->size = 2 * c->size + PIECE + 1;
	return 0;
}

static ssize_t
read_some(struct connection *c)
{
	char *to = c->in + c->end;
	ssize_t n;

	if (c->tls != NULL)
		return tls_library->read(c->tls, to, PIECE);
	n = recv(c->fd, to, PIECE, 0);
	return n < 0 ? -errno : n;
}

int
connection_receive(struct connection *c, struct error *err)
{
	ssize_t n;
	int r;

	if (c->ended)
		return 0;
	if ((r = make_room(c)) < 0)
		return fail_with(err, r, "the reply is too long");
	n = read_some(c);
	if (n == -EAGAIN || n == -EINTR)
		return 0;
	if (n == -EPROTO && c->tls != NULL)
		return error_fail(
		    err, (int)n, "the connection was lost: %s", c->tls->why);
	if (n < 0)
		return fail_with(err, (int)n, "the connection was lost");
	if (!c->heard && c->tls == NULL && n > 0 && c->in[c->end] == TLS_ALERT)
		return error_fail(err, -EPROTO,
		    "this port is encrypted: use --tls --ca FILE");
	c->heard |= n > 0;
	c->ended = n == 0;
	c->end += (size_t)n;
	return 0;
}

bool
connection_pending(const struct connection *c)
{
	return c->tls != NULL && c->tls->readable;
}

int
connection_wait(struct connection *c, int output, struct error *err)
{
	struct pollfd p[2] = { { .fd = c->fd, .events = POLLIN },
		{ .fd = output } };

	if (!connection_pending(c) && poll(p, NELEM(p), -1) < 0 &&
	    errno != EINTR)
		return error_fail(err, -errno, "poll: %s", strerror(errno));
	if ((p[1].revents & POLLERR) != 0)
		return 1;
	return connection_receive(c, err);
}

static int
fail_reply(const struct connection *c, int r, struct error *err)
{
	char time[24];

	if (r != -ETIMEDOUT)
		return fail_with(err, r, "no reply");
	if (is_over())
		return error_fail(err, r, "the reply takes too long");
	return error_fail(err, r, "no reply within %s",
	    format_time(
		(uint64_t)c->timeout_ms * NSEC_PER_MSEC, time, sizeof(time)));
}

int
connection_next(struct connection *c, char **line, struct error *err)
{
	int r;

	while ((*line = connection_line(c)) == NULL) {
		if (c->ended)
			return 0;
		if (!connection_pending(c) &&
		    (r = wait_for(c->fd, POLLIN, c->timeout_ms)) < 0)
			return fail_reply(c, r, err);
		if ((r = connection_receive(c, err)) < 0)
			return r;
	}
	return 0;
}

/* --- replies --------------------------------------------------------------- */

int
reply_end(const char *line, struct error *err)
{
	if (strcmp(line, "OK") == 0)
		return 1;
	if (strncmp(line, "ERR ", 4) == 0)
		return error_fail(err, -EPROTO, "%s", line + 4);
	return 0;
}

static int
fail_ended(struct error *err)
{
	return error_fail(err, -ECONNRESET,
	    "the daemon has ended the connection before the end of the reply");
}

/* Calls line(), if not NULL, for each line of the body. */
static int
read_reply(struct connection *c, int (*take)(const char *, void *), void *arg,
    struct error *err)
{
	char *line;
	int r;

	for (;;) {
		if ((r = connection_next(c, &line, err)) < 0)
			return r;
		if (line == NULL)
			return fail_ended(err);
		if ((r = reply_end(line, err)) != 0)
			return r < 0 ? r : 0;
		if (take != NULL && (r = take(line, arg)) < 0)
			return error_fail(err, r,
			    "this is not the reply of a control port: %.*s",
			    (int)MIN(strcspn(line, "\r"), (size_t)80), line);
	}
}

static int
take_json(const char *line, void *arg)
{
	json_t **ret = arg, *value;

	if (*ret != NULL)
		return -EBADMSG;
	value = json_loads(line, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
	*ret = value;
	return value != NULL ? 0 : -EBADMSG;
}

int
connection_query(
    struct connection *c, const char *command, json_t **ret, struct error *err)
{
	char line[4200];
	int r;

	*ret = NULL;
	snprintf(line, sizeof(line), "json %s", command);
	if ((r = connection_send(c, line, err)) < 0)
		return r;
	if ((r = read_reply(c, take_json, ret, err)) == 0 && *ret == NULL)
		r = error_fail(
		    err, -EBADMSG, "the reply to '%s' is empty", line);
	if (r < 0) {
		json_decref(*ret);
		*ret = NULL;
	}
	return r;
}

int
connection_command(struct connection *c, const char *command, struct error *err)
{
	int r;

	if ((r = connection_send(c, command, err)) < 0)
		return r;
	return read_reply(c, NULL, NULL, err);
}
