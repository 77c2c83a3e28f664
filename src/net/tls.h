/*
 * tls: TLS on connections.
 *
 * OpenSSL is used only by a shared object (src/tls), which is loaded when the first
 * section with tls = yes is read, so that it costs nothing without one.  This header
 * is the interface between the two, and has no types of OpenSSL.
 *
 * A session never blocks.  What the kernel does not accept of a record is held by the
 * session, and no further output is accepted until that has been sent.  So a caller
 * waits for input only when it wants to read, and for output only while held is not 0.
 */
#ifndef TLS_H
#define TLS_H

#include <sys/types.h>

#include <time.h>

#include "error.h"
#include "key.h"

/* A certificate that expires within this time causes a warning. */
#define TLS_EXPIRES_SOON (30 * 24 * 3600)
#define TLS_REASON_MAX 160

struct bufferevent;
struct event_base;

/* The keys of a section. */
struct tls_conf {
	bool on;
	bool verify;		    /* the server's certificate, of a client */
	bool given;		    /* one of the keys below was */
	char *cert, *key, *ca;	    /* paths, NULL: not given */
	char *name;		    /* the expected name of the server */
	uint64_t handshake_timeout; /* ns */
};

/* What a section needs for its sessions, made of the files that it names. */
struct tls_context {
	bool server;
	time_t expires; /* the end of its certificate; 0: it has none */
	bool too_early; /* the certificate is not valid yet */
	bool is_ca;	/* it may sign others */
};

/* The encryption of one connection. */
struct tls_session {
	int fd;
	bool readable;	     /* input is left that poll() does not report */
	size_t held;	     /* bytes that the kernel has not accepted */
	size_t memory;	     /* bytes that OpenSSL uses for it */
	const char *version; /* "TLSv1.3", once the handshake is done */
	/* The names in the certificate of the other side: the DNS names, and the
	 * common name, which counts only if there are none.  NULL: there is no such
	 * name, or no certificate. */
	char **dns_names;
	size_t ndns;
	char *common_name;
	char why[TLS_REASON_MAX]; /* the reason for the last -EPROTO */
};

/* The functions of the shared object. */
struct tls_library {
	const char *version; /* of the program that it belongs to */
	/* Reads the files; -errno and err on failure. */
	int (*context_new)(const struct tls_conf *, bool server,
	    struct tls_context **ret, struct error *err);
	void (*context_free)(struct tls_context *);
	/* For a connected, non-blocking socket, which stays the caller's; host is the
	 * name of the server that a client expects.  -ENOMEM. */
	int (*session_new)(const struct tls_context *, int fd, const char *host,
	    struct tls_session **ret);
	void (*session_free)(struct tls_session *);
	/* -EAGAIN: there is more to be received, or to be sent (held). */
	int (*handshake)(struct tls_session *);
	/* Like read(2) and write(2), but return -errno; 0 from read is the other
	 * side's close_notify.  -EPROTO: see why. */
	ssize_t (*read)(struct tls_session *, void *buf, size_t size);
	ssize_t (*write)(struct tls_session *, const void *data, size_t len);
	/* Sends what is held; -EAGAIN when some of it is left. */
	int (*flush)(struct tls_session *);
	/* Sends close_notify after that, once; -EAGAIN as above. */
	int (*finish)(struct tls_session *);
	/* Carries the session on as a bufferevent, which closes the descriptor when
	 * it is freed.  Only write, finish and session_free may be called then. */
	struct bufferevent *(*bufferevent)(
	    struct tls_session *, struct event_base *);
	/* The SSL_CTX of a client's context, for a library that uses OpenSSL itself; it
	 * expects that host, and is valid as long as the context.  NULL: out of memory. */
	void *(*native)(struct tls_context *, const char *host, bool verify);
	/* Why the certificate of the other side was not accepted; NULL: it was. */
	const char *(*rejected)(const void *native);
};
/* The name of the symbol in the shared object. */
#define TLS_SYMBOL "ttybridge_tls"

/* The loaded library; NULL before the first tls_load() of a section that needs it. */
extern const struct tls_library *tls_library;

/* Checks the keys of a section against each other; -EINVAL and err on failure. */
int tls_check(const struct tls_conf *conf, bool server, struct error *err);
/*
 * Reads the files of a section that has tls = yes and replaces *context, which may be
 * NULL; otherwise, or on failure, it is left alone.  -errno and err on failure.  May be
 * called in a thread.
 */
