/*
 * task_log: the last tasks that ended, and the last runs that held the loop.
 *
 * Both lists have a fixed length; a new entry replaces the oldest one.
 */
#ifndef TASK_LOG_H
#define TASK_LOG_H

#include "stats.h"

#define TASK_LOG_MAX 64
#define TASK_WHY_MAX 96

struct task_ended {
	uint64_t at_ns, began_ns; /* when it ended, and was registered */
	uint64_t runs, busy_ns, max_ns;
	char name[TASK_NAME_MAX];
	char why[TASK_WHY_MAX]; /* empty: not known */
};

struct task_stall {
	uint64_t at_ns; /* the end of the run */
	uint64_t held_ns;
	const struct task_site *site; /* where it had waited before the run */
	char name[TASK_NAME_MAX];
};

/* why: a few words, or empty. */
void task_log_ended(const struct task *task, const char *why);
void task_log_stall(
    const struct task *task, uint64_t held_ns, const struct task_site *site);
/* The nth last entry, from 0 on; NULL at the end. */
const struct task_ended *task_log_ended_at(unsigned n);
const struct task_stall *task_log_stall_at(unsigned n);
/* How many there were in all. */
uint64_t task_log_stalls(void);

#endif
