/*
 * writer_thread: the thread of the writer, for the functions that the loop calls.
 */
#ifndef WRITER_THREAD_H
#define WRITER_THREAD_H

#include "record_file.h"

struct writer_file {
	TAILQ_ENTRY(writer_file) entry;
	/* Of the thread, except conf, which does not change. */
	struct record_file out;
	/* Of both, protected by the mutex. */
	struct record_buffer fill;
	struct writer_stats stats;
	uint64_t size;
	unsigned files;
	bool reopen, close;
	bool changed, closed; /* for the loop */
};

/* Starts the thread, unless it runs.  -errno. */
int writer_start(struct event_base *base);
/* Ends it if there is no file and no job. */
void writer_finish(void);
/* Protect what the thread and the loop use. */
void writer_lock(void);
void writer_unlock(void);
/* The same when the thread has something to do; urgent: without the pause that collects work. */
void writer_unlock_and_wake(bool urgent);
/* With the lock: the thread has a file more. */
void writer_add(struct writer_file *f);
void writer_file_free(struct writer_file *f);

#endif
