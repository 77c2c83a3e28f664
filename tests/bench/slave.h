/*
 * slave: the units on the bus, and the line to them.
 */
#ifndef SLAVE_H
#define SLAVE_H

#include <stdint.h>

struct slave_conf {
	unsigned requests;
	unsigned baud; /* of the line; 0: there is no delay */
	unsigned
	    flip; /* one byte in so many of the answers is another; 0: none */
	unsigned pause; /* ms between the pieces of an answer; 0: it is whole */
	unsigned slow;	/* a unit whose answers come later; 0: none */
	unsigned slow_ms; /* later by this */
	int echo; /* requests come back, as from an adapter for two wires */
};

/* fd: the master of the pty that the bridge has as its bus. */
void slave_init(const struct slave_conf *conf, int fd);
/* Forgets what was measured. */
void slave_start(void);
void slave_input(void);
/* Does what is due; returns when it wants to be called again. */
uint64_t slave_due(uint64_t now);
/* Prints how the line was used. */
void slave_put(void);

#endif
