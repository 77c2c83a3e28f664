/*
 * The work of every framing is bounded for each byte that is received, with any keys and
 * any bytes, in pieces of any size.  Time is not measured: every basic block of the
 * framings that is executed is counted (they are compiled for that, see the Makefile),
 * and every sixteen bytes that a function of the C library examines.  The work of each
 * call is charged to the budget of the caller, too, so that a turn of the loop ends.
 *
 * The first eight bytes choose the framing and its keys as in fuzz_framing; then come
 * how much longer frames may be, and how often the rest of the input is fed.
 */
#define WORK_ITSELF
#include "choose.h"
#include "codec.h"
#include "work.h"

#define HEAD (CHOICES + 2)
/* Blocks to sum one byte, and for each byte and each call: most of that is for sums that
 * turn out to be wrong, of which RULE_PAY bytes are allowed for each byte of input, and up
 * to 280 bytes of a MAVLink packet.  What a decoder may sum at first is added. */
#define SUM 8
#define MOST (SUM * 40)
#define LONGEST ((size_t)128 * 1024)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What libFuzzer is to increase. */
static uint8_t counters[64]
    __attribute__((section("__libfuzzer_extra_counters"), used));

static uint64_t work;

/* --- called by the framings ---------------------------------------------- */

/* At each basic block. */
void work_block(void);

void
work_block(void)
{
	work++;
}

void *
work_memchr(const void *p, int c, size_t len)
{
	const void *found = memchr(p, c, len);

	if (found != NULL)
		len = (size_t)((const char *)found - (const char *)p);
	work += 1 + len / 16;
	return (void *)(uintptr_t)found;
}

void *
work_memrchr(const void *p, int c, size_t len)
{
	const void *found = memrchr(p, c, len);

	if (found != NULL)
		len -= (size_t)((const char *)found - (const char *)p);
	work += 1 + len / 16;
	return (void *)(uintptr_t)found;
}

void *
work_memcpy(void *to, const void *from, size_t len)
{
	work += 1 + len / 16;
	return memcpy(to, from, len);
}

void *
work_memmove(void *to, const void *from, size_t len)
{
	work += 1 + len / 16;
	return memmove(to, from, len);
}

int
work_memcmp(const void *a, const void *b, size_t len)
{
	work += 1 + len / 16;
	return memcmp(a, b, len);
}

/* The tables of checksums, which are made when they are first used. */
static void
make_tables(const struct framing_conf *conf)
{
	for (int kind = CHECKSUM_NONE + 1; kind <= CHECKSUM_CRC24Q; kind++)
		if (!checksum_is_crc(kind))
			checksum_of(kind, NULL, 0);
	if (checksum_is_crc(conf->checksum))
		checksum_with(conf->checksum, &conf->checksum_params, NULL, 0);
}

/* --- feeding ------------------------------------------------------------- */

/* The bytes of a stream that are at hand, all in one place. */
struct feed {
	struct decoder decoder;
	uint8_t *in, *copy;
	size_t at, end;
	uint64_t asked;	 /* bytes, and calls of the decoder that took none */
	uint64_t credit; /* bytes that may be summed in vain at first */
};

/*
 * What a call has done is in proportion to the bytes that it took and to the work that it
 * charged to the caller's budget, apart from what the examination of one frame costs.
 */
static void
check_charge(const struct feed *f, uint64_t done, size_t used)
{
	uint64_t charged = used + f->decoder.work;
	uint64_t frame = f->decoder.max + RULE_LARGEST;

	if (done <= SUM * (2 * charged + 2 * frame))
		return;
	fprintf(stderr,
	    "fuzz_work: %s: %llu blocks in one call, %llu bytes charged\n",
	    f->decoder.conf->rule->name, (unsigned long long)done,
	    (unsigned long long)charged);
	abort();
}

static void
drain(struct feed *f, decode_fn *decode, bool copying)
{
	struct decoded d;
	uint64_t before;

	f->decoder.copy = copying ? f->copy : NULL;
	while (f->at < f->end) {
		before = work;
		f->decoder.work = 0;
		if (decode(&f->decoder, f->in + f->at, f->end - f->at, &d) ==
		    DECODE_MORE)
			break;
		check_charge(f, work - before, d.used);
		f->at += d.used;
		/* Each batch starts over there. */
		if (copying)
			f->decoder.copy = f->copy;
	}
	f->asked++;
}

/* In pieces of up to c[6] bytes, with a silence or a timeout now and then. */
static void
feed(struct feed *f, size_t len, const uint8_t *c)
{
	uint32_t dice = c[7];
	bool copying = c[7] & 1;
	size_t n;

	while (f->end < len) {
		n = c[6] == 0 ? len : next(&dice, 16u * c[6]);
		n = MIN(n, len - f->end);
		f->end += n;
		f->asked += n;
		drain(f, framing_decode, copying);
		f->asked++;
		framing_pause(&f->decoder, f->in + f->at, f->end - f->at);
		if (c[5] != 0 && next(&dice, c[5]) == 1)
			drain(f, c[5] & 1 ? framing_silent : framing_timeout,
			    copying);
	}
	drain(f, framing_timeout, copying);
}

/* Tells libFuzzer how much it was; with WORK set, the user too. */
static void
report(const struct framing_conf *conf, const struct feed *f)
{
	static bool talks, asked;
	uint64_t first = MIN(SUM * f->credit, work);
	uint64_t each = (work - first) / f->asked;

	if (!asked)
		talks = getenv("WORK") != NULL;
	asked = true;
	for (unsigned i = 0; i < 64 && 1u << i / 4 <= work / f->asked; i++)
		counters[i] = 1;
	if (talks)
		printf("%-12s %5llu %8llu\n", conf->rule->name,
		    (unsigned long long)each,
		    (unsigned long long)(work / f->asked));
	if (each <= MOST)
		return;
	fprintf(stderr,
	    "fuzz_work: %s, max_frame %llu: %llu blocks for each of %llu "
	    "bytes and calls\n",
	    conf->rule->name, (unsigned long long)conf->max_frame,
	    (unsigned long long)each, (unsigned long long)f->asked);
	abort();
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct framing_conf conf;
	struct feed f = { .at = 0 };
	struct error err;
	size_t len;

	if (size <= HEAD || !choose(&conf, data))
		return 0;
	conf.max_frame = MIN(
	    conf.max_frame << data[CHOICES] % 11, (uint64_t)FRAMING_MAX_FRAME);
	if (framing_check(&conf, &err) != 0)
		return 0;
	size -= HEAD;
	len = MIN(size * (1u + 8u * data[CHOICES + 1]), LONGEST);
	f.in = malloc(len);
	f.copy = malloc(len);
	MUST(f.in != NULL && f.copy != NULL);
	for (size_t i = 0; i < len; i++)
		f.in[i] = data[HEAD + i % size];
	framing_start(&f.decoder, &conf);
	f.credit = f.decoder.credit;
	make_tables(&conf);
	work = 0;
	feed(&f, len, data);
	report(&conf, &f);
	free(f.in);
	free(f.copy);
	return 0;
}
