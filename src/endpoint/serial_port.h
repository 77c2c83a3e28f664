/*
 * serial_port: a serial device, found, opened and locked, and closed again
 * without blocking.
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
	struct sp_port *sp;	    /* owns fd; NULL: we do */
	char path[SERIAL_PATH_MAX]; /* symlinks resolved */
	uint64_t baud;
	bool exclusive;
	bool low_latency; /* set by us... */
	bool rs485;	  /* ...to be undone at the end */
};

/*
 * The path of the device that the section means now, symlinks resolved.  -errno
 * with a sentence in err.
 */
int serial_port_find(
    const struct serial_conf *conf, char *path, size_t size, struct error *err);
/* Opens port->path and makes it raw; never waits for a carrier. */
int serial_port_open(
    struct serial_port *port, bool exclusive, struct error *err);
/*
 * Instead of that: goes on with a descriptor that the process before has left open.
 * -ENODEV when it is not that of port->path (any more); it is closed then.
 */
int serial_port_adopt(struct serial_port *port, int fd, bool exclusive);
/* All settings of the section of that name.  What a pty has not is no error. */
int serial_port_configure(struct serial_port *port, const char *name,
    const struct serial_conf *conf, struct error *err);
/*
 * Closes.  Output that is still on its way is given time in the background, as
 * long as it moves; what is stuck is thrown away, as close() would wait for it.
 */
void serial_port_close(
    struct serial_port *port, struct event_base *base, const char *name);
/* The same with a descriptor that the process before has left open. */
void serial_port_let_go(int fd, struct event_base *base, const char *name);
/* Ends what the last functions do in the background, at once. */
void serial_port_finish(void);

#endif
