/*
 * fuzz_packets: files of captures, and base64.  Whatever the file, reading it ends, and a
 * frame that was read is the same after it is written and read again.
 */
#include <stdlib.h>
#include <string.h>

#include "base64.h"
#include "packets.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
insist(bool good)
{
	if (!good)
		abort();
}

static FILE *
open_memory(const void *data, size_t len)
{
	FILE *f = fmemopen((void *)data, len, "r");

	insist(f != NULL);
	return f;
}

/* Writes the frame to a file of its own, and reads it. */
static void
again(const struct packet *p)
{
	struct packets packets;
	struct packet q;
	struct error err;
	char *file;
	size_t len;
	FILE *f = open_memstream(&file, &len);

	insist(f != NULL && packets_begin(f) == 0 && packets_write(f, p) == 0 &&
	    fclose(f) == 0);
	f = open_memory(file, len);
	insist(packets_open(&packets, f, &err) == 0);
	insist(packets_next(&packets, &q, &err) == 1);
	insist(q.seconds == p->seconds && q.nanoseconds == p->nanoseconds &&
	    q.size == p->size && q.len <= p->len);
	insist(memcmp(q.data, p->data, q.len) == 0);
	insist(
	    strcmp(q.way, p->way) == 0 && strcmp(q.protocol, p->protocol) == 0);
	insist(packets_next(&packets, &q, &err) == 0);
	packets_end(&packets);
	fclose(f);
	free(file);
}

static void
read_file(const uint8_t *data, size_t len)
{
	FILE *f = open_memory(data, len);
	struct packets packets;
	struct packet p;
	struct error err;

	if (packets_open(&packets, f, &err) == 0)
		while (packets_next(&packets, &p, &err) > 0)
			again(&p);
	packets_end(&packets);
	fclose(f);
}

/* What is base64 is written in one way only, but for the '=' at its end. */
static void
read_base64(const uint8_t *data, size_t len)
{
	uint8_t *out = malloc(len);
	char *text = malloc(BASE64_SIZE(len));
	long n;

	insist(out != NULL && text != NULL);
	n = base64_decode((const char *)data, len, out, len);
	if (n >= 0) {
		base64_encode(out, (size_t)n, text);
		while (len > 0 && data[len - 1] == '=')
			len--;
		insist(memcmp(text, data, len) == 0);
	}
	free(out);
	free(text);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	if (len == 0)
		return 0;
	read_file(data, len);
	read_base64(data, len);
	return 0;
}
