/*
 * fuzz_spool: the segments and the ledger of a spool.
 *
 * The first byte of the input says which checksums are put right, so that the rest is looked at.
 * Then follow the two slots of the ledger and one or two segments.  Whatever is there, the spool
 * opens, what can be read comes in order, and what is appended after that is read again by the
 * next process.
 */
#include <sys/stat.h>

#include <dirent.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "spool_parts.h"

#define SLOT 32
#define FRAMES 3

enum right {
	RIGHT_LEDGER = 1 << 0,
	RIGHT_HEADS = 1 << 1,
	RIGHT_RECORDS = 1 << 2,
	TWO_SEGMENTS = 1 << 3
};

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static char directory[] = "/tmp/fuzz_spool.XXXXXX";
static bool made;

static void
insist(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz_spool: %s\n", what);
	abort();
}

/* Removes the files, and the directory. */
static void
clean(void)
{
	DIR *dir = opendir(directory);
	struct dirent *entry;

	while (dir != NULL && (entry = readdir(dir)) != NULL)
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir != NULL)
		closedir(dir);
	rmdir(directory);
}

static void
write_file(const char *name, size_t at, const uint8_t *data, size_t len)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	insist(fd >= 0 && pwrite(fd, data, len, (off_t)at) == (ssize_t)len,
	    "cannot write");
	close(fd);
}

/* Writes a slot of the ledger. */
static void
put_slot(unsigned i, const uint8_t *data, size_t len, uint8_t right)
{
	uint8_t slot[SLOT] = { 0 };

	memcpy(slot, data, len);
	if (right & RIGHT_LEDGER) {
		memcpy(slot, "TTYBLED1", 8);
		/* Numbers that a segment may have. */
		memset(slot + 17, 0, 7);
		put_le(slot + 28, crc32_ieee(0, slot, 28), 4);
	}
	write_file("ledger", i * 512, slot, SLOT);
}

/* Puts the checksums of records right, as long as their lengths are. */
static void
seal_records(uint8_t *data, size_t len, uint64_t first)
{
	size_t at = SPOOL_HEAD, each;

	while (at + SPOOL_HEAD <= len &&
	    (each = record_length(data + at)) > 0 && each <= len - at) {
		record_seal(data + at, first++);
		at += each;
	}
}

static void
put_segment(uint64_t first, const uint8_t *data, size_t len, uint8_t right)
{
	const struct segment_head head = { first, len };
	uint8_t *copy = malloc(len + SPOOL_HEAD);
	char name[SEGMENT_NAME];

	memcpy(copy, data, len);
	if ((right & RIGHT_HEADS) && len >= SPOOL_HEAD)
		segment_head_encode(&head, copy);
	if (right & RIGHT_RECORDS)
		seal_records(copy, len, first);
	segment_name(first, name, sizeof(name));
	write_file(name, 0, copy, len);
	free(copy);
}

static void
fill(const uint8_t *data, size_t len)
{
	uint8_t right = data[0];
	size_t half;

	data++;
	len--;
	for (unsigned i = 0; i < 2; i++) {
		half = MIN(len, (size_t)SLOT);
		put_slot(i, data, half, right);
		data += half;
		len -= half;
	}
	half = right & TWO_SEGMENTS ? len / 2 : len;
	put_segment(1, data, half, right);
	if (right & TWO_SEGMENTS)
		put_segment(5, data + half, len - half, right);
}

static struct spool *
open_it(void)
{
	const struct spool_conf conf = { .directory = directory,
		.limit = 64 * 1024,
		.sync = SPOOL_SYNC_NONE };
	struct spool *spool = NULL;
	struct spool_stats st;
	struct error err;

	insist(spool_open(&conf, &spool, &err) == 0, "does not open");
	spool_get(spool, &st);
	insist(st.first == st.read && st.read <= st.next && st.first > 0,
	    "wrong positions");
	return spool;
}

/* Reads all; returns the number of frames from that number on. */
static unsigned
read_all(struct spool *spool, uint64_t from)
{
	uint8_t *buf = NULL;
	size_t size = 0, len, at;
	struct spool_stats st;
	struct spool_record r;
	uint64_t last = 0;
	unsigned n = 0;

	do {
		insist(spool_read(spool, &buf, &size, &len) == 0, "no read");
		for (at = 0; spool_decode(buf, len, &at, &r); last = r.number) {
			insist(r.number > last, "out of order");
			spool_payload(&r);
			n += r.number >= from;
		}
		insist(at == len, "a record is not whole");
	} while (len > 0);
	free(buf);
	spool_get(spool, &st);
	insist(st.read == st.next && last < st.next, "not at the end");
	return n;
}

static uint64_t
append_frames(struct spool *spool)
{
	const struct spool_record r = { .body = (const uint8_t *)"frame",
		.body_len = 5,
		.payload_len = 5 };
	uint8_t data[64];
	struct spool_stats st;
	size_t done;

	spool_get(spool, &st);
	for (unsigned i = 0; i < FRAMES; i++) {
		spool_encode(&r, data);
		insist(spool_append(spool, data, spool_size(&r), &done) == 0,
		    "no append");
	}
	return st.next;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct spool *spool;
	uint64_t first;

	if (len < 1)
		return 0;
	if (!made) {
		insist(mkdtemp(directory) != NULL, "no directory");
		atexit(clean);
		made = true;
	}
	fill(data, len);
	spool = open_it();
	read_all(spool, 0);
	first = append_frames(spool);
	spool_free(spool);
	spool = open_it();
	insist(read_all(spool, first) == FRAMES, "appended frames are lost");
	spool_ack(spool, first);
	insist(spool_sync(spool) == 0, "no sync");
	spool_free(spool);
	spool = open_it();
	insist(read_all(spool, 0) == FRAMES, "a wrong first frame");
	spool_ack(spool, first + FRAMES);
	insist(spool_commit(spool) == 0, "no commit");
	spool_free(spool);
	clean();
	insist(mkdir(directory, 0700) == 0, "no directory");
	return 0;
}
