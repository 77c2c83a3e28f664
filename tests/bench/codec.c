/*
 * codec: how fast each framing writes and reads frames in memory, on one core.
 *
 *	codec [FRAMING ...]
 *
 * GB of payload a second and nanoseconds a frame: the median of several rounds.
 * Payloads are random bytes, or random text where the framing is for text.
 * Reading unstuffs in place, so each round reads a fresh copy; the time of the copy
 * is taken off.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "framing.h"

#define STREAM (128 * 1024)
#define ROUNDS 15
#define ROUND_NS (4 * NSEC_PER_MSEC)

static const size_t sizes[] = { 16, 64, 256, 4096 };

struct bench {
	struct framing_conf conf;
	struct decoder decoder;
	size_t size; /* of a payload */
	size_t frames;
	uint8_t *payloads; /* frames of them */
	uint8_t *wire, *work;
	size_t wire_len;
	uint64_t seen; /* frames decoded, bytes encoded */
};

static uint64_t
random64(void)
{
	static uint64_t x = 88172645463325252ULL;

	x ^= x << 13;
	x ^= x >> 7;
	return x ^= x << 17;
}

static void
fill(uint8_t *p, size_t len, const char *text)
{
	size_t n = text != NULL ? strlen(text) : 0;

	for (size_t i = 0; i < len; i++)
		p[i] = n > 0 ? (uint8_t)text[(random64() >> 32) % n]
			     : (uint8_t)(random64() >> 32);
}

/* --- what is measured ---------------------------------------------------- */

static void
do_encode(struct bench *b)
{
	uint8_t *to = b->wire;

	for (size_t i = 0; i < b->frames; i++) {
		long n = framing_encode(
		    &b->conf, b->payloads + i * b->size, b->size, to);

		if (n < 0) {
			fprintf(stderr,
			    "codec: a payload of %zu bytes cannot "
			    "be written as %s\n",
			    b->size, b->conf.rule->name);
			exit(1);
		}
		to += n;
	}
	b->wire_len = (size_t)(to - b->wire);
	b->seen += b->wire_len;
}

static void
do_copy(struct bench *b)
{
	memcpy(b->work, b->wire, b->wire_len);
	__asm__ volatile("" : : "r"(b->work) : "memory");
}

static void
do_decode(struct bench *b)
{
	uint8_t *in = b->work;
	size_t len = b->wire_len;
	struct decoded d;

	do_copy(b);
	while (framing_decode(&b->decoder, in, len, &d) == DECODE_FRAME) {
		b->seen += d.len;
		in += d.used;
		len -= d.used;
	}
	if (len > 0) {
		fprintf(stderr, "codec: %zu bytes of %s were not read\n", len,
		    b->conf.rule->name);
		exit(1);
	}
}

/* The same where a silence ends each frame. */
static void
do_decode_silent(struct bench *b)
{
	struct decoded d;

	do_copy(b);
	for (size_t at = 0; at < b->wire_len; at += b->size) {
		if (framing_decode(&b->decoder, b->work + at, b->size, &d) !=
			DECODE_MORE ||
		    framing_silent(&b->decoder, b->work + at, b->size, &d) !=
			DECODE_FRAME) {
			fprintf(stderr, "codec: %s was not read\n",
			    b->conf.rule->name);
			exit(1);
		}
		b->seen += d.len;
	}
}

static void
do_sum(struct bench *b)
{
	for (size_t i = 0; i < b->frames; i++)
		b->seen += checksum_of(
		    b->conf.checksum, b->payloads + i * b->size, b->size);
}

/* --- measuring ----------------------------------------------------------- */

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* Nanoseconds of one call, the median. */
static double
measure(struct bench *b, void (*what)(struct bench *))
{
	double times[ROUNDS];

	for (int i = 0; i < ROUNDS; i++) {
		uint64_t start = now_ns(), stop;
		unsigned n = 0;

		do {
			what(b);
			n++;
			stop = now_ns();
		} while (stop - start < ROUND_NS);
		times[i] = (double)(stop - start) / n;
	}
	qsort(times, ROUNDS, sizeof(times[0]), compare);
	return times[ROUNDS / 2];
}

static void
print(const struct bench *b, const char *name, const char *what, double ns)
{
	printf("%-28s %-7s %5zu %8.2f %9.1f\n", name, what, b->size,
	    (double)(b->frames * b->size) / ns, ns / (double)b->frames);
	fflush(stdout);
}

static void
bench_start(struct bench *b, const char *framing, size_t size)
{
	memset(b, 0, sizeof(*b));
	framing_conf_init(&b->conf);
	framing_use(&b->conf, framing_find(framing));
	b->size = size;
	b->conf.frame_size = size;
	b->conf.delimiter = (struct bytes){ 2, { '\r', '\n' } };
	if (strcmp(framing, "length") == 0)
		b->conf.sync = (struct bytes){ 2, { 0xaa, 0x55 } };
	b->frames = STREAM / size;
	b->payloads = malloc(b->frames * size);
	b->wire = malloc(b->frames * (2 * size + 64));
	b->work = malloc(b->frames * (2 * size + 64));
	if (b->payloads == NULL || b->wire == NULL || b->work == NULL)
		exit(1);
}

