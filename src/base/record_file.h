/*
 * record_file: what the thread of the writer does with one file.  Nothing here is protected by
 * a mutex.
 */
#ifndef RECORD_FILE_H
#define RECORD_FILE_H

#include <sys/types.h>

#include "writer.h"

/* Each record is preceded by its length, a uint32_t. */
struct record_buffer {
	uint8_t *data;
	size_t len, size;
};

struct record_file {
	struct writer_conf conf;
	char *path;
	struct record_buffer drain; /* the records to be written */
	int fd;			    /* -1: not open */
	uint64_t at;		    /* the size of the file */
	dev_t device;
	ino_t inode;
	uint64_t max_size;
	unsigned max_files;
	struct writer_stats now; /* skipped: since they were last published */
};

/* Takes a descriptor that was opened.  -errno. */
int record_file_use(struct record_file *f, int fd);
/*
 * Writes the records in drain and empties it.  reopen: opens the path again before; last:
 * closes the file afterwards.
 */
void record_file_write(struct record_file *f, bool reopen, bool last);
void record_file_close(struct record_file *f);
/* Whether a log or a capture, of this process or of another, is written to the file. */
bool record_file_is_written(const char *path);

#endif
