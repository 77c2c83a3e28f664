/*
 * openssl: TLS by OpenSSL: the shared object behind net/tls.h.
 *
 * A session reads and writes its socket through a BIO of its own.  For OpenSSL a write
 * never blocks: what the kernel does not accept is held, and write() encrypts nothing
 * more until it is sent.  So OpenSSL never has to be called again with the same data,
 * and at most one record is held, besides answers that the protocol requires
 * (HELD_MAX).  Reading never waits for output.
 *
 * What is held would be lost with the session, although it counts as written.  Therefore
 * data is encrypted only while poll() reports room, which the kernel does when it has
 * room for a third of its buffer: the record is then accepted as a whole, as a rule.
 *
 * OpenSSL's allocations are counted for the session in whose call they are made.
 *
 * Sessions are not resumed: a new connection is verified by the certificates that are
 * valid then.
 */
#include <sys/socket.h>

#include <arpa/inet.h>
#include <errno.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <event2/bufferevent_ssl.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "tls.h"

/* More is held for no peer that receives nothing. */
#define HELD_MAX (64 * 1024)
/* The certificates that a peer may send, in bytes, and their names. */
#define CHAIN_MAX (32 * 1024)
#define NAMES_MAX 100

struct context {
	struct tls_context common; /* must come first */
	SSL_CTX *ssl;
};

struct session {
	struct tls_session common; /* must come first */
	SSL *ssl;
	uint8_t *held; /* common.held bytes; NULL when there are none */
	int error;     /* errno of the socket, 0: none */
	int result;    /* of the call that has failed */
	bool ended;    /* the socket has no more input */
	bool broken;   /* nothing more can be sent; it may still be read */
	bool failed;   /* an error after which nothing more can be done */
	bool finished; /* close_notify was sent */
	bool handed;   /* to a bufferevent */
};

static BIO_METHOD *method;

/* --- memory --------------------------------------------------------------- */

/* The session whose call is in progress.  The model avoids a call for each access. */
static __thread
    __attribute__((tls_model("initial-exec"))) struct session *current;

static void
count(void *p, bool freed)
{
	size_t size = malloc_usable_size(p);

	if (current == NULL)
		return;
	if (!freed)
		current->common.memory += size;
	else
		current->common.memory -= MIN(size, current->common.memory);
}

static void *
get_memory(size_t size, const char *file, int line)
{
	void *p = malloc(size);

	(void)file, (void)line;
	count(p, false);
	return p;
}

static void *
resize_memory(void *old, size_t size, const char *file, int line)
{
	void *p;

	(void)file, (void)line;
	count(old, true);
	p = realloc(old, size);
	count(p != NULL ? p : old, false);
	return p;
}

static void
free_memory(void *p, const char *file, int line)
{
	(void)file, (void)line;
	count(p, true);
	free(p);
}

/* --- errors --------------------------------------------------------------- */

static int fail(struct error *err, int r, const char *fmt, ...) PRINTF(3, 4);

/* The object cannot call functions of the program. */
static int
fail(struct error *err, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return r;
}

/* The first reason that OpenSSL has recorded, which is the cause of the others. */
static const char *
openssl_reason(void)
{
	unsigned long e = ERR_peek_error();
	const char *text = NULL;

	if (ERR_SYSTEM_ERROR(e))
		return strerror(ERR_GET_REASON(e));
	if (e != 0)
		text = ERR_reason_error_string(e);
	return text != NULL ? text : "unknown error";
}

/* What the errors that users meet most often mean. */
static const struct {
	int reason;
	const char *text;
} meanings[] = {
	{ SSL_R_WRONG_VERSION_NUMBER, "what it sends is no TLS" },
	{ SSL_R_HTTP_REQUEST, "what it sends is no TLS, but HTTP" },
	{ SSL_R_HTTPS_PROXY_REQUEST, "what it sends is no TLS, but HTTP" },
	{ SSL_R_PACKET_LENGTH_TOO_LONG, "what it sends is no TLS" },
	{ SSL_R_BAD_RECORD_TYPE, "what it sends is no TLS" },
	{ SSL_R_UNSUPPORTED_PROTOCOL, "it offers no version from TLS 1.2 on" },
	{ SSL_R_PEER_DID_NOT_RETURN_A_CERTIFICATE,
	    "it shows no certificate, which tls_ca requires" },
	{ SSL_R_TLSV13_ALERT_CERTIFICATE_REQUIRED,
	    "it requires a certificate (tls_cert)" },
	{ SSL_R_TLSV1_ALERT_UNKNOWN_CA,
	    "it does not know the CA of the certificate" },
	{ SSL_R_SSLV3_ALERT_BAD_CERTIFICATE,
	    "it does not accept the certificate" },
	{ SSL_R_SSLV3_ALERT_CERTIFICATE_EXPIRED,
	    "to it the certificate has expired" },
};

