/*
 * packets: captures of frames.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "packets.h"
#include "pdu.h"

#define MAGIC_NANO 0xa1b23c4dU
#define MAGIC_MICRO 0xa1b2c3d4U
#define MAGIC_PCAPNG 0x0a0d0d0aU

struct file_header {
	uint32_t magic;
	uint16_t major, minor;
	uint32_t zone, accuracy, snaplen, linktype;
};

struct record_header {
	uint32_t seconds, fraction, len, size;
};

/* --- writing --------------------------------------------------------------- */

static int
put(FILE *stream, const void *data, size_t len)
{
	return fwrite(data, 1, len, stream) == len ? 0
	    : errno != 0			   ? -errno
						   : -EIO;
}

int
packets_begin(FILE *stream)
{
	static const struct file_header header = { .magic = MAGIC_NANO,
		.major = 2,
		.minor = 4,
		.snaplen = PDU_SNAPLEN,
		.linktype = PDU_LINKTYPE };

	return put(stream, &header, sizeof(header));
}

int
packets_write(FILE *stream, const struct packet *p)
{
	uint8_t tags[PDU_TAGS_MAX];
	struct record_header head = { .seconds = (uint32_t)p->seconds,
		.fraction = p->nanoseconds };
	size_t len, at;
	int r;

	at = pdu_put_tags(tags, p->dissector, p->protocol, p->way);
	len = MIN(p->len, PDU_SNAPLEN - at);
	head.len = (uint32_t)(at + len);
	head.size = (uint32_t)(at + p->size);
	if ((r = put(stream, &head, sizeof(head))) < 0 ||
	    (r = put(stream, tags, at)) < 0)
		return r;
	return put(stream, p->data, len);
}

/* --- reading --------------------------------------------------------------- */

static uint32_t
number(const struct packets *p, uint32_t n)
{
	return p->swapped ? __builtin_bswap32(n) : n;
}

int
packets_open(struct packets *p, FILE *stream, struct error *err)
{
	struct file_header h;
	uint32_t type;

	*p = (struct packets){ .stream = stream };
	if (fread(&h, sizeof(h), 1, stream) != 1)
		return error_fail(err, -EINVAL, "it is not a capture");
	p->swapped = h.magic == __builtin_bswap32(MAGIC_NANO) ||
	    h.magic == __builtin_bswap32(MAGIC_MICRO);
	p->micro = number(p, h.magic) == MAGIC_MICRO;
	if (h.magic == MAGIC_PCAPNG)
		return error_fail(err, -EINVAL,
		    "it is a pcapng file; convert it with editcap -F nsecpcap");
	if (!p->micro && number(p, h.magic) != MAGIC_NANO)
		return error_fail(err, -EINVAL, "it is not a capture");
	/* The upper bits say something else. */
	type = number(p, h.linktype) & 0xffff;
	if (type != PDU_LINKTYPE)
		return error_fail(err, -EINVAL,
		    "it is a capture of another program, with the link type %u",
		    type);
	if ((p->record = malloc(PDU_SNAPLEN + PDU_TAGS_MAX)) == NULL)
		return error_fail(err, -ENOMEM, "out of memory");
	return 0;
}

void
packets_end(struct packets *p)
{
	free(p->record);
	p->record = NULL;
}

static void
take_text(char *to, size_t size, const uint8_t *value, size_t len)
{
	len = MIN(len, size - 1);
	memcpy(to, value, len);
	to[len] = '\0';
}

/* Takes the tags; returns their length, or -EINVAL. */
static long
take_tags(struct packet *ret, const uint8_t *record, size_t size)
{
	uint16_t head[2], tag;
	size_t at = 0, len;

	for (;;) {
		if (size - at < sizeof(head))
			return -EINVAL;
		memcpy(head, record + at, sizeof(head));
		at += sizeof(head);
		tag = ntohs(head[0]);
		len = ntohs(head[1]);
		if (tag == PDU_END)
			return (long)at;
		if (size - at < len)
			return -EINVAL;
		if (tag == PDU_DISSECTOR_NAME)
			take_text(ret->dissector, sizeof(ret->dissector),
			    record + at, len);
		else if (tag == PDU_COL_PROT_TEXT)
			take_text(ret->protocol, sizeof(ret->protocol),
			    record + at, len);
		else if (tag == PDU_COL_INFO_TEXT)
			take_text(ret->way, sizeof(ret->way), record + at, len);
		at += len;
	}
}

int
packets_next(struct packets *p, struct packet *ret, struct error *err)
{
	struct record_header h;
	size_t n = fread(&h, 1, sizeof(h), p->stream), size;
	uint32_t len, fraction;
	long at;

	memset(ret, 0, sizeof(*ret));
	if (n == 0)
		return ferror(p->stream)
		    ? error_fail(err, -errno, "%s", strerror(errno))
		    : 0;
	len = n == sizeof(h) ? number(p, h.len) : 0;
	if (n < sizeof(h) || len > PDU_SNAPLEN + PDU_TAGS_MAX ||
	    fread(p->record, 1, len, p->stream) != len)
		return error_fail(
		    err, -EINVAL, "it is damaged, or ends within a frame");
	if ((at = take_tags(ret, p->record, len)) < 0)
		return error_fail(
		    err, -EINVAL, "it is damaged: a frame has wrong tags");
	size = number(p, h.size);
	fraction = number(p, h.fraction);
	ret->seconds = number(p, h.seconds);
	ret->nanoseconds = p->micro ? fraction % 1000000 * 1000
				    : fraction % (uint32_t)NSEC_PER_SEC;
	ret->data = p->record + at;
	ret->len = len - (size_t)at;
	ret->size = MAX(size, (size_t)len) - (size_t)at;
	return 1;
}
