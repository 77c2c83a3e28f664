/*
 * openssl_socket: the socket of a session, as a BIO of OpenSSL.
 *
 * For OpenSSL a write never blocks: what the kernel does not accept is held.
 */
#include <sys/socket.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/bio.h>

#include "openssl_parts.h"

/* More is held for no peer that receives nothing. */
#define HELD_MAX (64 * 1024)

ssize_t
openssl_send(struct session *s, const void *data, size_t len)
{
	ssize_t n;

	do
		n = send(s->common.fd, data, len, MSG_NOSIGNAL | MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n >= 0)
		return n;
	if (errno == EAGAIN || errno == ENOBUFS)
		return 0;
	s->error = errno;
	return -1;
}

static bool
hold(struct session *s, const void *data, size_t len)
{
	size_t held = s->common.held;
	uint8_t *more;

	if (len == 0)
		return true;
	more = held + len > HELD_MAX ? NULL : realloc(s->held, held + len);
	if (more == NULL) {
		s->error = ENOBUFS;
		return false;
	}
	memcpy(more + held, data, len);
	s->held = more;
	s->common.held = held + len;
	return true;
}

static int
socket_write(BIO *bio, const char *data, int len)
{
	struct session *s = BIO_get_data(bio);
	ssize_t n = 0;

	BIO_clear_retry_flags(bio);
	if (s->common.held == 0 && (n = openssl_send(s, data, (size_t)len)) < 0)
		return -1;
	return hold(s, data + n, (size_t)(len - n)) ? len : -1;
}

static int
socket_read(BIO *bio, char *buf, int size)
{
	struct session *s = BIO_get_data(bio);
	ssize_t n;

	BIO_clear_retry_flags(bio);
	do
		n = recv(s->common.fd, buf, (size_t)size, MSG_DONTWAIT);
	while (n < 0 && errno == EINTR);
	if (n > 0 && !s->heard) {
		s->heard = true;
		s->first = (uint8_t)buf[0];
	}
	if (n > 0)
		return (int)n;
	if (n == 0)
		s->ended = true;
	else if (errno == EAGAIN)
		BIO_set_retry_read(bio);
	else
		s->error = errno;
	return (int)n;
}

static long
socket_control(BIO *bio, int command, long number, void *p)
{
	const struct session *s = BIO_get_data(bio);

	(void)number, (void)p;
	switch (command) {
	case BIO_CTRL_FLUSH:
		return 1;
	case BIO_CTRL_EOF:
		return s->ended;
	case BIO_C_GET_FD:
		return -1;
	default:
		return 0;
	}
}

BIO *
openssl_bio(struct session *s)
{
	static BIO_METHOD *method;
	BIO *bio;

	if (method == NULL) {
		method =
		    BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK,
			"ttybridge socket");
		BIO_meth_set_write(method, socket_write);
		BIO_meth_set_read(method, socket_read);
		BIO_meth_set_ctrl(method, socket_control);
	}
	if ((bio = BIO_new(method)) == NULL)
		return NULL;
	BIO_set_data(bio, s);
	BIO_set_init(bio, 1);
	return bio;
}
