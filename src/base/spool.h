/*
 * spool: frames in files, in order, for one destination.
 *
 * A spool is a directory of its own with segments, a ledger and a lock:
 *
 *	0000000000000001.seg	frames from number 1 on
 *	00000000000009c4.seg	those from number 2500 on
 *	ledger			up to which number frames were delivered
 *	lock			locked while a process uses the spool
 *
 * Frames are numbered from 1.  They are appended to the last segment, which is followed by
 * another one when it is full.  A segment is removed when all its frames are delivered and
 * the ledger that says so is on the disk.  Numbers are little-endian.
 *
 * A segment is a header of 32 bytes and records.
 *
 *	 0  8  "TTYBSEG1"
 *	 8  8  number of its first frame
 *	16  8  payload bytes of all frames before it
 *	24  4  0
 *	28  4  CRC-32 of the bytes before
 *
 * A record is a head of 32 bytes, followed by the name of the route, metadata and body.
 *
 *	 0  4  CRC-32 of all that follows, to the end of the record
 *	 4  4  length of what follows the head
 *	 8  8  number of the frame
 *	16  8  time when it was received, in nanoseconds since 1970
 *	24  1  length of the name of the route, 0: none
 *	25  1  flags, see enum spool_flags
 *	26  2  length of the metadata, at most 512
 *	28  4  length of the payload
 *
 * The body is the payload or, with SPOOL_SPELLED, the frame as it was received: the id of its
 * framing, its length, and the offset of the payload in it (or 2^32 - 1: the payload follows
 * it), 4 bytes each, then the frame.
 *
 * The ledger has two slots of 32 bytes, at 0 and at 512, which are written in turn; the valid
 * one with the larger generation counts.
 *
 *	 0  8  "TTYBLED1"
 *	 8  8  generation
 *	16  8  number of the oldest frame that is not delivered
 *	24  4  0
 *	28  4  CRC-32 of the bytes before
 *
 * What a loss of power may leave: a segment appears under its name only after its header is
 * on the disk.  Its end may be missing or be garbage as far as it was not synced: it is cut
 * after the last valid record.  A segment before the last one that is damaged, or whose end is
 * missing, is used up to the damage, and the frames after that are counted.  Files that are no segments of this format are left alone, or set aside as
 * NAME.damaged if they have the name of one.
 *
 * Nothing here knows of ports or of the event loop.  All functions may block; a spool is used
 * by one thread at a time.
 */
#ifndef SPOOL_H
#define SPOOL_H

#include "error.h"

#define SPOOL_HEAD 32
#define SPOOL_META_MAX 512
#define SPOOL_SPELLING 12
#define SPOOL_ROUTE_MAX 255
/* The longest record without its head. */
#define SPOOL_BODY_MAX ((size_t)8 * 1024 * 1024)
/* The ledger is written before more bytes than these are read: that is what may be sent twice
 * after a crash. */
#define SPOOL_AHEAD ((uint64_t)1024 * 1024)

enum spool_sync {
	SPOOL_SYNC_ALWAYS, /* after each write */
	SPOOL_SYNC_TIMED,  /* by the caller, see spool_sync() */
	SPOOL_SYNC_NONE	   /* the kernel decides when */
};

enum spool_flags {
	SPOOL_SPELLED = 1 << 0 /* the body is the frame as received */
};

struct spool_record {
	uint64_t number;
	uint64_t time_ns;  /* since 1970 */
	const char *route; /* not NUL-terminated */
	size_t route_len;
	const uint8_t *meta;
	size_t meta_len;
	const uint8_t *body;
	size_t body_len;
	size_t payload_len;
	uint8_t flags;
};

struct spool_conf {
	const char *directory;
	uint64_t limit; /* bytes of all segments */
	enum spool_sync sync;
	bool read_only; /* nothing is locked, created or changed */
};

struct spool_stats {
	uint64_t first; /* the oldest frame that is not known to be delivered */
	uint64_t read;	/* the next one to be read */
	uint64_t next;	/* the next one to be appended */
	uint64_t read_bytes, next_bytes; /* payload before these */
	uint64_t size;			 /* of all segments */
	uint64_t segments;		 /* number */
	uint64_t damaged;		 /* frames that could not be read... */
	uint64_t expired;		 /* ...that were too old... */
	uint64_t cut;	    /* ...and bytes that were cut off at the start */
	uint64_t set_aside; /* number of files */
	uint64_t foreign;   /* files that do not belong to it */
	bool ledger_lost;   /* there was none that is valid */
	bool unsynced;	    /* there are frames that are not on the disk */
};

struct spool;

/*
 * Opens the spool; creates the directory, with mode 0700, if its parent exists.  -errno, with a
 * message: -EBUSY when another process uses it.
 */
int spool_open(
    const struct spool_conf *conf, struct spool **ret, struct error *err);
/* Does not write anything; NULL is allowed. */
void spool_free(struct spool *s);
void spool_get(const struct spool *s, struct spool_stats *ret);
void spool_set(struct spool *s, uint64_t limit, enum spool_sync sync);

/* The size of a record. */
size_t spool_size(const struct spool_record *r);
/* Writes a record with the number 0, which is valid only for spool_append(). */
void spool_encode(const struct spool_record *r, uint8_t *to);
/*
 * Reads the record at *at, of len bytes at most, which is not checked, and advances *at.
 * False: there is none.
 */
bool spool_decode(
    const uint8_t *data, size_t len, size_t *at, struct spool_record *ret);

/* The payload in the body of a record; NULL: it is not valid. */
const uint8_t *spool_payload(const struct spool_record *r);
/*
 * Numbers the encoded records, changes them accordingly, and appends them.  Returns 0 or
 * -errno; *ret_len: the bytes of the records that were appended, which are whole in any
 * case.
 */
int spool_append(struct spool *s, uint8_t *data, size_t len, size_t *ret_len);
/* All that was appended, and the ledger, are on the disk afterwards. */
int spool_sync(struct spool *s);
/*
 * Reads valid records, as many as fit into the buffer, which is enlarged if there is no room
 * for one, and allocated if its size is 0.  *ret_len is 0 at the end.  Frames that cannot be read are skipped and counted.
 * -errno.
 */
int spool_read(struct spool *s, uint8_t **buf, size_t *size, size_t *ret_len);
/* The next frame to be read is that number, which must not be lower than before or higher than
 * that of the next frame to be appended. */
void spool_skip(struct spool *s, uint64_t number);
/* All frames that are not delivered are read again. */
void spool_rewind(struct spool *s);
/* All frames before that number are delivered.  Has no effect if it is lower than before, or
 * higher than that of the next frame to be read. */
void spool_ack(struct spool *s, uint64_t number);
/* Writes the ledger if frames were delivered since; then removes segments. */
int spool_commit(struct spool *s);
/*
 * Makes room for len bytes by giving up the oldest segment, unless it is the only one; all
 * its frames count as delivered.  *ret_lost: how many were not read.  -errno: -ENOSPC if
 * there is no other segment.
 */
int spool_give_up(struct spool *s, uint64_t *ret_lost);
/* Gives up the segments whose newest frame was written before that time; *ret_lost as
 * above. */
int spool_expire(struct spool *s, uint64_t before_ns, uint64_t *ret_lost);
/* Gives up all frames. */
int spool_clear(struct spool *s, uint64_t *ret_lost);
/* Whether there is room for len bytes more. */
bool spool_fits(const struct spool *s, uint64_t len);

#endif
