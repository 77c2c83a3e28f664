/*
 * choose: a framing and its keys, from the first bytes of an input.
 * FRAMING=NAME in the environment holds the fuzzer to one framing.
 */
#ifndef CHOOSE_H
#define CHOOSE_H

#include "../unit/framing_harness.h"

#define CHOICES 8

int LLVMFuzzerInitialize(int *argc, char ***argv);
size_t LLVMFuzzerCustomMutator(
    uint8_t *data, size_t size, size_t room, unsigned seed);
/* libFuzzer's own; not there in a replay. */
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t room)
    __attribute__((weak));

/* The only framing to try: its place in framings[], or -1 for all. */
static int only = -1;

/* 1 to most, at random. */
static size_t
next(uint32_t *seed, size_t most)
{
	*seed = *seed * 1664525 + 1013904223;
	return (*seed >> 8) % most + 1;
}

static size_t
how_many_framings(void)
{
	size_t n = 0;

	while (framings[n] != NULL)
		n++;
	return n;
}

int
LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *name = getenv("FRAMING");

	(void)argc;
	(void)argv;
	if (name == NULL || *name == '\0')
		return 0;
	for (only = 0; framings[only] != NULL; only++)
		if (strcmp(framings[only]->name, name) == 0)
			return 0;
	fprintf(stderr, "FRAMING=%s: no such framing\n", name);
	exit(2);
}

/* What is found names its framing in itself. */
size_t
LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t room, unsigned seed)
{
	(void)seed;
	size = LLVMFuzzerMutate(data, size, room);
	if (only >= 0 && size > 0)
		data[0] = (uint8_t)only;
	return size;
}

static void
choose_length(struct framing_conf *conf, uint8_t a, uint8_t b)
{
	static const struct bytes syncs[] = { { 0, { 0 } },
		{ 2, { 0xaa, 0x55 } }, { 2, { 0xaa, 0xaa } }, { 1, { 0x7f } } };

	conf->length_size = a % 3;
	conf->length_endian = a >> 2 & 1;
	conf->length_includes_header = a >> 3 & 1;
	conf->length_offset = (a >> 4) % 4;
	conf->length_adjust = (int64_t)(a >> 6) * 3 - 4;
	conf->sync = syncs[b % 4];
	conf->idle.ns = b >> 2 & 1 ? NSEC_PER_MSEC : 0;
	if (b >> 5 & 1)
		conf->length_mask = 0x7f;
	conf->length_shift = b >> 6 & 1;
	conf->length_unit = 1 + (b >> 7);
}

static void
choose_fixed(struct framing_conf *conf, uint8_t b)
{
	static const struct bytes syncs[] = { { 0, { 0 } }, { 1, "s" },
		{ 2, "st" }, { 3, "aba" } };

	conf->idle.ns = b & 1 ? NSEC_PER_MSEC : 0;
	conf->sync = syncs[(b >> 1) % 4];
}

static void
choose_checksum(struct framing_conf *conf, uint8_t a, uint8_t b)
{
	struct checksum_params *how = &conf->checksum_params;

	conf->checksum = a & 1 ? (a >> 1) % 13 : CHECKSUM_NONE;
	conf->checksum_endian = a >> 7;
	if (conf->checksum != CHECKSUM_NONE)
		conf->checksum_from = (b >> 3 & 3) % 3;
	if (checksum_is_crc(conf->checksum)) {
		how->poly = b % 4 * 0x21;
		how->init = b;
		how->reflect = b >> 2 & 1;
		how->xor_out = b >> 3;
	} else if (checksum_is_sum(conf->checksum))
		how->complement = b % 3;
}

static bool
choose(struct framing_conf *conf, const uint8_t *c)
{
	static const struct bytes ends[] = { { 1, { '\n' } },
		{ 2, { '\r', '\n' } }, { 5, "ababc" }, { 2, { 0, 0 } },
		{ 3, "aba" }, { 1, { 0xff } } };
	size_t n = how_many_framings();
	struct error err = { "" };

	if (only >= 0 && c[0] % n != (size_t)only)
		return false;
	framing_conf_init(conf);
	framing_use(conf, framings[c[0] % n]);
	conf->max_frame = c[2] < 128 ? 1u + c[2] : 8u * c[2];
	choose_checksum(conf, c[3], c[4]);
	conf->eol = c[1] % 3;
	conf->delimiter = ends[c[1] % NELEM(ends)];
	conf->fcs = c[1] % 3;
	conf->accm = c[1] >> 2 & 1;
	conf->payload = c[1] & 1;
	conf->nmea_checksum = (c[1] >> 1) % 3;
	conf->mavlink_strict = c[1] >> 1 & 1;
	conf->dle = c[1] & 1;
	conf->bcc = c[1] >> 1 & 1;
	conf->min_id = c[1] >> 2;
	conf->frame_size = 1 + c[1] % 64;
	if (strcmp(conf->rule->name, "length") == 0)
		choose_length(conf, c[1], c[4]);
	else if (strcmp(conf->rule->name, "fixed") == 0)
		choose_fixed(conf, c[4]);
	else if (strcmp(conf->rule->name, "line") == 0)
		conf->idle.ns = c[4] & 1 ? NSEC_PER_MSEC : 0;
	else if (strcmp(conf->rule->name, "delimiter") == 0) {
		conf->idle.ns = c[4] & 1 ? NSEC_PER_MSEC : 0;
		conf->trailer = (c[4] >> 1) % 4;
	}
	return framing_check(conf, &err) == 0;
}

#endif
