/*
 * limit_tls: a relay between a pseudo-terminal and a client of TLS, by OpenSSL.
 *
 * What cannot be written stops the reading.  The client is read ahead, so that a record
 * takes one system call.
 */
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "limit.h"

#define BUFFER 16384

struct way {
	uint8_t data[BUFFER];
	size_t from, to;
};

static SSL *ssl;
static int tty;
static struct way out, in; /* to the client, and to the line */
static bool blocked;	   /* the client accepts no more */

static SSL *
accept_client(int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_server_method());
	char exe[PATH_MAX - 16] = "", path[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", exe, sizeof(exe) - 1);
	char *slash = n > 0 ? strrchr(exe, '/') : NULL;
	int one = 1;

	if (slash != NULL)
		*slash = '\0';
	snprintf(path, sizeof(path), "%s/server.crt", exe);
	if (SSL_CTX_use_certificate_chain_file(context, path) != 1)
		errx(1, "%s", path);
	snprintf(path, sizeof(path), "%s/server.key", exe);
	if (SSL_CTX_use_PrivateKey_file(context, path, SSL_FILETYPE_PEM) != 1)
		errx(1, "%s", path);
	SSL_CTX_set_mode(context,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ssl = SSL_new(context);
	SSL_set_fd(ssl, fd);
	SSL_set_read_ahead(ssl, 1);
	if (SSL_accept(ssl) != 1)
		errx(1, "the handshake has failed");
	fcntl(fd, F_SETFL, O_NONBLOCK);
	return ssl;
}

/* Writes what there is for the client. */
static void
push_out(void)
{
	int n;

	while (out.from < out.to) {
		ERR_clear_error();
		n = SSL_write(
		    ssl, out.data + out.from, (int)(out.to - out.from));
		blocked = n <= 0;
		if (n > 0)
			out.from += (size_t)n;
		else if (SSL_get_error(ssl, n) == SSL_ERROR_WANT_WRITE)
			return;
		else
			exit(0);
	}
	out.from = out.to = 0;
}

/* Reads the line; it gives at most 4095 bytes at once. */
static void
from_line(void)
{
	ssize_t n;

	do {
		n = read(tty, out.data + out.to, BUFFER - out.to);
		out.to += n > 0 ? (size_t)n : 0;
	} while (n >= 4095 && out.to < BUFFER);
	if (n == 0 || (n == -1 && errno != EAGAIN))
		exit(0);
	push_out();
}

/* Moves what the client has sent to the line until either waits. */
static void
to_line(void)
{
	ssize_t n;

	for (;;) {
		if (in.from == in.to) {
			ERR_clear_error();
			n = SSL_read(ssl, in.data, BUFFER);
			if (n <= 0 &&
			    SSL_get_error(ssl, (int)n) != SSL_ERROR_WANT_READ)
				exit(0);
			if (n <= 0)
				return;
			in.from = 0;
			in.to = (size_t)n;
		}
		n = write(tty, in.data + in.from, in.to - in.from);
		if (n == -1 && errno == EAGAIN)
			return;
		if (n == -1)
			err(1, "write");
		in.from += (size_t)n;
	}
}

_Noreturn void
limit_tls(const char *dir, unsigned port)
{
	struct pollfd p[2];
	int fd;

	tty = limit_open_tty(dir, 'A', 0);
	if ((fd = accept(limit_listen(port), NULL, NULL)) == -1)
		err(1, "accept");
	ssl = accept_client(fd);
	for (;;) {
		bool held = in.from < in.to;

		p[0] = (struct pollfd){ tty,
			(short)((blocked ? 0 : POLLIN) | (held ? POLLOUT : 0)),
			0 };
		p[1] = (struct pollfd){ fd,
			(short)((held ? 0 : POLLIN) | (blocked ? POLLOUT : 0)),
			0 };
		if (poll(p, 2, -1) == -1)
			err(1, "poll");
		if (p[1].revents & POLLOUT)
			push_out();
		if (p[0].revents & (POLLIN | POLLHUP) && !blocked)
			from_line();
		if (p[0].revents & POLLOUT || p[1].revents & (POLLIN | POLLHUP))
			to_line();
	}
}
