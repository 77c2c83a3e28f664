/*
 * doctor_system: files of the system, and what systemd knows about the service.
 *
 * For tests: what is in the directory that the environment variable
 * TTYBRIDGE_DOCTOR_ROOT names is read in place of the files of the same paths.
 */
#ifndef DOCTOR_SYSTEM_H
#define DOCTOR_SYSTEM_H

#include <sys/types.h>

#include <jansson.h>

#include "util.h"

/* The path by which a file of the system is to be opened; returns buf. */
const char *system_path(const char *path, char *buf, size_t size);
/* Reads the beginning of a file to a string; its length, or -errno. */
ssize_t system_read(const char *path, char *buf, size_t size);
/* The process of a daemon that has the file as an argument; 0: none is seen. */
pid_t system_process_with(const char *file);
/* The path of the terminal that a device or a link is, such as /dev/ttyUSB0; -errno. */
int system_device(const char *device, char *buf, size_t size);

/* Whether systemd runs. */
bool system_has_systemd(void);
/* The unit of a process that is a system service, such as "ttybridge.service". */
bool system_unit(pid_t pid, char *buf, size_t size);
/*
 * The properties of a unit, with commas in between, as an object of texts; those that
 * are given repeatedly have their values joined by newlines.  NULL: systemctl has failed.
 */
json_t *system_properties(const char *unit, const char *properties);

#endif
