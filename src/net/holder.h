/*
 * holder: which program has what cannot be had, for messages: as far as /proc shows
 * it, and otherwise how to find out.
 */
#ifndef HOLDER_H
#define HOLDER_H

#include <sys/types.h>

#include "error.h"

/* "screen (pid 123)"; returns buf. */
const char *holder_name(pid_t pid, char *buf, size_t size);
/* Appends "held by screen (pid 123)": who else than fd has the device open or locked. */
void holder_of_device(const char *path, int fd, struct error *err);
/* The same of a port of TCP, or UDP, that something is bound to. */
void holder_of_port(bool udp, unsigned port, struct error *err);

#endif
