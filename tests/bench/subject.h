/*
 * subject: the bridge that is measured: its processes, and what they cost.
 */
#ifndef SUBJECT_H
#define SUBJECT_H

#include <stdbool.h>
#include <stdint.h>

/* What has been used up to a moment; one taken from another is what a run cost. */
struct usage {
	uint64_t wall_ns;
	uint64_t bridge_ns; /* CPU of the bridge's processes */
	uint64_t self_ns;   /* of the load generator */
	uint64_t kernel_ns; /* of the kernel's workers */
	uint64_t idle_ns;   /* of the CPU we run on: nobody's... */
	uint64_t irq_ns;    /* ...and interrupts' */
	uint64_t switches;  /* times that the bridge waited */
};

uint64_t clock_ns(void);
/* The processes end with us, whatever ends us. */
void subject_init(void);
/*
 * Starts a process from those words, in which {I} stands for number; what it prints
 * goes to the file log.  It gets no SIGINT of the terminal, and ends with us.
 */
void subject_start(char *const words[], unsigned number, const char *log);
/* Whether all of them still run. */
bool subject_alive(void);
/* Ends all of them; safe in a signal handler. */
void subject_end(void);
/* first: at the beginning of a measurement, otherwise at its end. */
void usage_take(struct usage *u, bool first);
/* Resident; of several processes, what they share is counted once. */
uint64_t subject_memory_kb(void);

#endif
