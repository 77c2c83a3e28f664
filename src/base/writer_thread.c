/*
 * writer_thread: the thread for all work on files.
 *
 * A mutex protects what it and the loop use; it is not held during a system call on a file.
 */
#include <sys/eventfd.h>
#include <sys/queue.h>

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "stats.h"
#include "util.h"
#include "writer_thread.h"

/* The thread pauses after it has written, so that many records are written at once. */
#define PAUSE_NS (50 * NSEC_PER_MSEC)
/* A buffer that has become larger is freed when it is empty. */
#define BUFFER_KEPT (64 * 1024)

static struct {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	pthread_cond_t job_done;
	bool running, ending;
	bool waiting; /* the thread waits for work without a time limit */
	bool urgent;  /* the thread does not pause */
	TAILQ_HEAD(, writer_file) files;
	TAILQ_HEAD(, writer_job) jobs;
	int fd; /* the eventfd */
	struct event *event;
	struct event_base *base;
	struct task task;
} writer = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.job_done = PTHREAD_COND_INITIALIZER,
	.files = TAILQ_HEAD_INITIALIZER(writer.files),
	.jobs = TAILQ_HEAD_INITIALIZER(writer.jobs),
	.fd = -1,
};

void
writer_lock(void)
{
	pthread_mutex_lock(&writer.mutex);
}

void
writer_unlock(void)
{
	pthread_mutex_unlock(&writer.mutex);
}

void
writer_add(struct writer_file *f)
{
	TAILQ_INSERT_TAIL(&writer.files, f, entry);
}

/* --- the thread -------------------------------------------------------------- */

static bool
has_work(const struct writer_file *f)
{
	return !f->closed && (f->fill.len > 0 || f->reopen || f->close);
}

/* Exchanges the buffers; with the mutex. */
static void
take(struct writer_file *f)
{
	struct record_buffer b = f->out.drain;

	f->out.drain = f->fill;
	f->fill = b;
	f->out.max_size = f->size;
	f->out.max_files = f->files;
}

/* Publishes what the thread has done; with the mutex. */
static void
publish(struct writer_file *f, bool last)
{
	struct writer_stats *s = &f->stats;

	/* An outage that the loop has not been told of counts as one with the next. */
	if (s->error == 0 && f->out.now.error != 0 && !f->changed)
		s->missing = 0;
	f->changed |= s->error != f->out.now.error || last;
	s->records = f->out.now.records;
	s->bytes = f->out.now.bytes;
	s->size = f->out.now.size;
	s->begun = f->out.now.begun;
	s->skipped += f->out.now.skipped;
	s->missing += f->out.now.skipped;
	s->skipped_bytes += f->out.now.skipped_bytes;
	s->error = f->out.now.error;
	s->waiting = f->fill.len;
	f->out.now.skipped = f->out.now.skipped_bytes = 0;
	f->closed |= last;
}

static void
notify(void)
{
	uint64_t one = 1;

	(void)!write(writer.fd, &one, sizeof(one));
}

/* Does the work for one file; with the mutex, which is released meanwhile. */
static void
work(struct writer_file *f)
{
	bool reopen = f->reopen, last = f->close;

	take(f);
	f->reopen = false;
	pthread_mutex_unlock(&writer.mutex);
	record_file_write(&f->out, reopen, last);
	if (f->out.drain.size > BUFFER_KEPT) {
		free(f->out.drain.data);
		memset(&f->out.drain, 0, sizeof(f->out.drain));
	}
	pthread_mutex_lock(&writer.mutex);
	publish(f, last);
	if (f->changed)
		notify();
}

/* Closes what is to be closed; with the mutex, which is released meanwhile. */
static void
close_files(void)
{
	struct writer_file *f;

	TAILQ_FOREACH(f, &writer.files, entry)
		if (f->close && !f->closed)
			work(f);
}

/* Does the jobs that are wanted; with the mutex, which is released meanwhile. */
static bool
do_jobs(void)
{
	struct writer_job *job;
	bool did = false;

	TAILQ_FOREACH(job, &writer.jobs, entry) {
		if (!job->wanted)
			continue;
		did = true;
		job->wanted = false;
		job->running = true;
		pthread_mutex_unlock(&writer.mutex);
		job->run(job);
		pthread_mutex_lock(&writer.mutex);
		job->running = false;
		job->ran = true;
		pthread_cond_broadcast(&writer.job_done);
		notify();
	}
	return did;
}

