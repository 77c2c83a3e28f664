/*
 * worker: a thread for one job that would block the event loop.
 *
 * The job must not use anything that the loop uses meanwhile.
 */
#ifndef WORKER_H
#define WORKER_H

#include <pthread.h>
#include <stdbool.h>

struct event;
struct event_base;

struct worker {
	pthread_t thread;
	int fd; /* becomes readable when the job is done */
	struct event *event;
	bool busy;
	void (*run)(void *arg); /* in the thread */
	void (*done)(
	    void *arg); /* afterwards, in the loop; may start the next job */
	void *arg;
};

/* Starts the job given by run, done and arg; w must not be busy.  -errno. */
int worker_start(struct worker *w, struct event_base *base);
/* If w is busy, waits for the end of the job and calls done. */
void worker_wait(struct worker *w);

#endif
