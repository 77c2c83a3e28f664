/*
 * answers: what a user answers to the questions of --init.
 */
#ifndef ANSWERS_H
#define ANSWERS_H

#include "error.h"

/* A device at a serial port. */
struct answer_device {
	const char *framing;
	unsigned baud;
	char mode[4]; /* "8N1" */
};

/* Who may connect by TCP. */
struct answer_access {
	bool none;	    /* no server */
	char networks[128]; /* besides this machine; "": none */
};

/*
 * Each reads an answer; -EINVAL and err, a sentence that says what is valid.
 *
 * "all", numbers from 1 to n, ranges such as 1-3, and names of ports or their paths.
 */
int answer_ports(const char *text, const char *const *names, unsigned n,
    bool *chosen, struct error *err);
/* A framing, a speed and a mode, in any order; one for all, or n with commas between. */
int answer_devices(const char *text, struct answer_device *devices, unsigned n,
    struct error *err);
/* "no", "local" or networks. */
int answer_access(
    const char *text, struct answer_access *ret, struct error *err);

#endif
