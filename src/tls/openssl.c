/*
 * openssl: TLS by OpenSSL: sessions, and the shared object behind net/tls.h.
 *
 * A session reads and writes its socket through a BIO of its own.  For OpenSSL a write
 * never blocks: what the kernel does not accept is held, and write() encrypts nothing
 * more until it is sent.  So OpenSSL never has to be called again with the same data,
 * and at most one record is held, besides answers that the protocol requires.  Reading
 * never waits for output.
 *
 * What is held would be lost with the session, although it counts as written.  Therefore
 * data is encrypted only while poll() reports room, which the kernel does when it has
 * room for a third of its buffer: the record is then accepted as a whole, as a rule.
 *
 * Sessions are not resumed: a new connection is verified by the certificates that are
 * valid then.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "openssl_parts.h"

/* The names in a certificate that count. */
#define NAMES_MAX 100

/* --- from beginning to end -------------------------------------------------- */

static void
session_free(struct tls_session *session)
{
	struct session *s = (struct session *)session;

	openssl_current = NULL;
	SSL_free(s->ssl);
	for (size_t i = 0; i < s->common.ndns; i++)
		free(s->common.dns_names[i]);
	free(s->common.dns_names);
	free(s->common.common_name);
	free(s->held);
	free(s);
}

static bool
expect_host(SSL *ssl, const char *host)
{
	if (!openssl_expect(SSL_get0_param(ssl), host))
		return false;
	return openssl_is_address(host) ||
	    SSL_set_tlsext_host_name(ssl, host) == 1;
}

static int
session_new(const struct tls_context *context, int fd, const char *host,
    struct tls_session **ret)
{
	const struct context *c = (const struct context *)context;
	struct session *s = calloc(1, sizeof(*s));
	BIO *bio;

	if (s == NULL)
		return -ENOMEM;
	openssl_current = s;
	s->common.fd = fd;
	s->ssl = SSL_new(c->ssl);
	bio = s->ssl != NULL ? openssl_bio(s) : NULL;
	if (bio != NULL) {
		SSL_set_bio(s->ssl, bio, bio);
		if (context->server)
			SSL_set_accept_state(s->ssl);
		else
			SSL_set_connect_state(s->ssl);
	}
	if (bio == NULL || (host != NULL && !expect_host(s->ssl, host))) {
		session_free(&s->common);
		return -ENOMEM;
	}
	openssl_current = NULL;
	*ret = &s->common;
	return 0;
}

/*
 * Copies a name as UTF-8; NULL for one that contains a NUL, which would be taken for
 * another.  -ENOMEM: it is not known.
 */
static int
copy_name(const ASN1_STRING *name, char **ret)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, name), r = 0;

	*ret = NULL;
	if (len > 0 && memchr(text, '\0', (size_t)len) == NULL &&
	    (*ret = strndup((const char *)text, (size_t)len)) == NULL)
		r = -ENOMEM;
	OPENSSL_free(text);
	return r;
}

static int
set_dns_names(struct tls_session *session, X509 *cert)
{
	GENERAL_NAMES *all =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int count = MIN(sk_GENERAL_NAME_num(all), NAMES_MAX), r = 0;
	char *copy;

	if (count > 0)
		session->dns_names =
		    calloc((size_t)count, sizeof(*session->dns_names));
	if (count > 0 && session->dns_names == NULL)
		r = -ENOMEM;
	for (int i = 0; r == 0 && i < count; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		copy = NULL;
		if (name->type == GEN_DNS)
			r = copy_name(name->d.dNSName, &copy);
		if (copy != NULL)
			session->dns_names[session->ndns++] = copy;
	}
	GENERAL_NAMES_free(all);
	return r;
}

static int
set_common_name(struct tls_session *session, const X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (at < 0)
		return 0;
	return copy_name(
	    X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)),
	    &session->common_name);
}

/* Without all of its names a certificate could be given another role. */
static int
set_names(struct session *s)
{
	X509 *cert = SSL_get_peer_certificate(s->ssl);
	int r;

	if (cert == NULL)
		return 0;
	if ((r = set_dns_names(&s->common, cert)) == 0)
		r = set_common_name(&s->common, cert);
	X509_free(cert);
	return r;
}

/* --- input and output ------------------------------------------------------- */

/* The socket cannot be written; what was received before can still be read. */
static int
write_failed(struct session *s)
{
	int e = s->error;

	s->error = 0;
	s->broken = true;
	return -e;
}

/* Whether the kernel accepts what is sent now. */
static bool
is_writable(const struct session *s)
{
	struct pollfd p = { .fd = s->common.fd, .events = POLLOUT };

	return poll(&p, 1, 0) == 1;
}

