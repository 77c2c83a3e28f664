/*
 * writer: one thread that writes files, so that a slow disk does not delay the event loop.
 *
 * A file is a sequence of records, each of which is written whole or not at all.  They are
 * copied to a buffer of limited size, which the thread writes within a moment; a record for
 * which there is no room is skipped and counted.  The thread runs while a file or
 * job is open.  It notifies the loop through an eventfd.  All functions are called in the loop.
 *
 * The thread also does jobs of others, one at a time (struct writer_job).
 *
 * A file that would exceed its size is renamed to PATH.1, after PATH.1 to PATH.2 and so on,
 * and a new one is begun.
 *
 * No two of them write the same file, in this process or in others: each is locked, and
 * opening or replacing one that is locked is an error, EBUSY.
 */
#ifndef WRITER_H
#define WRITER_H

#include <sys/queue.h>
#include <sys/uio.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_base;
struct writer_file;

/* The maximum number of files of a ring. */
#define WRITER_FILES_MAX 1000

struct writer_conf {
	const char *path;
	uint64_t size;	/* bytes per file, 0: no limit */
	unsigned files; /* how many are kept, 0: as 1; 1: the file is emptied */
	size_t limit;	/* bytes that may wait to be written */
	/* At the beginning of each file; not copied. */
	const void *head;
	size_t head_len;
	/*
	 * A log: records are appended to a file that exists, and an error costs only the
	 * records that cannot be written.  Otherwise nothing is written after an error.
	 */
	bool log;
	/* In the loop, after an error, or after records were written again. */
	void (*changed)(void *arg);
	/* In the loop, after everything is written; the file is freed afterwards. */
	void (*closed)(void *arg);
	void *arg;
};

struct writer_stats {
	uint64_t records, bytes; /* written, without heads */
	uint64_t size;		 /* of the file that is being written */
	uint64_t begun;		 /* number of files */
	uint64_t skipped, skipped_bytes;
	uint64_t missing; /* skipped in the last outage, or the present one */
	size_t waiting;	  /* bytes */
	int error;	  /* the last write or open failed: errno */
};

/*
 * Starts to write to that descriptor, an empty file, of which it takes ownership; -1: the
 * thread opens the path.  -errno.
 */
int writer_open(struct event_base *base, const struct writer_conf *conf, int fd,
    struct writer_file **ret);
/* Appends a record; false: skipped. */
bool writer_put(
    struct writer_file *f, const struct iovec *part, unsigned nparts);
/* Opens the path again before the next record: the file may have been renamed. */
void writer_reopen(struct writer_file *f);
/* For the following records. */
void writer_resize(struct writer_file *f, uint64_t size, unsigned files);
/* Closes the file once all is written; closed() is called. */
void writer_close(struct writer_file *f);
void writer_get(const struct writer_file *f, struct writer_stats *ret);
/* What is wrong with a file, in words. */
const char *writer_error(int error);

/* --- other work on files -------------------------------------------------- */

/*
 * Work that the thread does when it is asked to.  While it is asked for or being done, the
 * loop must not use what run() uses.
 */
struct writer_job {
	TAILQ_ENTRY(writer_job) entry;
	void (*run)(struct writer_job *); /* in the thread */
	void (*done)(
	    struct writer_job *); /* afterwards, in the loop; may close it */
	bool wanted, running, ran;
};

/* The other members must be zero.  -errno. */
int writer_job_open(struct event_base *base, struct writer_job *job);
/* Calls run() once; urgent: without the pause that collects work.  The job must not be
 * busy. */
void writer_job_start(struct writer_job *job, bool urgent);
/* It was started, and is urgent now. */
void writer_job_hurry(struct writer_job *job);
/* If it was started, waits for its end; done() is not called for that run any more. */
void writer_job_wait(struct writer_job *job);
/* The same, and the job is not used any more. */
void writer_job_close(struct writer_job *job);

/* Waits until all that was put is written, all jobs are done, and ends the thread until it is
 * needed again. */
void writer_join(void);

#endif