static void
set_reason(struct session *s)
{
	unsigned long e = ERR_peek_error();
	char *why = s->common.why;
	size_t size = sizeof(s->common.why);
	long verified = SSL_get_verify_result(s->ssl);

	if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
	    ERR_GET_REASON(e) == SSL_R_CERTIFICATE_VERIFY_FAILED) {
		snprintf(why, size, "its certificate is not accepted: %s",
		    X509_verify_cert_error_string(verified));
		return;
	}
	for (size_t i = 0; i < NELEM(meanings); i++)
		if (ERR_GET_LIB(e) == ERR_LIB_SSL &&
		    ERR_GET_REASON(e) == meanings[i].reason) {
			snprintf(why, size, "%s (%s)", meanings[i].text,
			    openssl_reason());
			return;
		}
	snprintf(why, size, "%s", openssl_reason());
}

/* The socket cannot be written; what was received before can still be read. */
static int
write_failed(struct session *s)
{
	int e = s->error;

	s->error = 0;
	s->broken = true;
	return -e;
}

/* The result of a call that has returned r <= 0. */
static int
call_failed(struct session *s, int r)
{
	switch (SSL_get_error(s->ssl, r)) {
	case SSL_ERROR_WANT_READ:
	case SSL_ERROR_WANT_WRITE:
		return -EAGAIN;
	case SSL_ERROR_ZERO_RETURN:
		return 0;
	default:
		break;
	}
	s->failed = true;
	s->result = s->error != 0 ? -s->error : -EPROTO;
	if (s->error != 0)
		return s->result;
	if (s->ended)
		snprintf(s->common.why, sizeof(s->common.why),
		    s->common.version != NULL
			? "closed without close_notify: what was sent last may"
			  " be missing"
			: "it has closed the connection");
	else
		set_reason(s);
	return s->result;
}

/* --- the socket ----------------------------------------------------------- */

/* Returns the number of bytes that the kernel has accepted; -1: it failed. */
static ssize_t
send_some(struct session *s, const void *data, size_t len)
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
	if (s->common.held == 0 && (n = send_some(s, data, (size_t)len)) < 0)
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
	if ((n = send_some(s, s->held, session->held)) < 0)
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

/* --- contexts ------------------------------------------------------------- */

/* An encrypted key cannot be used: nobody can be asked for its passphrase. */
static int
no_passphrase(char *buf, int size, int writing, void *arg)
{
	bool *asked = arg;

	(void)buf, (void)size, (void)writing;
	*asked = true;
	return 0;
}

static time_t
to_time(const ASN1_TIME *t)
{
	struct tm tm;

	return t != NULL && ASN1_TIME_to_tm(t, &tm) == 1 ? timegm(&tm) : 0;
}

static int
load_certificate(
    struct context *c, const struct tls_conf *conf, struct error *err)
{
	const X509 *own;
	char day[16];
	struct tm tm;