static int
session_flush(struct tls_session *session)
{
	struct session *s = (struct session *)session;
	ssize_t n;

	if (session->held == 0)
		return 0;
	if ((n = openssl_send(s, s->held, session->held)) < 0)
		return write_failed(s);
	session->held -= (size_t)n;
	if (session->held > 0) {
		memmove(s->held, s->held + n, session->held);
		return -EAGAIN;
	}
	free(s->held);
	s->held = NULL;
	return 0;
}

static int
session_handshake(struct tls_session *session)
{
	struct session *s = (struct session *)session;
	int r;

	ERR_clear_error();
	openssl_current = s;
	r = SSL_do_handshake(s->ssl);
	r = r == 1 ? 0 : openssl_result(s, r);
	if (r == 0 && session->version == NULL) {
		session->version = SSL_get_version(s->ssl);
		r = set_names(s);
		/* Otherwise each record would be received in two parts.  Not before:
		 * a bufferevent does not look for what was received already. */
		SSL_set_read_ahead(s->ssl, 1);
		session->readable = SSL_has_pending(s->ssl) == 1;
	}
	openssl_current = NULL;
	if (r == 0)
		r = session_flush(session);
	else
		session_flush(session); /* the alert */
	return r;
}

static ssize_t
session_read(struct tls_session *session, void *buf, size_t size)
{
	struct session *s = (struct session *)session;
	size_t n = 0;
	int r = 1;

	if (s->failed)
		return s->result;
	ERR_clear_error();
	openssl_current = s;
	while (n < size && r > 0) {
		r = SSL_read(s->ssl, (char *)buf + n,
		    (int)MIN(size - n, (size_t)INT_MAX));
		if (r > 0)
			n += (size_t)r;
		/* Not received in vain after the last record. */
		if (r > 0 && SSL_has_pending(s->ssl) == 0)
			break;
	}
	openssl_current = NULL;
	session->readable = n == size && SSL_has_pending(s->ssl) == 1;
	if (r > 0)
		return (ssize_t)n;
	r = openssl_result(s, r);
	if (n > 0 && r != -EAGAIN)
		session->readable = true; /* the end is read next time */
	return n > 0 ? (ssize_t)n : r;
}

static ssize_t
session_write(struct tls_session *session, const void *data, size_t len)
{
	struct session *s = (struct session *)session;
	size_t n = 0;
	int r = 1;

	if (s->failed || s->broken || s->finished)
		return s->failed ? s->result : -EPIPE;
	if (!s->handed && (r = session_flush(session)) < 0)
		return r;
	if (!is_writable(s))
		return -EAGAIN;
	ERR_clear_error();
	openssl_current = s;
	do {
		r = SSL_write(s->ssl, (const char *)data + n,
		    (int)MIN(len - n, (size_t)INT_MAX));
		if (r > 0)
			n += (size_t)r;
	} while (r > 0 && n < len && session->held == 0 && is_writable(s));
	openssl_current = NULL;
	if (s->error != 0)
		return write_failed(s);
	if (n > 0)
		return (ssize_t)n;
	return (r = openssl_result(s, r)) == 0 ? -EPIPE : r;
}

static int
session_finish(struct tls_session *session)
{
	struct session *s = (struct session *)session;
	int r = session_flush(session);

	if (r < 0 || s->finished || s->failed || s->broken ||
	    session->version == NULL)
		return r;
	ERR_clear_error();
	openssl_current = s;
	SSL_shutdown(s->ssl);
	openssl_current = NULL;
	s->finished = true;
	return session_flush(session);
}

static struct bufferevent *
session_bufferevent(struct tls_session *session, struct event_base *base)
{
	struct session *s = (struct session *)session;
	struct bufferevent *bev;

	/* One reference is the bufferevent's. */
	if (SSL_up_ref(s->ssl) != 1)
		return NULL;
	SSL_set_read_ahead(s->ssl, 0);
	bev = bufferevent_openssl_socket_new(base, session->fd, s->ssl,
	    BUFFEREVENT_SSL_OPEN, BEV_OPT_CLOSE_ON_FREE);
	if (bev == NULL)
		SSL_free(s->ssl);
	s->handed = bev != NULL;
	return bev;
}

/* --- the object ----------------------------------------------------------- */

extern __attribute__((visibility("default")))
const struct tls_library ttybridge_tls;
const struct tls_library ttybridge_tls = {
	.version = VERSION,
	.context_new = openssl_context_new,
	.context_free = openssl_context_free,
	.session_new = session_new,
	.session_free = session_free,
	.handshake = session_handshake,
	.read = session_read,
	.write = session_write,
	.flush = session_flush,
	.finish = session_finish,
	.bufferevent = session_bufferevent,
	.native = openssl_native,
	.rejected = openssl_rejected,
};

static __attribute__((constructor)) void
start(void)
{
	openssl_memory_start();
}