/* Writes what there is; with the mutex, which is released meanwhile. */
static bool
write_files(void)
{
	struct writer_file *f;
	bool did = false;

	TAILQ_FOREACH(f, &writer.files, entry) {
		if (!has_work(f))
			continue;
		did = true;
		/* The same file may be closed for one user and opened for the next. */
		if (f->reopen && !f->close)
			close_files();
		work(f);
	}
	return did;
}

/* Does all the work there is. */
static bool
pass(void)
{
	bool wrote = write_files();

	return do_jobs() || wrote;
}

static void
pause_thread(void)
{
	struct timespec until;
	uint64_t at = now_ns() + PAUSE_NS;

	until.tv_sec = (time_t)(at / NSEC_PER_SEC);
	until.tv_nsec = (long)(at % NSEC_PER_SEC);
	while (!writer.urgent && !writer.ending)
		if (pthread_cond_timedwait(
			&writer.work, &writer.mutex, &until) == ETIMEDOUT)
			break;
	writer.urgent = false;
}

static void *
run(void *arg)
{
	(void)arg;
	pthread_mutex_lock(&writer.mutex);
	for (;;) {
		if (pass()) {
			pause_thread();
			continue;
		}
		if (writer.ending)
			break;
		writer.waiting = true;
		pthread_cond_wait(&writer.work, &writer.mutex);
		writer.waiting = false;
	}
	pthread_mutex_unlock(&writer.mutex);
	return NULL;
}

/* --- the loop ---------------------------------------------------------------- */

/* Waits for the end of the thread, which first writes everything. */
static void
join(void)
{
	if (!writer.running)
		return;
	pthread_mutex_lock(&writer.mutex);
	writer.ending = true;
	pthread_cond_signal(&writer.work);
	pthread_mutex_unlock(&writer.mutex);
	pthread_join(writer.thread, NULL);
	writer.running = writer.ending = writer.urgent = false;
	pthread_cond_destroy(&writer.work);
}

static void
label(const struct task *task, char *buf, size_t size)
{
	struct writer_file *f;
	struct writer_job *job;
	unsigned n = 0, jobs = 0;
	size_t waiting = 0;
	char much[24];

	(void)task;
	TAILQ_FOREACH(job, &writer.jobs, entry)
		jobs++;
	pthread_mutex_lock(&writer.mutex);
	TAILQ_FOREACH(f, &writer.files, entry) {
		n++;
		waiting += f->stats.waiting;
	}
	pthread_mutex_unlock(&writer.mutex);
	snprintf(buf, size,
	    "the thread that writes %u file%s (%s bytes to write)", n,
	    n == 1 ? "" : "s", format_size(waiting, much, sizeof(much)));
	if (jobs > 0)
		append(
		    buf, size, " and %u spool%s", jobs, jobs == 1 ? "" : "s");
}

void
writer_file_free(struct writer_file *f)
{
	record_file_close(&f->out);
	free(f->fill.data);
	free(f->out.drain.data);
	free(f->out.path);
	free(f);
}

/* Ends what is needed only while a file is open. */
static void
finish(void)
{
	join();
	task_remove(&writer.task);
	event_free(writer.event);
	close(writer.fd);
	writer.event = NULL;
	writer.fd = -1;
}

/* The next file with news, and what these are; NULL: none. */
static struct writer_file *
next_news(bool *ret_closed)
{
	struct writer_file *f;

	pthread_mutex_lock(&writer.mutex);
	TAILQ_FOREACH(f, &writer.files, entry)
		if (f->changed)
			break;
	if (f != NULL) {
		f->changed = false;
		*ret_closed = f->closed;
	}
	pthread_mutex_unlock(&writer.mutex);
	return f;
}

/* The next job that was done, NULL: none. */
static struct writer_job *
next_job(void)
{
	struct writer_job *job;

	pthread_mutex_lock(&writer.mutex);
	TAILQ_FOREACH(job, &writer.jobs, entry)
		if (job->ran)
			break;
	if (job != NULL)
		job->ran = false;
	pthread_mutex_unlock(&writer.mutex);
	return job;
}

/* Ends the thread if it is not needed any more. */
void
writer_finish(void)
{
	if (TAILQ_EMPTY(&writer.files) && TAILQ_EMPTY(&writer.jobs) &&
	    writer.event != NULL)
		finish();
}

