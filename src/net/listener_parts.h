/*
 * listener_parts: what the files of listeners share.  Included only by them.
 */
#ifndef LISTENER_PARTS_H
#define LISTENER_PARTS_H

#include <sys/stat.h>

#include "listener.h"

struct listener {
	struct listener_conf conf;
	char address[ADDRESS_TEXT_MAX];
	struct evconnlistener *ev;
	struct event *rest; /* armed while accepting is suspended */
	int spare;	    /* closed to be able to reject one client */
	unsigned clients;
	listener_accept accept;
	void *arg;
	struct stat socket; /* the file of a Unix socket */
	struct kept kept;
	bool adopted; /* opened by a previous process */
	struct log_limit limit;
	struct task task;
};

/* --- listener_socket.c ----------------------------------------------------- */

/* The listening socket: one that is open already, or a new one.  -errno and err. */
int listener_socket(struct listener *l, struct error *err);
/* The socket is about to be closed for good: removes its file, unless that of another
 * program has replaced it. */
void listener_release(struct listener *l);

#endif
