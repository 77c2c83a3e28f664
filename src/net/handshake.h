/*
 * handshake: TLS handshakes of accepted and of initiated connections, each within its
 * time.
 */
#ifndef HANDSHAKE_H
#define HANDSHAKE_H

#include <sys/queue.h>

#include "log.h"
#include "stats.h"
#include "tls.h"

struct handshake;

/*
 * The result of a handshake.  The session and its descriptor are the callee's; NULL: the
 * handshake has failed for the reason why, and the descriptor is closed.
 */
typedef void (*handshake_done)(
    void *arg, struct tls_session *session, const char *peer, const char *why);

/* Those of one endpoint or control port.  The first members are set by the owner. */
struct handshakes {
	struct event_base *base;
	const char *name; /* for the tasks NAME.handshake#1 and the log */
	enum log_about about;
	handshake_done done;
	void *arg;
	unsigned n; /* in progress */
	unsigned next;
	TAILQ_HEAD(, handshake) list;
};

/* Initializes the list; the members of the owner may be set before or after it. */
void handshakes_init(struct handshakes *hs);
/*
 * Starts a handshake on a connected, non-blocking socket, which it owns.  host: as for
 * session_new of struct tls_library.  done() is called later, unless it returns -errno.
 */
int handshake_start(struct handshakes *hs, const struct tls_context *context,
    int fd, const char *host, const char *peer, uint64_t timeout_ns);
/* The memory that OpenSSL uses for those in progress. */
uint64_t handshakes_memory(const struct handshakes *hs);
/* Ends all without calling done(). */
void handshakes_cancel(struct handshakes *hs);

#endif
