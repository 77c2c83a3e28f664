/*
 * http: web servers, [http NAME]: metrics for Prometheus, the commands of the control port
 * as JSON, the health of the daemon, and a page that shows what happens.
 *
 * Why not evhttp (libevent 2.1): it has no limit of connections, cannot be given a
 * connection that was accepted and encrypted elsewhere (net/listener with 'allow', and
 * net/handshake), and its timeout is that of one read or write, so that a client that
 * sends a byte now and then keeps its connection.  The part of HTTP that is needed is
 * small: request.c parses it.
 */
#ifndef HTTP_H
#define HTTP_H

#include "control.h"

/* What serves the connections of a [http]. */
extern const struct control_ops http_ops;

#endif