	if (SSL_CTX_use_certificate_chain_file(c->ssl, conf->cert) != 1)
		return fail(err, -EINVAL, "'tls_cert': %.200s: %s", conf->cert,
		    openssl_reason());
	own = SSL_CTX_get0_certificate(c->ssl);
	c->common.expires = to_time(X509_get0_notAfter(own));
	c->common.too_early = to_time(X509_get0_notBefore(own)) > time(NULL);
	if (c->common.expires > time(NULL))
		return 0;
	gmtime_r(&c->common.expires, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	return fail(err, -EINVAL, "'tls_cert': %.200s: it expired on %s",
	    conf->cert, day);
}

/* OpenSSL compares the key with the certificate when it has read it. */
static bool
is_mismatch(void)
{
	unsigned long e = ERR_peek_error();

	return ERR_GET_LIB(e) == ERR_LIB_X509 &&
	    (ERR_GET_REASON(e) == X509_R_KEY_VALUES_MISMATCH ||
		ERR_GET_REASON(e) == X509_R_KEY_TYPE_MISMATCH);
}

static int
load_key(struct context *c, const struct tls_conf *conf, struct error *err)
{
	bool asked = false;

	SSL_CTX_set_default_passwd_cb(c->ssl, no_passphrase);
	SSL_CTX_set_default_passwd_cb_userdata(c->ssl, &asked);
	if (SSL_CTX_use_PrivateKey_file(c->ssl, conf->key, SSL_FILETYPE_PEM) ==
	    1) {
		SSL_CTX_set_default_passwd_cb_userdata(c->ssl, NULL);
		return 0;
	}
	if (is_mismatch())
		return fail(err, -EINVAL,
		    "'tls_key': %.150s does not belong to the certificate"
		    " %.150s: %s",
		    conf->key, conf->cert, openssl_reason());
	return fail(err, -EINVAL, "'tls_key': %.200s: %s", conf->key,
	    asked ? "it is encrypted; write it without a passphrase"
		  : openssl_reason());
}

static int
load_ca(struct context *c, const struct tls_conf *conf, struct error *err)
{
	STACK_OF(X509_NAME) * names;

	if (SSL_CTX_load_verify_locations(c->ssl, conf->ca, NULL) != 1)
		return fail(err, -EINVAL, "'tls_ca': %.200s: %s", conf->ca,
		    openssl_reason());
	if (!c->common.server)
		return 0;
	names = SSL_load_client_CA_file(conf->ca);
	if (names != NULL)
		SSL_CTX_set_client_CA_list(c->ssl, names);
	SSL_CTX_set_verify(
	    c->ssl, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
	return 0;
}

static void
set_options(SSL_CTX *ssl)
{
	SSL_CTX_set_min_proto_version(ssl, TLS1_2_VERSION);
	SSL_CTX_set_options(ssl,
	    SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_TICKET);
	SSL_CTX_set_num_tickets(ssl, 0);
	SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
	SSL_CTX_set_mode(ssl,
	    SSL_MODE_ENABLE_PARTIAL_WRITE |
		SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER | SSL_MODE_RELEASE_BUFFERS);
	SSL_CTX_set_max_cert_list(ssl, CHAIN_MAX);
}

static void
context_free(struct tls_context *context)
{
	struct context *c = (struct context *)context;

	SSL_CTX_free(c->ssl);
	free(c);
}

static int
load_files(struct context *c, const struct tls_conf *conf, struct error *err)
{
	int r = 0;

	if (conf->cert != NULL)
		r = load_certificate(c, conf, err);
	if (r == 0 && conf->key != NULL)
		r = load_key(c, conf, err);
	if (r == 0 && conf->ca != NULL)
		r = load_ca(c, conf, err);
	else if (r == 0 && !c->common.server)
		SSL_CTX_set_default_verify_paths(c->ssl);
	return r;
}

static int
context_new(const struct tls_conf *conf, bool server, struct tls_context **ret,
    struct error *err)
{
	struct context *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return fail(err, -ENOMEM, "out of memory");
	ERR_clear_error();
	c->common.server = server;
	c->ssl =
	    SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (c->ssl == NULL) {
		free(c);
		return fail(err, -ENOMEM, "'tls': %s", openssl_reason());
	}
	set_options(c->ssl);
	if (!server && conf->verify)
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	r = load_files(c, conf, err);
	ERR_clear_error();
	if (r < 0) {
		context_free(&c->common);
		return r;
	}
	*ret = &c->common;
	return 0;
}

/* --- sessions ------------------------------------------------------------- */

static void
session_free(struct tls_session *session)
{
	struct session *s = (struct session *)session;

	current = NULL;
	SSL_free(s->ssl);
	for (size_t i = 0; i < s->common.ndns; i++)
		free(s->common.dns_names[i]);
	free(s->common.dns_names);
	free(s->common.common_name);
	free(s->held);
	free(s);
}

/* Whether the host is an address, which has no SNI. */
static bool
is_address(const char *host)
{
	struct in6_addr in;

	return inet_pton(AF_INET, host, &in) == 1 ||
	    inet_pton(AF_INET6, host, &in) == 1;
}

static bool
expect_host(SSL *ssl, const char *host)
{
	X509_VERIFY_PARAM *param = SSL_get0_param(ssl);

	if (is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1 &&
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
	current = s;
	s->common.fd = fd;
	s->ssl = SSL_new(c->ssl);
	bio = s->ssl != NULL ? BIO_new(method) : NULL;
	if (bio != NULL) {
		BIO_set_data(bio, s);
		BIO_set_init(bio, 1);
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
	current = NULL;
	*ret = &s->common;
	return 0;
}

/* As UTF-8; NULL for a name that contains a NUL, which would be taken for another. */
static char *
copy_name(const ASN1_STRING *name)
{
	unsigned char *text = NULL;
	int len = ASN1_STRING_to_UTF8(&text, name);
	char *copy = NULL;

	if (len > 0 && memchr(text, '\0', (size_t)len) == NULL)
		copy = strndup((const char *)text, (size_t)len);
	OPENSSL_free(text);
	return copy;
}

static void
set_dns_names(struct tls_session *session, X509 *cert)
{
	GENERAL_NAMES *all =
	    X509_get_ext_d2i(cert, NID_subject_alt_name, NULL, NULL);
	int count = MIN(sk_GENERAL_NAME_num(all), NAMES_MAX);
	char *copy;

	if (count > 0)
		session->dns_names =
		    calloc((size_t)count, sizeof(*session->dns_names));
	for (int i = 0; session->dns_names != NULL && i < count; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(all, i);

		if (name->type == GEN_DNS &&
		    (copy = copy_name(name->d.dNSName)) != NULL)
			session->dns_names[session->ndns++] = copy;
	}
	GENERAL_NAMES_free(all);
}

static char *
copy_common_name(const X509 *cert)
{
	const X509_NAME *subject = X509_get_subject_name(cert);
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	return at < 0 ? NULL
		      : copy_name(X509_NAME_ENTRY_get_data(
			    X509_NAME_get_entry(subject, at)));
}

static void
set_names(struct session *s)
{
	X509 *cert = SSL_get_peer_certificate(s->ssl);

	if (cert == NULL)
		return;
	set_dns_names(&s->common, cert);
	s->common.common_name = copy_common_name(cert);
	X509_free(cert);
}

static int
session_handshake(struct tls_session *session)
{
	struct session *s = (struct session *)session;
	int r;

	ERR_clear_error();
	current = s;
	r = SSL_do_handshake(s->ssl);
	r = r == 1 ? 0 : call_failed(s, r);
	if (r == 0 && session->version == NULL) {
		session->version = SSL_get_version(s->ssl);
		set_names(s);
		/* Otherwise each record would be received in two parts.  Not before:
		 * a bufferevent does not look for what was received already. */
		SSL_set_read_ahead(s->ssl, 1);
		session->readable = SSL_has_pending(s->ssl) == 1;
	}
	current = NULL;
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
	current = s;
	while (n < size && r > 0) {
		r = SSL_read(s->ssl, (char *)buf + n,
		    (int)MIN(size - n, (size_t)INT_MAX));
		if (r > 0)
			n += (size_t)r;
		/* Not received in vain after the last record. */
		if (r > 0 && SSL_has_pending(s->ssl) == 0)
			break;
	}
	current = NULL;
	session->readable = n == size && SSL_has_pending(s->ssl) == 1;
	if (r > 0)
		return (ssize_t)n;
	r = call_failed(s, r);
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
	current = s;
	do {
		r = SSL_write(s->ssl, (const char *)data + n,
		    (int)MIN(len - n, (size_t)INT_MAX));
		if (r > 0)
			n += (size_t)r;
	} while (r > 0 && n < len && session->held == 0 && is_writable(s));
	current = NULL;
	if (s->error != 0)
		return write_failed(s);
	if (n > 0)
		return (ssize_t)n;
	return (r = call_failed(s, r)) == 0 ? -EPIPE : r;
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
	current = s;
	SSL_shutdown(s->ssl);
	current = NULL;
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

extern const struct tls_library ttybridge_tls;
const struct tls_library ttybridge_tls = {
	.version = VERSION,
	.context_new = context_new,
	.context_free = context_free,
	.session_new = session_new,
	.session_free = session_free,
	.handshake = session_handshake,
	.read = session_read,
	.write = session_write,
	.flush = session_flush,
	.finish = session_finish,
	.bufferevent = session_bufferevent,
};

static __attribute__((constructor)) void
start(void)
{
	CRYPTO_set_mem_functions(get_memory, resize_memory, free_memory);
	method = BIO_meth_new(
	    BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "ttybridge socket");
	BIO_meth_set_write(method, socket_write);
	BIO_meth_set_read(method, socket_read);
	BIO_meth_set_ctrl(method, socket_control);
}
