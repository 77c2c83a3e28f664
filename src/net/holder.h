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
 * Calls found() with the index of the path for each process that has one of n devices open,
 * as often as it has: not for this process, not for except, and not for a process that has
 * the master side of the pseudo-terminal as well.  Returns false if descriptors of some
 * processes may not be read, or when out of memory.
 */
bool holders_of_devices(const char *const *paths, size_t n, pid_t except,
    void (*found)(size_t index, pid_t pid, void *arg), void *arg);

#endif
