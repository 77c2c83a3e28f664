/*
 * pattern: the bytes that are sent, and the comparison of what comes out.
 */
#ifndef PATTERN_H
#define PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* That many bytes tell where in a pattern one is. */
#define PATTERN_WINDOW 32

/* About a MiB of frames, repeated without end. */
struct pattern {
	uint8_t *bytes; /* and the first ones once more */
	size_t len;
	uint32_t *start; /* of each frame; start[n] is len */
	unsigned n;
	double mean; /* bytes of a frame */
};

/*
 * Of "KIND:SIZE".  raw, line, nmea, mavlink: frames of SIZE bytes on the wire; slip,
 * cobs: of SIZE bytes of payload, the same payloads in both.  Each side has bytes of
 * its own.  NULL: there is no such pattern.
 */
struct pattern *pattern_new(const char *spec, unsigned side);
/* The frame in which byte at of the pattern lies. */
unsigned pattern_frame(const struct pattern *p, size_t at);
/* Where the k-th frame of the endless repetition ends. */
uint64_t pattern_end(const struct pattern *p, uint64_t k);

/* Compares a stream with a pattern. */
struct check {
	const struct pattern *pattern;
	size_t at;	  /* in the pattern */
	uint64_t good;	  /* bytes that are the pattern's */
	uint64_t doubled; /* of them: that had come before */
	uint64_t bad;	  /* others */
	uint8_t held[PATTERN_WINDOW];
	size_t nheld;
	unsigned searches;
	bool astray;
};

void check_feed(struct check *c, const uint8_t *data, size_t len);

#endif
