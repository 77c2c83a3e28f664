/*
 * spool_segment: the format of segments and of the records in them.
 */
#include <sys/types.h>

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checksum.h"
#include "spool_parts.h"

#define SEGMENT_MAGIC "TTYBSEG1"
/* What is read at a time. */
#define SCAN_SIZE ((size_t)256 * 1024)

uint64_t
get_le(const uint8_t *at, unsigned size)
{
	uint64_t n = 0;

	memcpy(&n, at, size);
	return le64toh(n);
}

void
put_le(uint8_t *at, uint64_t n, unsigned size)
{
	n = htole64(n);
	memcpy(at, &n, size);
}

ssize_t
read_at(int fd, uint8_t *buf, size_t len, uint64_t at)
{
	size_t done = 0;
	ssize_t n;

	while (done < len) {
		n = pread(fd, buf + done, len - done, (off_t)(at + done));
		if (n == 0)
			break;
		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return -errno;
		done += (size_t)n;
	}
	return (ssize_t)done;
}

int
write_at(int fd, const uint8_t *data, size_t len, uint64_t at)
{
	ssize_t n;

	while (len > 0) {
		if ((n = pwrite(fd, data, len, (off_t)at)) < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		data += n;
		at += (uint64_t)n;
		len -= (size_t)n;
	}
	return 0;
}

/* --- names and headers --------------------------------------------------- */

void
segment_name(uint64_t first, char *buf, size_t size)
{
	snprintf(buf, size, "%016" PRIx64 SEGMENT_SUFFIX, first);
}

bool
segment_number(const char *name, uint64_t *ret)
{
	char again[SEGMENT_NAME];

	if (strlen(name) != 16 + strlen(SEGMENT_SUFFIX))
		return false;
	*ret = strtoull(name, NULL, 16);
	segment_name(*ret, again, sizeof(again));
	return *ret > 0 && strcmp(name, again) == 0;
}

void
segment_head_encode(const struct segment_head *head, uint8_t *to)
{
	memset(to, 0, SPOOL_HEAD);
	memcpy(to, SEGMENT_MAGIC, 8);
	put_le(to + 8, head->first, 8);
	put_le(to + 16, head->bytes, 8);
	put_le(to + 28, crc32_ieee(0, to, 28), 4);
}

bool
segment_head_decode(const uint8_t *at, struct segment_head *ret)
{
	ret->first = get_le(at + 8, 8);
	ret->bytes = get_le(at + 16, 8);
	return memcmp(at, SEGMENT_MAGIC, 8) == 0 &&
	    get_le(at + 28, 4) == crc32_ieee(0, at, 28);
}

/* --- records ------------------------------------------------------------- */

size_t
spool_size(const struct spool_record *r)
{
	return SPOOL_HEAD + r->route_len + r->meta_len + r->body_len;
}

static uint8_t *
put_bytes(uint8_t *to, const void *data, size_t len)
{
	if (len > 0)
		memcpy(to, data, len);
	return to + len;
}

void
spool_encode(const struct spool_record *r, uint8_t *to)
{
	put_le(to, 0, 4);
	put_le(to + 4, r->route_len + r->meta_len + r->body_len, 4);
	put_le(to + 8, 0, 8);
	put_le(to + 16, r->time_ns, 8);
	to[24] = (uint8_t)r->route_len;
	to[25] = r->flags;
	put_le(to + 26, r->meta_len, 2);
	put_le(to + 28, r->payload_len, 4);
	to = put_bytes(to + SPOOL_HEAD, r->route, r->route_len);
	to = put_bytes(to, r->meta, r->meta_len);
	put_bytes(to, r->body, r->body_len);
}

void
record_seal(uint8_t *record, uint64_t number)
{
	put_le(record + 8, number, 8);
	put_le(record,
	    crc32_ieee(0, record + 4, SPOOL_HEAD - 4 + get_le(record + 4, 4)),
	    4);
}

size_t
record_length(const uint8_t *head)
{
	size_t len = get_le(head + 4, 4), meta = get_le(head + 26, 2);
	size_t named = head[24] + meta;

	if (len > SPOOL_BODY_MAX || named > len || meta > SPOOL_META_MAX ||
	    get_le(head + 28, 4) > len - named)
		return 0;
	return SPOOL_HEAD + len;
}

int
record_enlarge(uint8_t **buf, size_t *size)
{
	size_t need = record_length(*buf);
	uint8_t *more;

	if (need <= *size)
		return -EINVAL;
	if ((more = realloc(*buf, need)) == NULL)
		return -ENOMEM;
	*buf = more;
	*size = need;
	return 0;
}

size_t
record_payload(const uint8_t *head)
{
	return get_le(head + 28, 4);
}

uint64_t
record_time(const uint8_t *head)
{
	return get_le(head + 16, 8);
}

bool
record_valid(const uint8_t *at, size_t len, uint64_t number)
{
	size_t size;

	if (len < SPOOL_HEAD || (size = record_length(at)) == 0 || size > len)
		return false;
	return get_le(at + 8, 8) == number &&
	    get_le(at, 4) == crc32_ieee(0, at + 4, size - 4);
}

bool
spool_decode(
    const uint8_t *data, size_t len, size_t *at, struct spool_record *ret)
{
	const uint8_t *p = data + *at;
	size_t size;

	if (len - *at < SPOOL_HEAD || (size = record_length(p)) == 0 ||
	    size > len - *at)
		return false;
	ret->number = get_le(p + 8, 8);
	ret->time_ns = record_time(p);
	ret->route_len = p[24];
	ret->flags = p[25];
	ret->meta_len = get_le(p + 26, 2);
	ret->payload_len = record_payload(p);
	ret->route = (const char *)p + SPOOL_HEAD;
	ret->meta = p + SPOOL_HEAD + ret->route_len;
	ret->body = ret->meta + ret->meta_len;
	ret->body_len = size - (size_t)(ret->body - p);
	*at += size;
	return true;
}

const uint8_t *
spool_payload(const struct spool_record *r)
{
	size_t wire, offset;

	if (!(r->flags & SPOOL_SPELLED))
		return r->body_len == r->payload_len ? r->body : NULL;
	if (r->body_len < SPOOL_SPELLING)
		return NULL;
	wire = get_le(r->body + 4, 4);
	offset = get_le(r->body + 8, 4);
	if (wire == 0 || wire > r->body_len - SPOOL_SPELLING)
		return NULL;
	if (offset == UINT32_MAX)
		return r->payload_len == r->body_len - SPOOL_SPELLING - wire
		    ? r->body + SPOOL_SPELLING + wire
		    : NULL;
	return offset <= wire && r->payload_len <= wire - offset
	    ? r->body + SPOOL_SPELLING + offset
	    : NULL;
}

/* --- walking through a segment ------------------------------------------- */

/* Skips the valid records in the buffer; returns the bytes that were skipped. */
static size_t
skip(struct scan *scan, const uint8_t *buf, size_t len, uint64_t until)
{
	size_t at = 0;

	while (scan->number < until &&
	    record_valid(buf + at, len - at, scan->number)) {
		scan->number++;
		scan->bytes += record_payload(buf + at);
		scan->time_ns = record_time(buf + at);
		at += record_length(buf + at);
	}
	scan->at += at;
	return at;
}

static int
skip_all(struct scan *scan, uint64_t until)
{
	size_t size = SCAN_SIZE;
	uint8_t *buf = malloc(size);
	ssize_t n;
	int r = buf == NULL ? -ENOMEM : 0;

	while (r == 0 && scan->number < until) {
		if ((n = read_at(scan->fd, buf, size, scan->at)) < 0)
			r = (int)n;
		else if (n > 0 && skip(scan, buf, (size_t)n, until) > 0)
			continue;
		else if ((size_t)n < size)
			break;
		else
			r = record_enlarge(&buf, &size);
	}
	free(buf);
	return r == -EINVAL ? 0 : r;
}

int
segment_scan(struct scan *scan, int fd, uint64_t first, uint64_t until)
{
	uint8_t buf[SPOOL_HEAD];
	struct segment_head head;
	ssize_t n = read_at(fd, buf, sizeof(buf), 0);

	if (n < 0)
		return (int)n;
	if (n < SPOOL_HEAD || !segment_head_decode(buf, &head) ||
	    head.first != first)
		return -EINVAL;
	*scan = (struct scan){
		.fd = fd, .number = first, .at = SPOOL_HEAD, .bytes = head.bytes
	};
	return skip_all(scan, until);
}
