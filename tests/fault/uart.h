/*
 * uart: a pseudo-terminal that looks like a serial port.
 */
#ifndef UART_H
#define UART_H

#include <sys/stat.h>

#include <stdbool.h>

void uart_start(void);

/* Makes a device number that of a UART. */
void uart_stat(struct stat *);

/* Whether it is a call for a line of ours; *ret is what it returns then, with errno. */
bool uart_ioctl(int fd, unsigned long request, void *arg, int *ret);

/* Whether path is in /sys, and about a line of ours. */
bool uart_in_sys(const char *path);

/* Of a descriptor that was opened, and one that will be closed. */
void uart_opened(int fd);
void uart_closes(int fd);

#endif
