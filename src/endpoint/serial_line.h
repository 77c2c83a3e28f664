/*
 * serial_line: what differs between a serial port of this machine (serial_local.c) and
 * one of another machine (serial_remote.c).
 */
#ifndef SERIAL_LINE_H
#define SERIAL_LINE_H

#include "endpoint.h"
#include "serial_conf.h"

struct serial_line_ops;
struct step;

/* A serial endpoint that is open, or being opened. */
struct serial {
	struct endpoint *ep;
	const struct serial_line_ops *ops;
	struct event *break_end;
	struct task break_task;
	uint64_t break_ns; /* length of the break */
	bool breaking;	   /* a break without a limit */
	/* See serial_reset.h. */
	struct event *reset_timer; /* NULL: none is in progress */
	struct task reset_task;
	const struct step *reset_step; /* the next one */
	int reset_kind;		       /* enum serial_reset */
};

/* Functions return -errno, and set err if there is one.  Except for open and close, they
 * are called only while is_open is true. */
struct serial_line_ops {
	size_t size; /* of the struct that begins with struct serial */
	/* See endpoint_ops; the caller frees the struct after close, and after open
	 * has failed. */
	int (*open)(struct serial *);
	void (*close)(struct serial *);
	/* See endpoint_ops.  NULL: links have no filter. */
	int (*attach)(struct serial *, struct link *);
	bool (*is_open)(const struct serial *);
	/* The path of the open device. */
	const char *(*path)(const struct serial *);
	/* See line_ops. */
	int (*get)(const struct serial *, struct line_settings *ret);
	int (*set)(
	    struct serial *, const struct line_settings *, struct error *);
	/* NULL: always. */
	bool (*settled)(const struct serial *);
	int (*set_signals)(struct serial *, unsigned mask, unsigned levels);
	int (*signals)(const struct serial *, unsigned *ret);
	int (*set_break)(struct serial *, bool on);
	int (*purge)(struct serial *, bool input, bool output);
	/* Applies dtr and rts of the section. */
	int (*apply_signals)(struct serial *, struct error *);
	/* Applies the keys of RS-485, or low_latency.  NULL: the check refuses them. */
	int (*apply_rs485)(struct serial *, struct error *);
	int (*apply_low_latency)(struct serial *, struct error *);
	/* See endpoint_ops; unsent may be NULL. */
	int (*line_errors)(const struct serial *, struct line_errors *);
	unsigned (*unsent)(const struct serial *);
};

extern const struct serial_line_ops serial_local, serial_remote;

/* The line of the endpoint if it is open, or NULL. */
struct serial *serial_open_line(const struct endpoint *ep);
/* The line has these settings from now on, or when it is opened. */
void serial_use_settings(
    struct endpoint_conf *conf, const struct line_settings *line);
/* Sets the addresses of the endpoint and its link, "/dev/ttyACM0 9600 8N1": with the
 * settings that the line has, or, if it is not open, those with which it will be opened. */
void serial_set_address(struct endpoint *ep);

#endif
