/*
 * listener: accepts connections, for endpoints and control ports alike.
 *
 * When the process runs out of descriptors, a spare descriptor is closed so that one
 * connection can be accepted and closed, and accepting is suspended for a second.  So
 * the loop does not spin, and the client is not left waiting.
 */
#ifndef LISTENER_H
#define LISTENER_H

#include "address.h"
#include "error.h"
#include "fdstore.h"
#include "log.h"
#include "stats.h"

struct event_base;
struct listener;

struct listener_conf {
	const char *name; /* for the task NAME.accept and the log */
	enum log_about about;
	struct address address;
	const struct networks
	    *allow; /* besides loopback; NULL: loopback only */
	unsigned max_clients;
	int mode; /* of a Unix socket; -1: the umask applies */
	const char
	    *group;	  /* of a Unix socket; borrowed for the call, or NULL */
	const char *full; /* sent to excess clients; borrowed, or NULL */
	/* Called with the argument of the listener when there are max_clients: whether
	 * another one is accepted nevertheless.  NULL: it is not. */
	bool (*make_room)(void *arg);
	uint64_t *refused; /* counts rejected clients, or NULL */
	const char *keep;  /* kept name; borrowed for the call, or NULL */
};

/*
 * A connection was accepted.  The callee owns the descriptor, which is non-blocking and
 * close-on-exec.  peer is the printed address of the client.  Returns false if the
 * callee could not use the connection and has closed fd.
 */
typedef bool (*listener_accept)(void *arg, int fd, const char *peer);

/*
 * Takes the socket that the service manager passed or the previous process kept, by its
 * name or by its address.  If there is none, binds a new one and listens.  A stale Unix
 * socket is replaced.  Returns -errno and sets err on failure.  conf is copied; name
 * and allow are borrowed until listener_free().
 */
int listener_new(struct event_base *base, const struct listener_conf *conf,
    listener_accept accept, void *arg, struct listener **ret,
    struct error *err);
/* Changes whom it accepts from now on; allow is borrowed like that of the conf. */
void listener_set_limits(
    struct listener *l, unsigned max_clients, const struct networks *allow);
/* Sets the current number of connections, for max_clients and the label. */
void listener_set_clients(struct listener *l, unsigned clients);
/* The address that it is bound to, with the port that the kernel chose if the
 * configured port is 0. */
const char *listener_address(const struct listener *l);
/* Whether the socket was opened before this process started. */
bool listener_adopted(const struct listener *l);
/* Closes the socket and removes its file if it is a Unix socket.  NULL is allowed. */
void listener_free(struct listener *l);

#endif
