/*
 * fuzz_handover: the file in which one process leaves what it had to the next.
 *
 * The head of the input is put right, so that the rest is looked at.  What is read is
 * taken over by a bridge of endpoints that have the names of the corpus, which then runs
 * for a while and writes it down again: what was written is read again, without a
 * fault.  The first bit of the input says whether the framings are others meanwhile, the
 * next three which version of the format it is: 0 is the one with frames as received.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include <event2/event.h>

#include "restore.h"
#include "link.h"
#include "handover_file.h"
#include "log.h"

#define HEAD 24
#define TURNS 50

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static struct event_base *base;

static void
insist(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "fuzz_handover: %s\n", what);
	abort();
}

/* A file as it would be written, around these bytes. */
static uint8_t *
wrap(int version, const uint8_t *data, size_t len)
{
	uint64_t head[2] = { len, crc32_ieee(0, data, len) };
	uint8_t *file = malloc(HEAD + len);

	insist(file != NULL, "no memory");
	memcpy(file, "ttybho0", 7);
	file[7] = (uint8_t)('0' + version);
	memcpy(file + 8, head, sizeof(head));
	if (len > 0)
		memcpy(file + HEAD, data, len);
	return file;
}

static void
no_descriptor(const char *name, int fd)
{
	insist(strlen(name) < KEEP_NAME_MAX && fd >= 0, "a bad descriptor");
}

static struct bridge *
take_over(struct snapshot *h, bool other)
{
	static const char bus[] =
	    "[pty d]\nframing = modbus-rtu\n[pty e]\nframing = modbus-rtu\n"
	    "[route x]\nfrom = d\nto = e\nexchange = modbus\n";
	char text[sizeof(bus) + 512];
	const char *first = other
	    ? "[echo a]\nframing = slip\nqueue = 1K\nhistory = 1K\n"
	      "[echo b]\nframing = raw\n"
	      "[pty c]\nframing = length\nhistory = 5\n"
	      "[tcp-server s]\nframing = raw\nlisten = 127.0.0.1:0\n"
	      "history = 20\n"
	      "[route r]\nbetween = a b c s\n"
	    : "[echo a]\nframing = line\n[echo b]\nframing = cobs\n"
	      "[pty c]\nframing = line\nhistory = 64K\n"
	      "[tcp-server s]\nframing = line\nlisten = 127.0.0.1:0\n"
	      "history = 64K\n"
	      "[route r]\nbetween = a b c s\n";
	struct faults faults = { 0 };
	struct config *c = NULL;
	struct bridge *b = NULL;
	struct error err;

	snprintf(text, sizeof(text), "%s%s", first, bus);

	insist(config_parse("fuzz", text, strlen(text), &c, &faults) == 0 &&
		bridge_new(base, &b) == 0,
	    "no bridge");
	b->snapshot = h;
	insist(bridge_apply(b, c, &err) == 0, "no endpoints");
	config_free(c);
	b->snapshot = NULL;
	snapshot_free(h, b);
	return b;
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct snapshot *h = NULL, *again = NULL;
	struct pack p = { .data = NULL };
	struct bridge *b;
	uint8_t *file;
	int version;

	if (base == NULL) {
		base = event_base_new();
		signal(SIGPIPE, SIG_IGN);
		log_set_level(LOG_ERR);
	}
	if (len == 0)
		return 0;
	insist(handover_read(data, len, &h, no_descriptor) < 0 || h != NULL,
	    "nothing was read");
	snapshot_free(h, NULL);
	h = NULL;
	version = MIN(PACK_WIRE + (data[0] >> 1 & 7), PACK_VERSION);
	file = wrap(version, data + 1, len - 1);
	if (handover_read(file, HEAD + len - 1, &h, no_descriptor) == 0) {
		b = take_over(h, data[0] & 1);
		for (int i = 0; i < TURNS; i++)
			event_base_loop(base, EVLOOP_NONBLOCK);
		link_settle_all();
		bridge_save(b, &p);
		insist(!p.failed &&
			snapshot_read(p.data, p.len, PACK_VERSION, &again) == 0,
		    "what was written cannot be read");
		snapshot_free(again, b);
		pack_free(&p);
		bridge_free(b);
	}
	free(file);
	return 0;
}
