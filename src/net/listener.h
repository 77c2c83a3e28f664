/*
 * listener: accepts connections, for endpoints and control ports alike.
 *
 * When descriptors run out it neither spins nor leaves the client hanging: a spare
 * descriptor is given up to accept and close one connection, and the listener
 * rests for a second.
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
	int mode;	   /* of a Unix socket, -1: as umask says */
	const char *group; /* of a Unix socket, or NULL */
	const char *full;  /* what one client too many is told, or
					 * NULL; borrowed too */
	uint64_t *refused; /* counts those turned away, or NULL */
	const char *keep;  /* the name for the next process; borrowed for
					 * the call alone */
};

/* A connection that may stay: the descriptor is the owner's now, non-blocking and
 * close-on-exec.  peer is its address in words.  Returns false if the owner
 * cannot take it, and has closed fd. */
typedef bool (*listener_accept)(void *arg, int fd, const char *peer);

/*
 * Takes the socket that the service manager or the process before has left for it:
 * by its name, or on its address.  Else binds and listens.  A stale Unix socket that nobody listens on is taken
 * over.  -errno with a sentence in err.  conf is copied; name, group and allow are
 * borrowed until listener_free.
 */
int listener_new(struct event_base *base, const struct listener_conf *conf,
    listener_accept accept, void *arg, struct listener **ret,
    struct error *err);
/* The owner tells how many connections it has, for max_clients and the label. */
void listener_set_clients(struct listener *l, unsigned clients);
/* The address that it is bound to (the port that the kernel chose, for 0). */
const char *listener_address(const struct listener *l);
/* Whether it was open before this process. */
bool listener_adopted(const struct listener *l);
/* Closes; removes the Unix socket. NULL is fine. */
void listener_free(struct listener *l);

#endif
