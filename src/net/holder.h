/*
 * holder: finds out, for error messages, which process uses a device or port that is
 * not available.  If /proc does not tell, the message names a command that does.
 */
#ifndef HOLDER_H
#define HOLDER_H

#include <sys/types.h>

#include "error.h"

/* "screen (pid 123)"; returns buf. */
const char *holder_name(pid_t pid, char *buf, size_t size);
/* Appends "held by screen (pid 123)": the user, other than the descriptor fd, that has
 * the device open or locked. */
void holder_of_device(const char *path, int fd, struct error *err);
/* The same for a TCP or UDP port that is in use. */
void holder_of_port(bool udp, unsigned port, struct error *err);

/*
 * Calls found() for each process, other than this one and except, that has one of the
 * devices open; not for the one behind a pseudo-terminal, which may have both ends open.
 * Returns false if there are processes about which this one may not know.
 */
bool holders_of_devices(const char *const *paths, size_t n, pid_t except,
    void (*found)(size_t index, pid_t pid, void *arg), void *arg);

#endif
