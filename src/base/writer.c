/*
 * writer: the thread for all output to files.
 *
 * Each file has two buffers: the loop fills one while the thread writes the other.  A mutex
 * protects what both use; it is not held during a system call on a file.  In a buffer, each
 * record is preceded by its length.
 */
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/queue.h>
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <event2/event.h>

#include "stats.h"
#include "util.h"
#include "writer.h"

/* The thread pauses after it has written, so that many records are written at once. */
#define PAUSE_NS (50 * NSEC_PER_MSEC)
/* A buffer that has become larger is freed when it is empty. */
#define BUFFER_KEPT (64 * 1024)
/* The records that are written with one call. */
#define RECORDS 256

struct buffer {
	uint8_t *data;
	size_t len, size;
};

struct writer_file {
	TAILQ_ENTRY(writer_file) entry;
	struct writer_conf conf;
	char *path;
	/* Of both, protected by the mutex. */
	struct buffer fill;
	struct writer_stats stats;
	uint64_t size;
	unsigned files;
	bool reopen, close;
	bool changed, closed; /* for the loop */
	/* Of the thread. */
	struct buffer drain;
	int fd;
	uint64_t at; /* the size of the file */
	dev_t device;
	ino_t inode;
	uint64_t max_size;
	unsigned max_files;
	struct writer_stats now; /* of the thread, to be published */
};

static struct {
	pthread_t thread;
	pthread_mutex_t mutex;
	pthread_cond_t work;
	bool running, ending;
	bool waiting; /* the thread waits for work without a time limit */
	bool urgent;  /* the thread does not pause */
	TAILQ_HEAD(, writer_file) files;
	int fd; /* the eventfd */
	struct event *event;
	struct event_base *base;
	struct task task;
} writer = {
	.mutex = PTHREAD_MUTEX_INITIALIZER,
	.files = TAILQ_HEAD_INITIALIZER(writer.files),
	.fd = -1,
};

/* --- the thread: one file --------------------------------------------------- */

static void
close_fd(struct writer_file *f)
{
	if (f->fd >= 0)
		close(f->fd);
	f->fd = -1;
}