/* Calls the functions of files and jobs with news; they may open and close others. */
static void
tell(void)
{
	struct writer_file *f;
	struct writer_job *job;
	bool closed;

	while ((job = next_job()) != NULL)
		job->done(job);

	while ((f = next_news(&closed)) != NULL) {
		if (f->out.conf.changed != NULL)
			f->out.conf.changed(f->out.conf.arg);
		if (!closed)
			continue;
		if (f->out.conf.closed != NULL)
			f->out.conf.closed(f->out.conf.arg);
		pthread_mutex_lock(&writer.mutex);
		TAILQ_REMOVE(&writer.files, f, entry);
		pthread_mutex_unlock(&writer.mutex);
		writer_file_free(f);
	}
	writer_finish();
}

static void
on_event(evutil_socket_t fd, short what, void *arg)
{
	uint64_t n;

	(void)what, (void)arg;
	task_begin(&writer.task);
	(void)!read(fd, &n, sizeof(n));
	TASK_WAIT(&writer.task);
	task_end(&writer.task);
	tell();
}

static int
start_thread(void)
{
	pthread_condattr_t attr;
	int r;

	if (writer.running)
		return 0;
	pthread_condattr_init(&attr);
	pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
	r = -pthread_cond_init(&writer.work, &attr);
	pthread_condattr_destroy(&attr);
	if (r < 0)
		return r;
	if ((r = -pthread_create(&writer.thread, NULL, run, NULL)) < 0)
		pthread_cond_destroy(&writer.work);
	writer.running = r == 0;
	return r;
}

int
writer_start(struct event_base *base)
{
	int r;

	if (writer.event != NULL)
		return start_thread();
	if ((writer.fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
		return -errno;
	writer.event =
	    event_new(base, writer.fd, EV_READ | EV_PERSIST, on_event, NULL);
	if (writer.event == NULL || event_add(writer.event, NULL) < 0)
		r = -ENOMEM;
	else
		r = start_thread();
	if (r < 0) {
		if (writer.event != NULL)
			event_free(writer.event);
		close(writer.fd);
		writer.event = NULL;
		writer.fd = -1;
		return r;
	}
	task_add(&writer.task, NULL, label, "daemon.files");
	TASK_WAIT(&writer.task);
	return 0;
}

void
writer_unlock_and_wake(bool urgent)
{
	bool wake;

	if (!writer.running)
		start_thread();
	if (urgent)
		writer.urgent = true;
	wake = writer.running && (urgent || writer.waiting);
	pthread_mutex_unlock(&writer.mutex);
	/* Before that the thread would wake up only to wait for the mutex. */
	if (wake)
		pthread_cond_signal(&writer.work);
}

/* --- jobs -------------------------------------------------------------------- */

int
writer_job_open(struct event_base *base, struct writer_job *job)
{
	int r = writer_start(base);

	if (r < 0)
		return r;
	pthread_mutex_lock(&writer.mutex);
	TAILQ_INSERT_TAIL(&writer.jobs, job, entry);
	pthread_mutex_unlock(&writer.mutex);
	return 0;
}

void
writer_job_start(struct writer_job *job, bool urgent)
{
	pthread_mutex_lock(&writer.mutex);
	job->wanted = true;
	writer_unlock_and_wake(urgent);
}

void
writer_job_hurry(struct writer_job *job)
{
	pthread_mutex_lock(&writer.mutex);
	if (job->wanted && !writer.urgent)
		writer_unlock_and_wake(true);
	else
		pthread_mutex_unlock(&writer.mutex);
}

void
writer_job_wait(struct writer_job *job)
{
	writer_job_hurry(job);
	pthread_mutex_lock(&writer.mutex);
	while (writer.running && (job->wanted || job->running))
		pthread_cond_wait(&writer.job_done, &writer.mutex);
	job->ran = false;
	pthread_mutex_unlock(&writer.mutex);
	/* There is no thread. */
	if (job->wanted) {
		job->wanted = false;
		job->run(job);
	}
}

void
writer_job_close(struct writer_job *job)
{
	writer_job_wait(job);
	pthread_mutex_lock(&writer.mutex);
	TAILQ_REMOVE(&writer.jobs, job, entry);
	pthread_mutex_unlock(&writer.mutex);
	writer_finish();
}

void
writer_join(void)
{
	join();
	tell();
}
