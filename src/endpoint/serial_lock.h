/*
 * serial_lock: exclusive use of a serial port.
 *
 * Three conventions are followed: lock files in /run/lock (respected, not created),
 * flock() on the device, and the exclusive mode of the kernel, which processes with
 * CAP_SYS_ADMIN bypass.
 */
#ifndef SERIAL_LOCK_H
#define SERIAL_LOCK_H

#include "error.h"

/*
 * Called before opening: returns -EBUSY and sets err when a lock file names a live
 * process.
 */
int serial_lock_file(const char *path, struct error *err);
/*
 * Called after opening: locks the descriptor.  Returns -EBUSY when another process has
 * the port locked or in exclusive mode; err names that process.
 */
int serial_lock_take(int fd, const char *path, struct error *err);
/* The same for a descriptor that was locked by the previous process; also sets
 * exclusive mode. */
int serial_lock_adopt(int fd, const char *path, struct error *err);
/* Releases the lock and exclusive mode explicitly, because a duplicate of the
 * descriptor may stay open for a moment. */
void serial_lock_release(int fd);
/*
 * Turns exclusive mode on or off; the lock is released with the descriptor.  No effect
 * on a pty, where exclusive mode would outlast the process.
 */
void serial_lock_exclusive(int fd, bool on);

#endif
