/*
 * serial_port: finds, opens and locks a serial device, and closes it without blocking.
 */
#ifndef SERIAL_PORT_H
#define SERIAL_PORT_H

#include "endpoint.h"
#include "error.h"
#include "serial_conf.h"

#define SERIAL_PATH_MAX 128

struct sp_port;

struct serial_port {
	int fd;			    /* -1: not open */
	struct sp_port *sp;	    /* owns fd; NULL: fd is ours */
	char path[SERIAL_PATH_MAX]; /* symlinks resolved */
	uint64_t baud;
	bool exclusive;
	bool low_latency; /* set by us... */
	bool rs485;	  /* ...and reset before closing */
};

/*
 * The current path of the device that the section names, with symbolic links resolved.
 * Returns -errno and sets err on failure.
 */
int serial_port_find(
    const struct serial_conf *conf, char *path, size_t size, struct error *err);
/* Opens port->path and makes it raw; never waits for carrier. */
int serial_port_open(
    struct serial_port *port, bool exclusive, struct error *err);
/*
 * Uses a descriptor that the previous process left open instead.  Returns -ENODEV when
 * it does not refer to port->path (any more) or cannot be locked; it is closed then.
 */
int serial_port_adopt(struct serial_port *port, int fd, bool exclusive);
/* Applies all settings of the section of that name.  Settings that a pty does not
 * support are not an error. */
int serial_port_configure(struct serial_port *port, const char *name,
    const struct serial_conf *conf, struct error *err);
/*
 * Closes the port.  Pending output is sent in the background as long as it makes
 * progress; output that is stuck is discarded, because close() would wait for it.
 */
void serial_port_close(
    struct serial_port *port, struct event_base *base, const char *name);
/* The same for a descriptor that the previous process left open. */
void serial_port_let_go(int fd, struct event_base *base, const char *name);
/* Ends all background closes at once. */
void serial_port_finish(void);

#endif
