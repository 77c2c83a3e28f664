/*
 * wire: the protocol in which the load generator speaks to a TCP port.
 */
#ifndef WIRE_H
#define WIRE_H

#include <sys/types.h>

enum wire_protocol { WIRE_PLAIN, WIRE_TLS, WIRE_TELNET };

/* For a connected, non-blocking socket: TLS shakes hands.  Telnet agrees on
 * BINARY; its bytes are those of the pattern. */
void wire_start(int fd, enum wire_protocol protocol);
/* Like read(2) and write(2), also for descriptors that were not started.  What write
 * has accepted may be kept for wire_flush(). */
ssize_t wire_read(int fd, void *buf, size_t size);
ssize_t wire_write(int fd, const void *data, size_t len);
/* Sends what is kept. */
void wire_flush(int fd);

#endif
