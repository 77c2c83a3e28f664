/*
 * spool_parts: the parts of a spool: its segments and its ledger.
 */
#ifndef SPOOL_PARTS_H
#define SPOOL_PARTS_H

#include <sys/queue.h>

#include "spool.h"

#define SEGMENT_SUFFIX ".seg"
/* How many full segments may be synced later. */
#define SPOOL_LATE 8
/* 16 digits and the suffix. */
#define SEGMENT_NAME 24

struct segment {
	TAILQ_ENTRY(segment) entry;
	uint64_t first; /* number of the first frame */
	uint64_t size;	/* of the file */
};
TAILQ_HEAD(segments, segment);

/* What a header says. */
struct segment_head {
	uint64_t first, bytes;
};

void segment_name(uint64_t first, char *buf, size_t size);
/* The number in the name of a file; false: it is not that of a segment. */
bool segment_number(const char *name, uint64_t *ret);
void segment_head_encode(const struct segment_head *head, uint8_t *to);
bool segment_head_decode(const uint8_t *at, struct segment_head *ret);

/* Sets number and CRC of an encoded record. */
void record_seal(uint8_t *record, uint64_t number);
/* The length of the record that begins with this head, or 0 if it cannot be one. */
size_t record_length(const uint8_t *head);
/*
 * Enlarges a buffer that begins with a head to the size of the record.  -EINVAL: that is not
 * larger, or the head is not valid; -ENOMEM.
 */
int record_enlarge(uint8_t **buf, size_t *size);
size_t record_payload(const uint8_t *head);
uint64_t record_time(const uint8_t *head);
/* Whether the bytes begin with the whole valid record of that number. */
bool record_valid(const uint8_t *at, size_t len, uint64_t number);

/* A walk through the valid records of a segment from the beginning. */
struct scan {
	int fd;
	uint64_t number;  /* of the next record */
	uint64_t at;	  /* where it begins */
	uint64_t bytes;	  /* payload before it */
	uint64_t time_ns; /* of the last one */
};
/*
 * Reads the header and skips valid records until the number is reached or there is no other
 * one.  -EINVAL: it is no segment with that first number; -errno.
 */
int segment_scan(struct scan *scan, int fd, uint64_t first, uint64_t until);

struct ledger {
	int fd; /* -1: not open */
	/* As of the last slot that was written. */
	uint64_t generation, number;
	unsigned slot;
};

/* Reads the slots; false: none is valid. */
bool ledger_decode(const uint8_t *at, size_t len, struct ledger *ret);
/*
 * Opens or creates the ledger in the directory.  *ret_lost: it existed and was not valid.
 * -errno.
 */
int ledger_open(
    struct ledger *ledger, int directory, bool read_only, bool *ret_lost);
/* Writes the number; sync: it is on the disk afterwards. */
int ledger_write(struct ledger *ledger, uint64_t number, bool sync);
void ledger_close(struct ledger *ledger);

struct spool {
	struct spool_conf conf;
	int directory, lock; /* -1: not open */
	struct segments segments;
	struct segment
	    *last; /* that is appended to, NULL: the next one is new */
	int last_fd;
	/* With SPOOL_SYNC_TIMED: full segments, and names, that are not synced yet. */
	int late[SPOOL_LATE];
	unsigned nlate;
	bool names_late;
	struct ledger ledger;
	/* Reading. */
	struct segment *reading; /* NULL: at the end, or to be found */
	int read_fd;
	uint64_t read_at; /* offset of the next record */
	uint64_t
	    read_since; /* bytes that were read since the ledger was written */
	struct spool_stats now;
};

/* --- segments of a spool (spool_segments.c) -------------------------------- */

/* Lists the segments in the directory, and removes what was left of a new one. */
int segments_list(struct spool *s, struct error *err);
/* Opens a segment for reading, or for both. */
int segment_open(
    const struct spool *s, const struct segment *segment, int flags);
/* Adds a segment, the last one, which begins with the next frame. */
int segment_add(struct spool *s);
/* Removes the file; the segment is freed. */
int segment_remove(struct spool *s, struct segment *segment);
/* Renames the file to NAME.damaged; the segment is freed. */
int segment_set_aside(struct spool *s, struct segment *segment);
/* The number after the last frame of a segment. */
uint64_t segment_end(const struct spool *s, const struct segment *segment);

/* Reads or writes all bytes at the position.  Returns the number read; -errno. */
ssize_t read_at(int fd, uint8_t *buf, size_t len, uint64_t at);
int write_at(int fd, const uint8_t *data, size_t len, uint64_t at);

uint64_t get_le(const uint8_t *at, unsigned size);
void put_le(uint8_t *at, uint64_t n, unsigned size);

#endif
