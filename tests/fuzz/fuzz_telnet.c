/*
 * fuzz_telnet: the telnet codec.  Whatever the input, it decodes to the same however it is
 * cut, also when the state is handed over between two pieces; and what is encoded decodes
 * to itself.
 */
#include <stdlib.h>
#include <string.h>

#include "telnet.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

#define ROOM ((size_t)64 * 1024)

static const struct telnet_option options[] = {
	{ TELNET_BINARY, true, true, true, true },
	{ TELNET_ECHO, true, false, true, false },
	{ TELNET_COM_PORT, false, true, false, true },
};

/* All that happens: bytes, commands and events. */
struct trace {
	uint8_t data[ROOM], told[2 * ROOM];
	size_t ndata, ntold;
};

static void
insist(bool good)
{
	if (!good)
		abort();
}

static void
tell(void *arg, const uint8_t *data, size_t len)
{
	struct trace *trace = arg;

	insist(trace->ntold + len <= sizeof(trace->told));
	memcpy(trace->told + trace->ntold, data, len);
	trace->ntold += len;
}

static void
feed(struct telnet *t, struct trace *trace, const uint8_t *in, size_t len)
{
	enum telnet_event event;
	uint8_t place[2];
	size_t used, n;

	do {
		n = telnet_decode(
		    t, trace->data + trace->ndata, in, len, &used, &event);
		insist(n <= used && used <= len);
		trace->ndata += n;
		in += used;
		len -= used;
		if (event == TELNET_NOTHING)
			continue;
		place[0] = (uint8_t)event;
		place[1] = t->command;
		tell(trace, place, sizeof(place));
		if (event == TELNET_SUBNEGOTIATION)
			tell(trace, t->sub, t->sub_len);
	} while (event != TELNET_NOTHING);
	insist(len == 0);
}

static void
hand_over(struct telnet *t, struct trace *trace)
{
	struct pack p = { .data = NULL };
	uint64_t malformed = t->malformed;
	struct unpack u;

	telnet_save(t, &p);
	telnet_init(t, options, NELEM(options), tell, trace);
	u = (struct unpack){ .at = p.data, .left = p.len };
	telnet_restore(t, &u);
	insist(!u.failed && u.left == 0);
	t->malformed = malformed;
	pack_free(&p);
}

static void
check_input(const uint8_t *in, size_t len, size_t step)
{
	static struct trace whole, cut;
	struct telnet a, b;
	size_t n;

	whole.ndata = whole.ntold = cut.ndata = cut.ntold = 0;
	telnet_init(&a, options, NELEM(options), tell, &whole);
	telnet_init(&b, options, NELEM(options), tell, &cut);
	telnet_offer(&a);
	telnet_offer(&b);
	feed(&a, &whole, in, len);
	for (size_t at = 0; at < len; at += n) {
		n = MIN(step, len - at);
		feed(&b, &cut, in + at, n);
		hand_over(&b, &cut);
	}
	insist(whole.ndata == cut.ndata && whole.ntold == cut.ntold &&
	    memcmp(whole.data, cut.data, whole.ndata) == 0 &&
	    memcmp(whole.told, cut.told, whole.ntold) == 0 &&
	    a.malformed == b.malformed);
}

static void
check_output(const uint8_t *in, size_t len, size_t step, bool binary)
{
	static uint8_t encoded[2 * ROOM];
	static struct trace trace;
	struct telnet t;
	size_t n = 0, used;

	trace.ndata = trace.ntold = 0;
	telnet_init(&t, options, NELEM(options), tell, &trace);
	if (binary)
		telnet_assume(&t);
	for (size_t at = 0; at < len; at += used) {
		n += telnet_encode(&t, in + at, MIN(step, len - at),
		    encoded + n, MAX(step, (size_t)2), &used);
		insist(used > 0 && n <= sizeof(encoded));
	}
	feed(&t, &trace, encoded, n);
	insist(trace.ndata == len && trace.ntold == 0 &&
	    memcmp(trace.data, in, len) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *in, size_t size)
{
	size_t step;

	if (size < 2 || size > ROOM / 4)
		return 0;
	step = in[0] % 16 + 1u;
	check_input(in + 1, size - 1, step);
	check_output(in + 1, size - 1, step, false);
	check_output(in + 1, size - 1, step, true);
	return 0;
}
