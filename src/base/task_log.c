/*
 * task_log: the last tasks that ended, and the last runs that held the loop.
 */
#include <string.h>

#include "task_log.h"

static struct task_ended ended[TASK_LOG_MAX];
static struct task_stall stalls[TASK_LOG_MAX];
static uint64_t nended, nstalls;

void
task_log_ended(const struct task *task, const char *why)
{
	struct task_ended *e = &ended[nended++ % TASK_LOG_MAX];

	e->at_ns = now_ns();
	e->began_ns = task->began_ns;
	e->runs = task->runs;
	e->busy_ns = task->busy_ns;
	e->max_ns = task->max_ns;
	snprintf(e->name, sizeof(e->name), "%s", task->name);
	snprintf(e->why, sizeof(e->why), "%s", why);
}

void
task_log_stall(
    const struct task *task, uint64_t held_ns, const struct task_site *site)
{
	struct task_stall *s = &stalls[nstalls++ % TASK_LOG_MAX];

	s->at_ns = now_ns();
	s->held_ns = held_ns;
	s->site = site;
	snprintf(s->name, sizeof(s->name), "%s", task->name);
}

const struct task_ended *
task_log_ended_at(unsigned n)
{
	if (n >= MIN(nended, (uint64_t)TASK_LOG_MAX))
		return NULL;
	return &ended[(nended - 1 - n) % TASK_LOG_MAX];
}

const struct task_stall *
task_log_stall_at(unsigned n)
{
	if (n >= MIN(nstalls, (uint64_t)TASK_LOG_MAX))
		return NULL;
	return &stalls[(nstalls - 1 - n) % TASK_LOG_MAX];
}

uint64_t
task_log_stalls(void)
{
	return nstalls;
}
