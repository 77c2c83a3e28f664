/*
 * openssl_context: the files of a section: its certificate, its key, and the CAs that it
 * trusts.
 */
#include <sys/stat.h>

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "openssl_parts.h"

/* The certificates that a peer may send, in bytes. */
#define CHAIN_MAX (32 * 1024)

/* An encrypted key cannot be used: there is no one to ask for its passphrase. */
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

/* What a file in PEM format holds: its first "-----BEGIN KIND-----", of which kind is
 * set to the KIND, or to "".  Returns whether one of them ends in the word. */
static bool
holds(const char *path, const char *word, char *kind, size_t size)
{
	FILE *f = fopen(path, "re");
	char line[128], found[64];
	size_t len = strlen(word), n;

	*kind = '\0';
	for (n = 0; f != NULL && fgets(line, sizeof(line), f) != NULL;) {
		if (sscanf(line, "-----BEGIN %63[^-]-----", found) != 1)
			continue;
		if (*kind == '\0')
			snprintf(kind, size, "%s", found);
		n = strlen(found);
		if (n >= len && strcmp(found + n - len, word) == 0)
			break;
		n = 0;
	}
	if (f != NULL)
		fclose(f);
	return n > 0;
}

/* The file of a key could not be used: wanted is what it should hold. */
static int
fail_file(
    struct error *err, const char *key, const char *path, const char *wanted)
{
	char kind[64];
	struct stat st;

	if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
		return openssl_fail(err, -EISDIR, "'%s': %.200s: %s", key, path,
		    strerror(EISDIR));
	if (access(path, R_OK) < 0 || holds(path, wanted, kind, sizeof(kind)))
		return openssl_fail(err, -EINVAL, "'%s': %.200s: %s", key, path,
		    openssl_reason());
	if (*kind == '\0')
		return openssl_fail(err, -EINVAL,
		    "'%s': %.200s: it has no \"BEGIN %s\" (PEM format)", key,
		    path, wanted);
	return openssl_fail(err, -EINVAL,
	    "'%s': %.200s: it has \"BEGIN %s\", and not \"BEGIN %s\"", key,
	    path, kind, wanted);
}

static int
load_certificate(
    struct context *c, const struct tls_conf *conf, struct error *err)
{
	const X509 *own;
	char day[16];
	struct tm tm;

	if (SSL_CTX_use_certificate_chain_file(c->ssl, conf->cert) != 1)
		return fail_file(err, "tls_cert", conf->cert, "CERTIFICATE");
	own = SSL_CTX_get0_certificate(c->ssl);
	c->common.is_ca = X509_check_ca((X509 *)own) == 1;
	c->common.expires = to_time(X509_get0_notAfter(own));
	c->common.too_early = to_time(X509_get0_notBefore(own)) > time(NULL);
	if (c->common.expires > time(NULL))
		return 0;
	gmtime_r(&c->common.expires, &tm);
	strftime(day, sizeof(day), "%Y-%m-%d", &tm);
	return openssl_fail(err, -EINVAL,
	    "'tls_cert': %.200s: it expired on %s", conf->cert, day);
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
		return openssl_fail(err, -EINVAL,
		    "'tls_key': %.150s does not belong to the certificate"
		    " %.150s: %s",
		    conf->key, conf->cert, openssl_reason());
	if (asked)
		return openssl_fail(err, -EINVAL,
		    "'tls_key': %.200s: it is encrypted; write it without a"
		    " passphrase",
		    conf->key);
	return fail_file(err, "tls_key", conf->key, "PRIVATE KEY");
}

static int
load_ca(struct context *c, const struct tls_conf *conf, struct error *err)
{
	STACK_OF(X509_NAME) * names;

	if (SSL_CTX_load_verify_locations(c->ssl, conf->ca, NULL) != 1)
		return fail_file(err, "tls_ca", conf->ca, "CERTIFICATE");
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

void
openssl_context_free(struct tls_context *context)
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

int
openssl_context_new(const struct tls_conf *conf, bool server,
    struct tls_context **ret, struct error *err)
{
	struct context *c = calloc(1, sizeof(*c));
	int r;

	if (c == NULL)
		return openssl_fail(err, -ENOMEM, "out of memory");
	ERR_clear_error();
	c->common.server = server;
	c->ssl =
	    SSL_CTX_new(server ? TLS_server_method() : TLS_client_method());
	if (c->ssl == NULL) {
		free(c);
		return openssl_fail(
		    err, -ENOMEM, "'tls': %s", openssl_reason());
	}
	set_options(c->ssl);
	if (!server && conf->verify)
		SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, NULL);
	r = load_files(c, conf, err);
	ERR_clear_error();
	if (r < 0) {
		openssl_context_free(&c->common);
		return r;
	}
	*ret = &c->common;
	return 0;
}

/* --- the server that is expected ------------------------------------------------ */

bool
openssl_is_address(const char *host)
{
	struct in6_addr in;

	return inet_pton(AF_INET, host, &in) == 1 ||
	    inet_pton(AF_INET6, host, &in) == 1;
}

bool
openssl_expect(X509_VERIFY_PARAM *param, const char *host)
{
	if (openssl_is_address(host))
		return X509_VERIFY_PARAM_set1_ip_asc(param, host) == 1;
	X509_VERIFY_PARAM_set_hostflags(
	    param, X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS);
	return X509_VERIFY_PARAM_set1_host(param, host, 0) == 1;
}

/* Keeps the reason why a certificate is not accepted. */
static int
on_verify(int ok, X509_STORE_CTX *store)
{
	SSL *ssl = X509_STORE_CTX_get_ex_data(
	    store, SSL_get_ex_data_X509_STORE_CTX_idx());

	if (!ok)
		SSL_CTX_set_app_data(SSL_get_SSL_CTX(ssl),
		    (char *)X509_verify_cert_error_string(
			X509_STORE_CTX_get_error(store)));
	return ok;
}

void *
openssl_native(struct tls_context *context, const char *host, bool verify)
{
	struct context *c = (struct context *)context;

	if (!verify)
		return c->ssl;
	SSL_CTX_set_verify(c->ssl, SSL_VERIFY_PEER, on_verify);
	return openssl_expect(SSL_CTX_get0_param(c->ssl), host) ? c->ssl : NULL;
}

const char *
openssl_rejected(const void *native)
{
	return SSL_CTX_get_app_data((SSL_CTX *)(uintptr_t)native);
}
