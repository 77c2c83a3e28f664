/*
 * duplicates: recognizes frames that were forwarded a short time ago.
 */
#include <sys/random.h>

#include <stdlib.h>
#include <string.h>

#include "duplicates.h"

/* The entries are in sets; a frame may be in any entry of one set. */
#define SETS 1024
#define WAYS 4

struct seen {
	uint64_t hash;
	uint64_t at_ns; /* 0: vacant */
	const void *source;
};

/* --- SipHash-2-4 ---------------------------------------------------------- */

static inline uint64_t
rotate(uint64_t x, int bits)
{
	return x << bits | x >> (64 - bits);
}

static inline void
sip_round(uint64_t v[4])
{
	v[0] += v[1];
	v[2] += v[3];
	v[1] = rotate(v[1], 13) ^ v[0];
	v[3] = rotate(v[3], 16) ^ v[2];
	v[0] = rotate(v[0], 32);
	v[2] += v[1];
	v[0] += v[3];
	v[1] = rotate(v[1], 17) ^ v[2];
	v[3] = rotate(v[3], 21) ^ v[0];
	v[2] = rotate(v[2], 32);
}

static inline void
sip_word(uint64_t v[4], uint64_t word)
{
	v[3] ^= word;
	sip_round(v);
	sip_round(v);
	v[0] ^= word;
}

/* Words in the order of this machine's bytes, as the hash stays in this process. */
static uint64_t
sip_hash(const uint64_t key[2], const uint8_t *data, size_t len)
{
	uint64_t v[4] = { key[0] ^ 0x736f6d6570736575,
		key[1] ^ 0x646f72616e646f6d, key[0] ^ 0x6c7967656e657261,
		key[1] ^ 0x7465646279746573 };
	uint64_t word;
	size_t at;

	for (at = 0; at + sizeof(word) <= len; at += sizeof(word)) {
		memcpy(&word, data + at, sizeof(word));
		sip_word(v, word);
	}
	word = (uint64_t)len << 56;
	for (size_t i = 0; at + i < len; i++)
		word |= (uint64_t)data[at + i] << (8 * i);
	sip_word(v, word);
	v[2] ^= 0xff;
	for (int i = 0; i < 4; i++)
		sip_round(v);
	return v[0] ^ v[1] ^ v[2] ^ v[3];
}

/* --- the table ------------------------------------------------------------ */

struct duplicates *
duplicates_new(void)
{
	struct duplicates *d = calloc(1, sizeof(*d));

	if (d == NULL)
		return NULL;
	d->seen = calloc(SETS * WAYS, sizeof(*d->seen));
	if (d->seen == NULL) {
		free(d);
		return NULL;
	}
	/* Without random numbers a sender could choose frames with the same hash. */
	if (getrandom(d->key, sizeof(d->key), GRND_NONBLOCK) < 0)
		d->key[0] = d->key[1] = 0x9e3779b97f4a7c15;
	return d;
}

void
duplicates_free(struct duplicates *d)
{
	if (d == NULL)
		return;
	free(d->seen);
	free(d);
}

bool
duplicates_check(struct duplicates *d, const void *source,
    const uint8_t *payload, size_t len, uint64_t within, uint64_t now)
{
	uint64_t hash = sip_hash(d->key, payload, len);
	struct seen *set = &d->seen[hash % SETS * WAYS], *use = set;

	for (int i = 0; i < WAYS; i++) {
		struct seen *at = &set[i];
		bool valid = at->at_ns != 0 && now - at->at_ns < within;

		if (valid && at->hash == hash) {
			if (at->source != source) {
				d->found++;
				return true;
			}
			at->at_ns = now;
			return false;
		}
		if (at->at_ns < use->at_ns)
			use = at;
	}
	d->forgotten += use->at_ns != 0 && now - use->at_ns < within;
	*use = (struct seen){ hash, now, source };
	return false;
}
