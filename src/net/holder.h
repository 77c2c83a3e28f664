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
/*
 * Lists the processes, other than this one and except, that have the device open; not the
 * one behind a pseudo-terminal, which may have both ends open.  Returns their number;
 * *hidden: there are processes about which this one may not know.
 */
size_t holders_of_device(
    const char *path, pid_t except, pid_t *pids, size_t max, bool *hidden);
/* The same for a TCP or UDP port that is in use. */
void holder_of_port(bool udp, unsigned port, struct error *err);

#endif
