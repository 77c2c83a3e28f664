/*
 * wire: the protocol in which the load generator speaks to a TCP port.
 *
 * OpenSSL writes to memory, so that a write never has to be repeated with the same data.
 */
#include <err.h>
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>

#include "wire.h"

#define DESCRIPTORS 65536
#define CHUNK 16384

struct wire {
	SSL *ssl;
	uint8_t rest[CHUNK + 1024]; /* encrypted */
	size_t from, to;
};

static struct wire *wires[DESCRIPTORS];

static struct wire *
of(int fd)
{
	return fd < DESCRIPTORS ? wires[fd] : NULL;
}

/* False: some of it is left. */
static bool
flush(struct wire *w, int fd)
{
	ssize_t n;

	while (w->from < w->to) {
		n = write(fd, w->rest + w->from, w->to - w->from);
		if (n == -1 && errno == EAGAIN)
			return false;
		if (n == -1)
			err(1, "write");
		w->from += (size_t)n;
	}
	w->from = w->to = 0;
	return true;
}

void
wire_flush(int fd)
{
	struct wire *w = of(fd);

	if (w != NULL)
		flush(w, fd);
}

/* Takes from OpenSSL what it has encrypted. */
static void
collect(struct wire *w)
{
	int n = BIO_read(SSL_get_wbio(w->ssl), w->rest, (int)sizeof(w->rest));

	w->to = n > 0 ? (size_t)n : 0;
}

static void
shake_hands(struct wire *w, int fd)
{
	SSL_CTX *context = SSL_CTX_new(TLS_client_method());
	struct pollfd p = { fd, POLLIN, 0 };
	int r;

	if (context == NULL || (w->ssl = SSL_new(context)) == NULL)
		errx(1, "no TLS");
	SSL_CTX_free(context);
	SSL_set_read_ahead(w->ssl, 1);
	SSL_set_bio(
	    w->ssl, BIO_new_socket(fd, BIO_NOCLOSE), BIO_new(BIO_s_mem()));
	do {
		r = SSL_connect(w->ssl);
		collect(w);
		if (!flush(w, fd) || (r != 1 && poll(&p, 1, 4000) <= 0))
			errx(1, "the TLS handshake takes too long");
		if (r != 1 && SSL_get_error(w->ssl, r) != SSL_ERROR_WANT_READ)
			errx(1, "the TLS handshake has failed");
	} while (r != 1);
}

void
wire_start(int fd, enum wire_protocol protocol)
{
	/* WILL and DO BINARY, SUPPRESS-GO-AHEAD and COM-PORT, DO ECHO. */
	static const uint8_t agreed[] = { 255, 251, 0, 255, 253, 0, 255, 251, 3,
		255, 253, 3, 255, 251, 44, 255, 253, 1 };
	struct wire *w;

	if (protocol == WIRE_TELNET && write(fd, agreed, sizeof(agreed)) == -1)
		err(1, "write");
	if (protocol != WIRE_TLS)
		return;
	if (fd >= DESCRIPTORS || (w = calloc(1, sizeof(*w))) == NULL)
		errx(1, "too many connections");
	shake_hands(w, fd);
	wires[fd] = w;
}

static ssize_t
again(void)
{
	errno = EAGAIN;
	return -1;
}

static ssize_t
tls_read(struct wire *w, void *buf, size_t size)
{
	size_t got = 0;
	int n;

	/* What OpenSSL has read ahead is not reported by poll(). */
	do {
		ERR_clear_error();
		n = SSL_read(w->ssl, (char *)buf + got, (int)(size - got));
		got += n > 0 ? (size_t)n : 0;
	} while (n > 0 && got < size && SSL_has_pending(w->ssl));
	if (got > 0)
		return (ssize_t)got;
	return SSL_get_error(w->ssl, n) == SSL_ERROR_WANT_READ ? again() : 0;
}

ssize_t
wire_read(int fd, void *buf, size_t size)
{
	struct wire *w = of(fd);

	return w == NULL ? read(fd, buf, size) : tls_read(w, buf, size);
}

ssize_t
wire_write(int fd, const void *data, size_t len)
{
	struct wire *w = of(fd);
	size_t done = 0, n;

	if (w == NULL)
		return write(fd, data, len);
	while (done < len && flush(w, fd)) {
		n = len - done < CHUNK ? len - done : CHUNK;
		if (SSL_write(w->ssl, (const char *)data + done, (int)n) !=
		    (int)n)
			errx(1, "TLS has failed");
		collect(w);
		done += n;
	}
	flush(w, fd);
	return done > 0 ? (ssize_t)done : again();
}
