/*
 * uart: a pseudo-terminal that looks like a serial port.
 */
#ifndef UART_H
#define UART_H

#include <sys/stat.h>

#include <linux/serial.h>
#include <stdbool.h>
#include <stdint.h>

#define UART_LINES 4096
#define UART_CHANGES 64

/* What the driver does not do. */
enum {
	NO_MODEM = 1,
	NO_COUNTS = 2,
	NO_RS485 = 4,
	NO_LATENCY = 8,
	NO_RTSCTS = 16,
	NO_XONXOFF = 32,
	NO_SPEED = 64,	 /* but 9600 */
	NO_DELAYS = 128, /* of RS-485 */
};

/* One of FAULT_UART. */
struct uart_line {
	uint32_t lacks;
	uint32_t modem;
	uint32_t rises;	  /* times that DTR was raised */
	uint32_t opens;	  /* descriptors */
	uint32_t latency; /* ASYNC_... */
	uint32_t breaks;
	uint32_t breaking;
	uint32_t unsent;
	uint32_t flushed; /* bytes of output */
	uint32_t exclusive;
	uint32_t counts[4]; /* frame, parity, overrun, break */
	struct serial_rs485 rs485;
	uint32_t nchanges;		/* calls that set DTR and RTS... */
	uint32_t changes[UART_CHANGES]; /* ...and modem after each; a ring */
};

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