static void
bench_end(struct bench *b)
{
	free(b->payloads);
	free(b->wire);
	free(b->work);
}

static void
run(struct bench *b, const char *name)
{
	double copy;

	print(b, name, "encode", measure(b, do_encode));
	copy = measure(b, do_copy);
	framing_start(&b->decoder, &b->conf);
	print(b, name, "decode",
	    measure(b,
		strcmp(b->conf.rule->name, "idle") == 0 ? do_decode_silent
							: do_decode) -
		copy);
}

/* --- payloads that are messages themselves ------------------------------- */

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789,.";

static void
fill_nmea(uint8_t *p, size_t len)
{
	char sum[3];

	p[0] = '$';
	fill(p + 1, len - 4, letters);
	p[len - 3] = '*';
	snprintf(sum, sizeof(sum), "%02X", xor8(p + 1, len - 4));
	memcpy(p + len - 2, sum, 2);
}

static void
fill_mavlink(uint8_t *p, size_t len)
{
	static const uint8_t extra = 50; /* HEARTBEAT */

	fill(p, len, NULL);
	p[0] = 0xfd;
	p[1] = (uint8_t)(len - 12);
	p[2] = p[7] = p[8] = p[9] = 0;
	checksum_put(p + len - 2, 2,
	    crc16_x25(crc16_x25(0xffff, p + 1, len - 3), &extra, 1), 1);
}

static void
fill_ubx(uint8_t *p, size_t len)
{
	fill(p, len, NULL);
	checksum_put(p, 2, 0xb562, 0);
	checksum_put(p + 4, 2, (uint32_t)len - 8, 1);
	checksum_put(p + len - 2, 2, fletcher8(p + 2, len - 4), 0);
}

static void
fill_rtu(uint8_t *p, size_t len)
{
	fill(p, len, NULL);
	p[0] = 1;
	p[1] = 12;
	p[2] = (uint8_t)(len - 5);
	checksum_put(p + len - 2, 2, crc16_modbus(0xffff, p, len - 2), 1);
}

/* --- the list ------------------------------------------------------------ */

struct subject {
	const char *framing;
	const char *text; /* payloads of these characters */
	void (*fill)(uint8_t *, size_t);
	bool inner;
	size_t longest;
};

static const struct subject subjects[] = {
	{ .framing = "raw" },
	{ .framing = "line", .text = letters },
	{ .framing = "delimiter", .text = letters },
	{ .framing = "slip" },
	{ .framing = "cobs" },
	{ .framing = "cobsr" },
	{ .framing = "hdlc" },
	{ .framing = "length" },
	{ .framing = "fixed" },
	{ .framing = "idle" },
	{ .framing = "stx", .text = letters },
	{ .framing = "nmea", .fill = fill_nmea },
	{ .framing = "modbus-rtu", .fill = fill_rtu, .longest = 256 },
	{ .framing = "modbus-ascii", .inner = true, .longest = 254 },
	{ .framing = "modbus-tcp", .inner = true, .longest = 254 },
	{ .framing = "mavlink", .fill = fill_mavlink, .longest = 267 },
	{ .framing = "ubx", .fill = fill_ubx, .longest = 2056 },
	{ .framing = "min", .inner = true, .longest = 255 },
};

static void
run_subject(const struct subject *s)
{
	char name[64];
	size_t size, longest = s->longest != 0 ? s->longest : SIZE_MAX;
	struct bench b;

	for (size_t i = 0; i < NELEM(sizes); i++) {
		size = MIN(sizes[i], longest);
		if (i > 0 && size <= sizes[i - 1])
			continue;
		bench_start(&b, s->framing, size);
		b.conf.payload = s->inner;
		for (size_t k = 0; k < b.frames; k++)
			if (s->fill != NULL)
				s->fill(b.payloads + k * b.size, b.size);
			else
				fill(b.payloads + k * b.size, b.size, s->text);
		snprintf(name, sizeof(name), "%s", s->framing);
		run(&b, name);
		bench_end(&b);
	}
}

static void
run_checksum(int kind)
{
	char name[64];
	struct bench b;

	for (size_t i = 0; i < NELEM(sizes); i++) {
		bench_start(&b, "cobs", sizes[i]);
		fill(b.payloads, b.frames * b.size, NULL);
		b.conf.checksum = kind;
		snprintf(
		    name, sizeof(name), "checksum %s", checksum_words[kind]);
		print(&b, name, "sum", measure(&b, do_sum));
		bench_end(&b);
	}
}

int
main(int argc, char **argv)
{
	printf("%-28s %-7s %5s %8s %9s\n", "framing", "", "bytes", "GB/s",
	    "ns/frame");
	for (size_t i = 0; i < NELEM(subjects); i++)
		for (int k = 1; k < argc || k == 1; k++)
			if (argc == 1 ||
			    strcmp(argv[k], subjects[i].framing) == 0)
				run_subject(&subjects[i]);
	for (int kind = 1; checksum_words[kind] != NULL; kind++)
		for (int k = 1; k < argc || k == 1; k++)
			if (argc == 1 ||
			    strcmp(argv[k], checksum_words[kind]) == 0)
				run_checksum(kind);
	return 0;
}
