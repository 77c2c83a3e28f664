/*
 * spool_loop: what a spool is compared with, a plain loop.
 *
 *	spool_loop in ADDRESS FILE COUNT	reads lines from a Unix socket, appends each as a
 *						record to the file, and syncs it once a second
 *	spool_loop out ADDRESS FILE COUNT	reads the records and writes the lines to a socket
 *
 * As the daemon does, the second one records in another file how far it is, and syncs that before
 * it reads more than 1M beyond it: so much may be sent again after a loss of power.
 *
 * A record has a head of 32 bytes with a CRC-32, as those of the daemon.
 */
#include <sys/socket.h>
#include <sys/un.h>

#include <err.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "checksum.h"

#define READ_SIZE (60 * 1024)
#define HEAD 32
#define AHEAD (1024 * 1024)

static uint8_t in[2 * READ_SIZE], out[4 * READ_SIZE];

static double
now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int
connect_to(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof(to)) < 0)
		err(1, "%s", path);
	return fd;
}

static void
write_all(int fd, const uint8_t *data, size_t len)
{
	ssize_t n;

	for (; len > 0; data += n, len -= (size_t)n)
		if ((n = write(fd, data, len)) <= 0)
			err(1, "write");
}

/* Makes a record of a line; returns its length. */
static size_t
put(uint8_t *to, const uint8_t *line, uint32_t len, uint64_t number)
{
	uint64_t time = (uint64_t)(now() * 1e9);
	uint32_t crc;

	memset(to, 0, HEAD);
	memcpy(to + 4, &len, 4);
	memcpy(to + 8, &number, 8);
	memcpy(to + 16, &time, 8);
	memcpy(to + HEAD, line, len);
	crc = crc32_ieee(0, to + 4, HEAD - 4 + len);
	memcpy(to, &crc, 4);
	return HEAD + len;
}

static void
take_in(int sock, int file, uint64_t count)
{
	size_t held = 0, made, at;
	uint64_t number = 0;
	double synced = now();
	uint8_t *end;
	ssize_t n;

	while (number < count) {
		if ((n = read(sock, in + held, READ_SIZE)) <= 0)
			errx(1, "the input has ended");
		held += (size_t)n;
		for (made = at = 0;
		     (end = memchr(in + at, '\n', held - at)) != NULL;
		     at = (size_t)(end + 1 - in))
			made += put(out + made, in + at,
			    (uint32_t)(end - in - (long)at), ++number);
		memmove(in, in + at, held -= at);
		write_all(file, out, made);
		if (now() - synced < 1)
			continue;
		fdatasync(file);
		synced = now();
	}
	fdatasync(file);
}

static void
record(int ledger, uint64_t position)
{
	if (pwrite(ledger, &position, sizeof(position), 0) < 0 ||
	    fdatasync(ledger) < 0)
		err(1, "the ledger");
}

static void
give_out(int sock, int file, int ledger, uint64_t count)
{
	size_t held = 0, made, at;
	uint64_t number = 0, position = 0, recorded = 0;
	uint32_t len, crc;
	ssize_t n;

	while (number < count) {
		if (position + READ_SIZE > recorded + AHEAD)
			record(ledger, recorded = position);
		if ((n = read(file, in + held, READ_SIZE)) <= 0)
			errx(1, "the file has ended");
		held += (size_t)n;
		for (made = at = 0; at + HEAD <= held; at += HEAD + len) {
			memcpy(&crc, in + at, 4);
			memcpy(&len, in + at + 4, 4);
			if (at + HEAD + len > held)
				break;
			if (crc32_ieee(0, in + at + 4, HEAD - 4 + len) != crc)
				errx(1, "a wrong checksum");
			memcpy(out + made, in + at + HEAD, len);
			made += len;
			out[made++] = '\n';
			number++;
		}
		position += at;
		memmove(in, in + at, held -= at);
		write_all(sock, out, made);
	}
}

static int
open_ledger(const char *file)
{
	char path[512];
	int fd;

	snprintf(path, sizeof(path), "%s.ledger", file);
	if ((fd = open(path, O_RDWR | O_CREAT, 0600)) < 0)
		err(1, "%s", path);
	return fd;
}

int
main(int argc, char **argv)
{
	int sock, file;

	if (argc != 5)
		errx(2, "spool_loop in|out SOCKET FILE COUNT");
	sock = connect_to(argv[2]);
	file = open(argv[3], O_RDWR | O_CREAT | O_APPEND, 0600);
	if (file < 0)
		err(1, "%s", argv[3]);
	if (strcmp(argv[1], "in") == 0)
		take_in(sock, file, strtoull(argv[4], NULL, 10));
	else
		give_out(sock, file, open_ledger(argv[3]),
		    strtoull(argv[4], NULL, 10));
	return 0;
}
