/*
 * writer: files for the thread, and what is to be written to them.
 *
 * Each file has two buffers: the loop fills one while the thread writes the other.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "writer_thread.h"

int
writer_open(struct event_base *base, const struct writer_conf *conf, int fd,
    struct writer_file **ret)
{
	struct writer_file *f = calloc(1, sizeof(*f));
	int r = -ENOMEM;

	if (f == NULL || (f->out.path = strdup(conf->path)) == NULL ||
	    (r = writer_start(base)) < 0) {
		if (f != NULL)
			free(f->out.path);
		free(f);
		if (fd >= 0)
			close(fd);
		return r;
	}
	f->out.conf = *conf;
	f->out.conf.path = f->out.path;
	f->size = conf->size;
	f->files = conf->files;
	f->out.fd = -1;
	if (fd >= 0 && (r = record_file_use(&f->out, fd)) < 0) {
		writer_file_free(f);
		writer_finish();
		return r;
	}
	f->stats.size = f->out.now.size = f->out.at;
	f->stats.begun = f->out.now.begun;
	writer_lock();
	writer_add(f);
	/* An error is reported before the first record. */
	f->reopen = f->out.fd < 0;
	writer_unlock_and_wake(f->reopen);
	*ret = f;
	return 0;
}

/* Enlarges a buffer for that many bytes in all, of at most limit, unless it is empty. */
static bool
reserve(struct record_buffer *b, size_t len, size_t limit)
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
	writer_lock();
	fits = !f->close &&
	    reserve(
		&f->fill, f->fill.len + sizeof(head) + len, f->out.conf.limit);
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
		f->stats.missing += f->stats.error != 0;
		f->stats.skipped_bytes += len;
	}
	writer_unlock_and_wake(!fits || f->fill.len > f->out.conf.limit / 2);
	return fits;
}

void
writer_reopen(struct writer_file *f)
{
	writer_lock();
	f->reopen = true;
	writer_unlock_and_wake(true);
}

void
writer_resize(struct writer_file *f, uint64_t size, unsigned files)
{
	writer_lock();
	f->size = size;
	f->files = files;
	writer_unlock();
}

void
writer_close(struct writer_file *f)
{
	writer_lock();
	f->close = true;
	writer_unlock_and_wake(true);
}

void
writer_get(const struct writer_file *f, struct writer_stats *ret)
{
	writer_lock();
	*ret = f->stats;
	writer_unlock();
}

const char *
writer_error(int error)
{
	switch (error) {
	case EBUSY:
		return "it, or a file that it would replace, is being written"
		       " by another log, a capture or another process";
	case EINVAL:
	case ENXIO:
		return "it is not a file";
	default:
		return strerror(error);
	}
}