/* Writes everything; -errno. */
static int
write_all(int fd, struct iovec *part, unsigned n)
{
	ssize_t done;

	while (n > 0) {
		if ((done = writev(fd, part, (int)n)) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		while (n > 0 && (size_t)done >= part->iov_len) {
			done -= (ssize_t)part->iov_len;
			part++;
			n--;
		}
		if (n > 0) {
			part->iov_base = (uint8_t *)part->iov_base + done;
			part->iov_len -= (size_t)done;
		}
	}
	return 0;
}

static int
write_head(struct writer_file *f)
{
	struct iovec head = { (void *)(uintptr_t)f->conf.head,
		f->conf.head_len };
	int r = 0;

	if (f->at == 0 && head.iov_len > 0)
		r = write_all(f->fd, &head, 1);
	if (r == 0 && f->at == 0)
		f->at = f->conf.head_len;
	return r;
}

/* Takes a descriptor that was opened. */
static int
use_fd(struct writer_file *f, int fd)
{
	struct stat st;

	f->fd = fd;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	f->device = st.st_dev;
	f->inode = st.st_ino;
	f->at = (uint64_t)st.st_size;
	f->now.begun += f->at == 0;
	/* Excludes other processes from a file that is not shared. */
	if (!f->conf.log && flock(fd, LOCK_EX | LOCK_NB) < 0)
		return -errno;
	return write_head(f);
}

static int
open_path(struct writer_file *f)
{
	int kind = f->conf.log ? O_APPEND : O_EXCL, fd, r;

	fd = open(f->path,
	    O_WRONLY | O_CREAT | O_NONBLOCK | O_NOCTTY | O_CLOEXEC | kind,
	    0640);
	if (fd < 0)
		return -errno;
	if ((r = use_fd(f, fd)) < 0)
		close_fd(f);
	return r;
}

/* Whether the path still is that of the file. */
static bool
is_own(const struct writer_file *f)
{
	struct stat st;

	return stat(f->path, &st) == 0 && st.st_dev == f->device &&
	    st.st_ino == f->inode;
}

/* Renames PATH to PATH.1, PATH.1 to PATH.2 and so on. */
static int
rename_files(const struct writer_file *f)
{
	char *from, *to;
	int r = 0;

	for (unsigned i = f->max_files - 1; i > 0 && r == 0; i--) {
		from = to = NULL;
		if (asprintf(&to, "%s.%u", f->path, i) < 0 ||
		    (i > 1 ? asprintf(&from, "%s.%u", f->path, i - 1)
			   : asprintf(&from, "%s", f->path)) < 0)
			r = -ENOMEM;
		else if (rename(from, to) < 0 && errno != ENOENT)
			r = -errno;
		free(from);
		free(to);
	}
	return r;
}

/* Begins the next file. */
static int
rotate(struct writer_file *f)
{
	int r;

	if (f->max_files <= 1) {
		if (ftruncate(f->fd, 0) < 0 || lseek(f->fd, 0, SEEK_SET) < 0)
			return -errno;
		f->at = 0;
		f->now.begun++;
		return write_head(f);
	}
	if (is_own(f) && (r = rename_files(f)) < 0)
		return r;
	close_fd(f);
	return open_path(f);
}

/* Removes the part of a record that was written. */
static void
cut(struct writer_file *f)
{
	if (ftruncate(f->fd, (off_t)f->at) == 0)
		lseek(f->fd, (off_t)f->at, SEEK_SET);
}

/* Writes records, the ends of which are in the file after an error, too. */
static int
write_records(struct writer_file *f, struct iovec *record, unsigned n)
{
	struct iovec copy[RECORDS];
	struct stat st;
	int r;

	memcpy(copy, record, n * sizeof(*copy));
	r = write_all(f->fd, copy, n);
	if (fstat(f->fd, &st) < 0)
		st.st_size = 0;
	for (unsigned i = 0; i < n; i++) {
		if (r < 0 && f->at + record[i].iov_len > (uint64_t)st.st_size)
			break;
		f->at += record[i].iov_len;
		f->now.records++;
		f->now.bytes += record[i].iov_len;
	}
	if (r < 0)
		cut(f);
	return r;
}

/* The records from *at on that belong into the current file; returns their number. */
static unsigned
collect(const struct writer_file *f, size_t *at, struct iovec *record)
{
	uint64_t size = f->at;
	unsigned n = 0;
	uint32_t len;

	while (*at < f->drain.len && n < RECORDS) {
		memcpy(&len, f->drain.data + *at, sizeof(len));
		if (f->max_size > 0 && size + len > f->max_size &&
		    size > f->conf.head_len)
			break;
		record[n].iov_base = f->drain.data + *at + sizeof(len);
		record[n++].iov_len = len;
		*at += sizeof(len) + len;
		size += len;
	}
	return n;
}

static int
write_drain(struct writer_file *f)
{
	struct iovec record[RECORDS];
	size_t at = 0;
	unsigned n;
	int r = 0;

	if (f->fd < 0)
		r = open_path(f);
	while (r == 0 && at < f->drain.len) {
		if ((n = collect(f, &at, record)) > 0)
			r = write_records(f, record, n);
		else
			r = rotate(f);
	}
	return r;
}

/* The number of records in a buffer, and their bytes. */
static uint64_t
count(const struct buffer *b, uint64_t *ret_bytes)
{
	uint64_t n = 0;
	uint32_t len;

	*ret_bytes = 0;
	for (size_t at = 0; at < b->len; at += sizeof(len) + len) {
		memcpy(&len, b->data + at, sizeof(len));
		*ret_bytes += len;
		n++;
	}
	return n;
}

/* Writes what the file has in drain. */
static void
work_on(struct writer_file *f, bool reopen, bool last)
{
	uint64_t records = f->now.records, bytes = f->now.bytes, n, all;
	int r;

	if (reopen)
		close_fd(f);
	if (f->conf.log || f->now.error == 0) {
		r = f->drain.len > 0 || reopen ? write_drain(f) : 0;
		if (f->drain.len > 0 || r < 0)
			f->now.error = -r;
	}
	n = count(&f->drain, &all);
	f->now.skipped += n - (f->now.records - records);
	f->now.skipped_bytes += all - (f->now.bytes - bytes);
	f->now.size = f->at;
	f->drain.len = 0;
	if (last)
		close_fd(f);
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
	struct buffer b = f->drain;

	f->drain = f->fill;
	f->fill = b;
	f->max_size = f->size;
	f->max_files = f->files;
}

/* Publishes what the thread has done; with the mutex. */
static void
publish(struct writer_file *f, bool last)
{
	struct writer_stats *s = &f->stats;

	f->changed |= s->error != f->now.error || last;
	s->records = f->now.records;
	s->bytes = f->now.bytes;
	s->size = f->now.size;
	s->begun = f->now.begun;
	s->skipped += f->now.skipped;
	s->skipped_bytes += f->now.skipped_bytes;
	s->error = f->now.error;
	s->waiting = f->fill.len;
	f->now.skipped = f->now.skipped_bytes = 0;
	f->closed |= last;
}

static void
notify(void)
{
	uint64_t one = 1;

	(void)!write(writer.fd, &one, sizeof(one));
}

/* Does all the work there is; with the mutex, which is released meanwhile. */
static bool
pass(void)
{
	struct writer_file *f;
	bool did = false, reopen, last;

	TAILQ_FOREACH(f, &writer.files, entry) {
		if (!has_work(f))
			continue;
		did = true;
		take(f);
		reopen = f->reopen;
		last = f->close;
		f->reopen = false;
		pthread_mutex_unlock(&writer.mutex);
		work_on(f, reopen, last);
		if (f->drain.size > BUFFER_KEPT) {
			free(f->drain.data);
			memset(&f->drain, 0, sizeof(f->drain));
		}
		pthread_mutex_lock(&writer.mutex);
		publish(f, last);
		if (f->changed)
			notify();
	}
	return did;
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
	unsigned n = 0;
	size_t waiting = 0;
	char much[24];

	(void)task;
	pthread_mutex_lock(&writer.mutex);
	TAILQ_FOREACH(f, &writer.files, entry) {
		n++;
		waiting += f->stats.waiting;
	}
	pthread_mutex_unlock(&writer.mutex);
	snprintf(buf, size, "the thread that writes %u file%s (%s to write)", n,
	    n == 1 ? "" : "s", format_size(waiting, much, sizeof(much)));
}

static void
file_free(struct writer_file *f)
{
	close_fd(f);
	free(f->fill.data);
	free(f->drain.data);
	free(f->path);
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

/* Calls the functions of files with news; they may open and close files. */
static void
tell(void)
{
	struct writer_file *f;
	bool closed;

	while ((f = next_news(&closed)) != NULL) {
		if (f->conf.changed != NULL)
			f->conf.changed(f->conf.arg);
		if (!closed)
			continue;
		if (f->conf.closed != NULL)
			f->conf.closed(f->conf.arg);
		pthread_mutex_lock(&writer.mutex);
		TAILQ_REMOVE(&writer.files, f, entry);
		pthread_mutex_unlock(&writer.mutex);
		file_free(f);
	}
	if (TAILQ_EMPTY(&writer.files) && writer.event != NULL)
		finish();
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

static int
start(struct event_base *base)
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

/* Wakes the thread; with the mutex. */
static void
wake(bool urgent)
{
	if (!writer.running)
		start_thread();
	if (urgent)
		writer.urgent = true;
	if (writer.running && (urgent || writer.waiting))
		pthread_cond_signal(&writer.work);
}

int
writer_open(struct event_base *base, const struct writer_conf *conf, int fd,
    struct writer_file **ret)
{
	struct writer_file *f = calloc(1, sizeof(*f));
	int r = -ENOMEM;

	if (f == NULL || (f->path = strdup(conf->path)) == NULL ||
	    (r = start(base)) < 0) {
		if (f != NULL)
			free(f->path);
		free(f);
		if (fd >= 0)
			close(fd);
		return r;
	}
	f->conf = *conf;
	f->conf.path = f->path;
	f->size = conf->size;
	f->files = conf->files;
	f->fd = -1;
	if (fd >= 0 && (r = use_fd(f, fd)) < 0) {
		file_free(f);
		if (TAILQ_EMPTY(&writer.files))
			finish();
		return r;
	}
	f->stats.size = f->now.size = f->at;
	f->stats.begun = f->now.begun;
	pthread_mutex_lock(&writer.mutex);
	TAILQ_INSERT_TAIL(&writer.files, f, entry);
	/* An error is reported before the first record. */
	f->reopen = f->fd < 0;
	wake(f->reopen);
	pthread_mutex_unlock(&writer.mutex);
	*ret = f;
	return 0;
}

/* Enlarges a buffer for that many bytes in all, of at most limit, unless it is empty. */
static bool
reserve(struct buffer *b, size_t len, size_t limit)
{
	size_t size = b->size > 0 ? b->size : 4096;
	uint8_t *data;

	if (b->len > 0 && len > limit)
		return false;
	if (len <= b->size)
		return true;
	while (size < len)
		size *= 2;
	if ((data = realloc(b->data, size)) == NULL)
		return false;
	b->data = data;
	b->size = size;
	return true;
}

bool
writer_put(struct writer_file *f, const struct iovec *part, unsigned nparts)
{
	size_t len = 0;
	uint32_t head;
	bool fits;

	for (unsigned i = 0; i < nparts; i++)
		len += part[i].iov_len;
	head = (uint32_t)len;
	pthread_mutex_lock(&writer.mutex);
	fits = !f->close &&
	    reserve(&f->fill, f->fill.len + sizeof(head) + len, f->conf.limit);
	if (fits) {
		memcpy(f->fill.data + f->fill.len, &head, sizeof(head));
		f->fill.len += sizeof(head);
		for (unsigned i = 0; i < nparts; i++) {
			memcpy(f->fill.data + f->fill.len, part[i].iov_base,
			    part[i].iov_len);
			f->fill.len += part[i].iov_len;
		}
		f->stats.waiting = f->fill.len;
	} else {
		f->stats.skipped++;
		f->stats.skipped_bytes += len;
	}
	wake(!fits || f->fill.len > f->conf.limit / 2);
	pthread_mutex_unlock(&writer.mutex);
	return fits;
}

void
writer_reopen(struct writer_file *f)
{
	pthread_mutex_lock(&writer.mutex);
	f->reopen = true;
	wake(true);
	pthread_mutex_unlock(&writer.mutex);
}

void
writer_resize(struct writer_file *f, uint64_t size, unsigned files)
{
	pthread_mutex_lock(&writer.mutex);
	f->size = size;
	f->files = files;
	pthread_mutex_unlock(&writer.mutex);
}

void
writer_close(struct writer_file *f)
{
	pthread_mutex_lock(&writer.mutex);
	f->close = true;
	wake(true);
	pthread_mutex_unlock(&writer.mutex);
}

void
writer_get(const struct writer_file *f, struct writer_stats *ret)
{
	pthread_mutex_lock(&writer.mutex);
	*ret = f->stats;
	pthread_mutex_unlock(&writer.mutex);
}

void
writer_join(void)
{
	join();
	tell();
}
