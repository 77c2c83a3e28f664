/*
 * openssl_error: errors of OpenSSL as sentences.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <openssl/err.h>
#include <openssl/x509_vfy.h>

#include "openssl_parts.h"

int
openssl_fail(struct error *err, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return r;
}

const char *
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

/* Whether a connection with TLS may begin with this byte: that of a handshake, or of an
 * alert. */
static bool
is_record(uint8_t first)
{
	return first == SSL3_RT_HANDSHAKE || first == SSL3_RT_ALERT;
}

static const char *
reason_of_end(const struct session *s)
{
	if (s->common.version != NULL)
		return "closed without close_notify: what was sent last may be"
		       " missing";
	if (s->heard && !is_record(s->first))
		return "what it sends is no TLS, and it has closed the"
		       " connection";
	return "it has closed the connection";
}

int
openssl_result(struct session *s, int r)
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
		snprintf(s->common.why, sizeof(s->common.why), "%s",
		    reason_of_end(s));
	else
		set_reason(s);
	return s->result;
}