int tls_load(const struct tls_conf *conf, bool server,
    struct tls_context **context, struct error *err);
/* Appends what is valid, but probably not intended. */
void tls_warn(const struct tls_conf *conf, const struct tls_context *context,
    struct error *err);
/* The names of the other side that count: the DNS names of its certificate, else the common
 * name.  NULL: there are no more. */
static inline const char *
tls_session_name(const struct tls_session *session, size_t i)
{
	if (session->ndns == 0)
		return i == 0 ? session->common_name : NULL;
	return i < session->ndns ? session->dns_names[i] : NULL;
}
/* Whether the list of words has one of those names. */
bool tls_session_is_in(const struct tls_session *session,
    bool (*has)(const char *list, const char *name, size_t len),
    const char *list);
/* Why a bufferevent, with or without TLS, has failed; error: errno in its event callback. */
const char *tls_event_reason(int error);
/* NULL is allowed, for both. */
void tls_context_free(struct tls_context *context);
void tls_session_free(struct tls_session *session);
/* Whether the certificate expires within TLS_EXPIRES_SOON, or has expired. */
bool tls_expires_soon(const struct tls_context *context);
/* "the certificate expires on 2030-01-31 (in 12 days)"; returns buf. */
const char *tls_expiry(
    const struct tls_context *context, char *buf, size_t size);

/* Rows of a key table for the struct owner, whose member tls is a struct tls_conf. */
#define TLS_OFFSET(owner, member) offsetof(owner, tls.member)
#define TLS_KEY_ON(owner)                                     \
	{                                                     \
		.name = "tls", .type = KEY_BOOL,              \
		.offset = TLS_OFFSET(owner, on), .def = "no", \
		.help = "whether connections are encrypted"   \
	}
#define TLS_KEY_CERT(owner)                                          \
	{                                                            \
		.name = "tls_cert", .type = KEY_STRING,              \
		.offset = TLS_OFFSET(owner, cert),                   \
		.given = TLS_OFFSET(owner, given), .min = 1,         \
		.help = "the file of its certificate, and of those " \
			"between it and a CA"                        \
	}
#define TLS_KEY_KEY(owner)                                   \
	{                                                    \
		.name = "tls_key", .type = KEY_STRING,       \
		.offset = TLS_OFFSET(owner, key),            \
		.given = TLS_OFFSET(owner, given), .min = 1, \
		.help = "the file of the private key"        \
	}
#define TLS_KEY_CA_SERVER(owner)                                 \
	{                                                        \
		.name = "tls_ca", .type = KEY_STRING,            \
		.offset = TLS_OFFSET(owner, ca),                 \
		.given = TLS_OFFSET(owner, given), .min = 1,     \
		.help = "CA certificates: a client must show a " \
			"certificate of one"                     \
	}
#define TLS_KEY_CA_CLIENT(owner)                                      \
	{                                                             \
		.name = "tls_ca", .type = KEY_STRING,                 \
		.offset = TLS_OFFSET(owner, ca),                      \
		.given = TLS_OFFSET(owner, given), .min = 1,          \
		.help = "CA certificates that are trusted, in place " \
			"of the system's"                             \
	}
#define TLS_KEY_NAME(owner)                                      \
	{                                                        \
		.name = "tls_name", .type = KEY_STRING,          \
		.offset = TLS_OFFSET(owner, name),               \
		.given = TLS_OFFSET(owner, given), .min = 1,     \
		.help = "the name in the server's certificate, " \
			"unless it is the host"                  \
	}
#define TLS_KEY_VERIFY(owner)                                            \
	{                                                                \
		.name = "tls_verify", .type = KEY_BOOL,                  \
		.offset = TLS_OFFSET(owner, verify), .def = "yes",       \
		.given = TLS_OFFSET(owner, given),                       \
		.help = "whether the server's certificate and its name " \
			"are verified"                                   \
	}
#define TLS_KEY_TIMEOUT(owner)                                                \
	{                                                                     \
		.name = "handshake_timeout", .type = KEY_TIME,                \
		.offset = TLS_OFFSET(owner, handshake_timeout), .def = "10s", \
		.given = TLS_OFFSET(owner, given), .min = NSEC_PER_MSEC,      \
		.max = 3600 * NSEC_PER_SEC,                                   \
		.help = "how long the handshake of TLS may take"              \
	}

#endif
