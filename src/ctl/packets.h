/*
 * packets: captures of frames, as files that Wireshark reads: pcap with nanoseconds and
 * the link type "Wireshark upper PDU", as the daemon writes them.
 */
#ifndef PACKETS_H
#define PACKETS_H

#include <stdio.h>

#include "error.h"

#define PACKET_TEXT_MAX 600

struct packet {
	int64_t seconds;
	uint32_t nanoseconds;
	char dissector[64];
	char protocol[PACKET_TEXT_MAX]; /* "line ar1 > ar2" */
	char way[PACKET_TEXT_MAX];	/* "ar1 > ar2" */
	const uint8_t *data;
	size_t len;  /* of data */
	size_t size; /* of the frame, of which data may be a part */
};

/* A file that is read. */
struct packets {
	FILE *stream;
	bool swapped; /* its byte order is not that of this machine */
	bool micro;   /* its times are in microseconds */
	uint8_t *record;
};

/* Return 0 or -errno. */
int packets_begin(FILE *stream);
int packets_write(FILE *stream, const struct packet *packet);

/*
 * Reads the header of a file.  -EINVAL and err: it is no such file.  The stream stays the
 * caller's, and packets_end() is called in any case.
 */
int packets_open(struct packets *p, FILE *stream, struct error *err);
/* Reads the next one; its data is valid until the next call.  1, 0 at the end, -errno. */
int packets_next(struct packets *p, struct packet *ret, struct error *err);
void packets_end(struct packets *p);

#endif
