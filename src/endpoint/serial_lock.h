/*
 * serial_lock: one program at a time on a serial port.
 *
 * Three customs are kept to: lock files in /run/lock (respected, not made),
 * flock() on the device, and the kernel's exclusive mode, which root's programs
 * pass by.
 */
#ifndef SERIAL_LOCK_H
#define SERIAL_LOCK_H

#include "error.h"

/*
 * Before opening: -EBUSY with a sentence in err when a lock file names a live
 * process.
 */
int serial_lock_file(const char *path, struct error *err);
/*
 * After opening: locks the descriptor. -EBUSY with a sentence that says who has
 * the port, when another has it locked or in exclusive mode.
 */
int serial_lock_take(int fd, const char *path, struct error *err);
/* Of a descriptor that had the locks in the process before. */
int serial_lock_adopt(int fd, const char *path, struct error *err);
/* Gives both up: a copy of the descriptor may live on for a moment. */
void serial_lock_release(int fd);
/*
 * Exclusive mode on or off; the lock itself goes with the descriptor.  Not on a
 * pty, where it would outlive us.
 */
void serial_lock_exclusive(int fd, bool on);

#endif
