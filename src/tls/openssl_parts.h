/*
 * openssl_parts: what the files of the shared object share.
 *
 * The object cannot call functions of the program.
 */
#ifndef OPENSSL_PARTS_H
#define OPENSSL_PARTS_H

#include <openssl/ssl.h>

#include "tls.h"

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
	uint8_t first; /* the first byte that was received, if... */
	bool heard;    /* ...there was one */
	bool ended;    /* the socket has no more input */
	bool broken;   /* nothing more can be sent; it may still be read */
	bool failed;   /* an error after which nothing more can be done */
	bool finished; /* close_notify was sent */
	bool handed;   /* to a bufferevent */
};

/* The session whose call is in progress, for which allocations are counted.  The model
 * avoids a call for each access. */
extern __thread
    __attribute__((tls_model("initial-exec"))) struct session *openssl_current;
/* Has OpenSSL's allocations counted; before it makes any. */
void openssl_memory_start(void);

/* Sets the message; returns r. */
int openssl_fail(struct error *err, int r, const char *fmt, ...) PRINTF(3, 4);
/* The first reason that OpenSSL has recorded, which is the cause of the others. */
const char *openssl_reason(void);
/* The result of a call that has returned r <= 0: -errno, and 0 for close_notify. */
int openssl_result(struct session *s, int r);

/* Returns the number of bytes that the kernel has accepted; -1: s->error. */
ssize_t openssl_send(struct session *s, const void *data, size_t len);
/* The socket of the session, for OpenSSL; NULL: out of memory. */
BIO *openssl_bio(struct session *s);

/* As in struct tls_library. */
int openssl_context_new(const struct tls_conf *conf, bool server,
    struct tls_context **ret, struct error *err);
void openssl_context_free(struct tls_context *context);
/* Whether the host is an address, which has no SNI. */
bool openssl_is_address(const char *host);
/* Has the certificate compared with the host; false: out of memory. */
bool openssl_expect(X509_VERIFY_PARAM *param, const char *host);
void *openssl_native(
    struct tls_context *context, const char *host, bool verify);
const char *openssl_rejected(const void *native);

#endif
