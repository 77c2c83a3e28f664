/*
 * limit: what a hand-written loop does on this machine, as the measure of a bridge.
 *
 *	limit MODE DIR PAIRS	joins DIR/A0 with DIR/B0, and so on
 *	limit tcp DIR PORT	DIR/A0 with the clients of a TCP port
 *	limit tls DIR PORT	DIR/A0 with one client of TLS (limit_tls.c)
 *
 * raw passes what a read brought.  line, nmea and mavlink pass whole frames with
 * good checksums, in one write a read and uncopied; slip makes COBS of SLIP on the
 * way from A to B.  There are no features, no counters and no queues: what cannot
 * be written stops the reading.  Built for the very machine that it runs on.
 */
#include <sys/epoll.h>
#include <sys/socket.h>

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>
#ifdef __x86_64__
#include <immintrin.h>
#endif

#include "limit.h"

#define BUFFER 65536
#define READ 16384
#define CLIENTS 256
#define EVENTS 256

struct port {
	int fd;
	struct port *peer;
	uint8_t *in; /* what has been read */
	size_t len;
	uint8_t *out; /* what goes to the peer, perhaps in */
	size_t from, to;
	uint32_t armed; /* what epoll watches */
};

/* Takes whole frames from p->in: sets p->to, and returns what was used. */
typedef size_t parse_fn(struct port *p);

static int poller;
static unsigned long frames, faults; /* a parser would have a use for them */
static uint32_t ends[BUFFER];	     /* and for these */

/* --- parts of parsers ---------------------------------------------------- */

/* A bit for each of 32 bytes that is a or b. */
static inline uint32_t
match(const uint8_t *p, uint8_t a, uint8_t b)
{
#ifdef __AVX2__
	__m256i v = _mm256_loadu_si256((const void *)p);

	return (uint32_t)_mm256_movemask_epi8(
	    _mm256_or_si256(_mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)a)),
		_mm256_cmpeq_epi8(v, _mm256_set1_epi8((char)b))));
#else
	uint32_t mask = 0;

	for (int i = 0; i < 32; i++)
		mask |= (uint32_t)(p[i] == a || p[i] == b) << i;
	return mask;
#endif
}

#define POLYNOMIAL 0x8408 /* X.25, its bits reflected */
static uint16_t table[16][256];

static void
crc_tables(void)
{
	for (unsigned i = 0; i < 256; i++) {
		uint16_t c = (uint16_t)i;

		for (int k = 0; k < 8; k++)
			c = (uint16_t)(c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1);
		table[0][i] = c;
	}
	for (int t = 1; t < 16; t++)
		for (unsigned i = 0; i < 256; i++)
			table[t][i] = (uint16_t)(table[t - 1][i] >> 8 ^
			    table[0][table[t - 1][i] & 0xff]);
}

/* Sixteen bytes a step, one table each. */
static uint16_t
crc_sliced(uint16_t crc, const uint8_t *p, size_t len)
{
	for (; len >= 16; len -= 16, p += 16) {
		uint16_t c = table[15][p[0] ^ (crc & 0xff)] ^
		    table[14][p[1] ^ (crc >> 8)];

		for (int i = 2; i < 16; i++)
			c ^= table[15 - i][p[i]];
		crc = c;
	}
	while (len-- > 0)
		crc = (uint16_t)(crc >> 8 ^ table[0][(crc ^ *p++) & 0xff]);
	return crc;
}

#ifdef __PCLMUL__
/* x to the n modulo the polynomial, its highest power in the lowest bit of 64. */
static uint64_t
power(unsigned n)
{
	uint16_t c = 0x8000; /* 1 */

	while (n-- > 0)
		c = (uint16_t)(c & 1 ? c >> 1 ^ POLYNOMIAL : c >> 1);
	return (uint64_t)c << 48;
}

/*
 * Carries 16 bytes over the next 16 by two products, which is congruent; the last 16
 * go through the tables.  A product of reflected numbers is one power too high.
 */
static uint16_t
crc_x25(const uint8_t *p, size_t len)
{
	static __m128i factors;
	static bool ready;
	__m128i sum;
	uint8_t rest[16];

	if (len < 48)
		return crc_sliced(0xffff, p, len);
	if (!ready)
		factors = _mm_set_epi64x(
		    (long long)power(127), (long long)power(191));
	ready = true;
	sum = _mm_xor_si128(
	    _mm_loadu_si128((const void *)p), _mm_cvtsi32_si128(0xffff));
	for (p += 16, len -= 16; len >= 16; p += 16, len -= 16)
		sum = _mm_xor_si128(_mm_loadu_si128((const void *)p),
		    _mm_xor_si128(_mm_clmulepi64_si128(sum, factors, 0x00),
			_mm_clmulepi64_si128(sum, factors, 0x11)));
	_mm_storeu_si128((void *)rest, sum);
	return crc_sliced(crc_sliced(0, rest, 16), p, len);
}
#else
static uint16_t
crc_x25(const uint8_t *p, size_t len)
{
	return crc_sliced(0xffff, p, len);
}
#endif

/* Cuts n bad bytes out of what has been read. */
static void
cut(struct port *p, uint8_t *at, size_t n)
{
	faults++;
	memmove(at, at + n, p->len - (size_t)(at - p->in) - n);
	p->len -= n;
}

/* --- parsers ------------------------------------------------------------- */

static size_t
parse_line(struct port *p)
{
	uint8_t *last = memrchr(p->in, '\n', p->len);
	size_t n = last == NULL ? 0 : (size_t)(last + 1 - p->in), k = 0;

	for (size_t i = 0; i < n; i += 32) {
		uint32_t mask = match(p->in + i, '\n', '\n');

		if (n - i < 32)
			mask &= (1U << (n - i)) - 1;
		for (; mask != 0; mask &= mask - 1)
			ends[k++] =
			    (uint32_t)(i + (unsigned)__builtin_ctz(mask));
	}
	frames += k;
	return p->to = n;
}

static unsigned
hex(uint8_t c)
{
	return c >= 'A' ? c - 'A' + 10U : c - '0' + 0U;
}

static bool
good_nmea(const uint8_t *s, size_t n)
{
	uint8_t sum = 0;

	if (n < 9 || (*s != '$' && *s != '!') || s[n - 5] != '*')
		return false;
	for (size_t i = 1; i < n - 5; i++)
		sum ^= s[i];
	return sum == (hex(s[n - 4]) << 4 | hex(s[n - 3]));
}

static size_t
parse_nmea(struct port *p)
{
	uint8_t *s = p->in, *lf;

	while ((lf = memchr(s, '\n', (size_t)(p->in + p->len - s))) != NULL) {
		size_t n = (size_t)(lf + 1 - s);

		if (!good_nmea(s, n)) {
			cut(p, s, n);
			continue;
		}
		frames++;
		s = lf + 1;
	}
	return p->to = (size_t)(s - p->in);
}

static size_t
parse_mavlink(struct port *p)
{
	static const uint8_t extra[256] = {
		[2] = 137, [131] = 223, [253] = 83
	};
	uint8_t *s = p->in, *next;
	size_t left, n;

	while ((left = (size_t)(p->in + p->len - s)) >= 12) {
		uint16_t crc;

		n = 12 + (size_t)s[1];
		if (*s != 0xfd) {
			next = memchr(s, 0xfd, left);
			cut(p, s, next ? (size_t)(next - s) : left);
			continue;
		}
		if (left < n)
			break;
		crc = crc_x25(s + 1, n - 3);
		crc =
		    (uint16_t)(crc >> 8 ^ table[0][(crc ^ extra[s[7]]) & 0xff]);
		if (crc != (s[n - 2] | s[n - 1] << 8)) {
			cut(p, s, 1);
			continue;
		}
		frames++;
		s += n;
	}
	return p->to = (size_t)(s - p->in);
}

/* One frame, up to its END; reads and writes up to 32 bytes further. */
static size_t
slip_decode(const uint8_t *s, uint8_t *to)
{
	uint8_t *d = to;

	for (;;) {
		uint32_t mask = match(s, 0xc0, 0xdb);
		size_t n = mask ? (size_t)__builtin_ctz(mask) : 32;

		memcpy(d, s, 32);
		d += n;
		s += n;
		if (mask == 0)
			continue;
		if (*s == 0xc0)
			return (size_t)(d - to);
		*d++ = s[1] == 0xdc ? 0xc0 : 0xdb;
		s += 2;
	}
}

/* The same of it. */
static size_t
cobs_encode(const uint8_t *s, size_t len, uint8_t *to)
{
	const uint8_t *end = s + len;
	uint8_t *code = to;

	for (;;) {
		size_t left = (size_t)(end - s), room = left < 254 ? left : 254;
		uint32_t mask = 0;
		size_t n;

		for (n = 0; n < room && mask == 0; n += 32) {
			memcpy(code + 1 + n, s + n, 32);
			mask = match(s + n, 0, 0);
		}
		if (mask != 0)
			n += (size_t)__builtin_ctz(mask) - 32;
		if (n > room)
			n = room;
		*code = (uint8_t)(n + 1);
		code += n + 1;
		s += n;
		if (s == end && n < 254)
			break;
		if (n < 254)
			s++;
	}
	*code++ = 0;
	return (size_t)(code - to);
}

static size_t
parse_slip(struct port *p)
{
	static uint8_t payload[BUFFER + 64];
	uint8_t *s = p->in, *end;
	size_t n;

	while ((end = memchr(s, 0xc0, (size_t)(p->in + p->len - s))) != NULL) {
		n = slip_decode(s, payload);
		p->to += cobs_encode(payload, n, p->out + p->to);
		s = end + 1;
		frames++;
	}
	return (size_t)(s - p->in);
}

/* --- the loop ------------------------------------------------------------ */

static void
arm(struct port *p, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = p };

	if (p->armed != events)
		epoll_ctl(poller,
		    p->armed == ~0U ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, p->fd, &e);
	p->armed = events;
}

/* True when all is out. */
static bool
push(struct port *p)
{
	while (p->from < p->to) {
		ssize_t n =
		    write(p->peer->fd, p->out + p->from, p->to - p->from);

		if (n == -1 && errno == EAGAIN)
			return false;
		if (n == -1)
			err(1, "write");
		p->from += (size_t)n;
	}
	p->from = p->to = 0;
	return true;
}

static void
arm_both(struct port *p)
{
	struct port *q = p->peer;

	arm(p, (p->to == 0 ? EPOLLIN : 0) | (q->to > 0 ? EPOLLOUT : 0U));
	arm(q, (q->to == 0 ? EPOLLIN : 0) | (p->to > 0 ? EPOLLOUT : 0U));
}

static void
keep_rest(struct port *p, size_t used)
{
	p->len -= used;
	memmove(p->in, p->in + used, p->len);
	if (p->len > BUFFER / 2)
		p->len = 0;
}

static void
input(struct port *p, parse_fn *parse)
{
	ssize_t n = read(p->fd, p->in + p->len, READ);
	size_t used;

	if (n == -1 && errno == EAGAIN)
		return;
	if (n <= 0)
		exit(0);
	p->len += (size_t)n;
	used = parse != NULL ? parse(p) : (p->to = p->len);
	if (!push(p)) {
		arm_both(p);
		if (p->out == p->in)
			return; /* it stays until it is out */
	}
	keep_rest(p, used);
}

static void
output(struct port *p)
{
	size_t used = p->to;

	if (!push(p))
		return;
	if (p->out == p->in)
		keep_rest(p, used);
	arm_both(p);
}

static void
run_ports(const char *dir, unsigned pairs, parse_fn *parse)
{
	struct port *port = calloc(2 * (size_t)pairs, sizeof(*port)), *p;
	struct epoll_event e[EVENTS];

	for (unsigned i = 0; port != NULL && i < 2 * pairs; i++) {
		p = &port[i];
		p->fd = limit_open_tty(dir, i & 1 ? 'B' : 'A', i / 2);
		p->peer = &port[i ^ 1];
		p->in = malloc(2 * BUFFER);
		p->out = parse == parse_slip ? malloc(2 * BUFFER) : p->in;
		if (p->in == NULL || p->out == NULL)
			errx(1, "out of memory");
		p->armed = ~0U;
		arm(p, EPOLLIN);
	}
	for (;;) {
		int n = epoll_wait(poller, e, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			p = e[i].data.ptr;
			if (e[i].events & EPOLLOUT && p->peer->to > 0)
				output(p->peer);
			if (e[i].events & (EPOLLIN | EPOLLHUP) && p->to == 0)
				input(p, parse);
		}
	}
}

/* --- TCP: each client gets every byte, all wait for the slowest ----------- */

static struct port line;	    /* out: what the clients get */
static struct port client[CLIENTS]; /* from: how far this one is */
static unsigned waiting;	    /* clients that are not through */

static void
client_push(struct port *c)
{
	ssize_t n = write(c->fd, line.out + c->from, line.to - c->from);

	if (n > 0)
		c->from += (size_t)n;
	waiting -= c->armed & EPOLLOUT ? 1 : 0;
	waiting += c->from < line.to;
	arm(c, EPOLLIN | (c->from < line.to ? EPOLLOUT : 0U));
}

/* The line is read when nobody has anything of it still to get. */
static void
line_next(void)
{
	if (waiting == 0)
		line.to = 0;
	arm(&line, waiting == 0 ? EPOLLIN : 0);
}

static void
line_input(void)
{
	ssize_t n;

	do {
		n = read(line.fd, line.out + line.to, BUFFER - line.to);
		line.to += n > 0 ? (size_t)n : 0;
	} while (n >= 4095 && line.to < BUFFER - 4096);
	if (n == 0 || (n == -1 && errno != EAGAIN))
		exit(0);
	for (int i = 0; i < CLIENTS && line.to > 0; i++) {
		client[i].from = 0;
		if (client[i].fd > 0)
			client_push(&client[i]);
	}
	line_next();
}

/* To the line; it is never so full that this would matter here. */
static void
client_input(struct port *c)
{
	static uint8_t buffer[READ];
	ssize_t n = read(c->fd, buffer, sizeof(buffer));

	if (n > 0 && write(line.fd, buffer, (size_t)n) != n)
		errx(1, "the line is full");
	if (n > 0 || (n == -1 && errno == EAGAIN))
		return;
	waiting -= c->armed & EPOLLOUT ? 1 : 0;
	line_next();
	close(c->fd);
	c->fd = 0;
}

static void
accept_client(int listener)
{
	int one = 1, i = 0;

	while (i < CLIENTS - 1 && client[i].fd > 0)
		i++;
	client[i] = (struct port){ .armed = ~0U, .from = line.to };
	client[i].fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
	if (client[i].fd == -1)
		err(1, "accept");
	setsockopt(client[i].fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	arm(&client[i], EPOLLIN);
}

static void
run_tcp(const char *dir, unsigned number)
{
	struct port listener = { .fd = limit_listen(number), .armed = ~0U };
	struct epoll_event e[EVENTS];

	line.fd = limit_open_tty(dir, 'A', 0);
	line.armed = ~0U;
	if ((line.out = malloc(BUFFER)) == NULL)
		errx(1, "out of memory");
	arm(&line, EPOLLIN);
	arm(&listener, EPOLLIN);
	for (;;) {
		int n = epoll_wait(poller, e, EVENTS, -1);

		for (int i = 0; i < n; i++) {
			struct port *p = e[i].data.ptr;

			if (p == &listener)
				accept_client(listener.fd);
			else if (p == &line && waiting == 0)
				line_input();
			else if (p != &line && e[i].events & EPOLLOUT) {
				client_push(p);
				line_next();
			}
			if (p >= client && p < client + CLIENTS &&
			    e[i].events & (EPOLLIN | EPOLLHUP))
				client_input(p);
		}
	}
}

int
main(int argc, char *argv[])
{
	static const struct {
		const char *name;
		parse_fn *parse;
	} modes[] = { { "raw", NULL }, { "line", parse_line },
		{ "nmea", parse_nmea }, { "mavlink", parse_mavlink },
		{ "slip", parse_slip } };

	if (argc != 4)
		errx(2, "limit raw|line|nmea|mavlink|slip|tcp|tls DIR NUMBER");
	crc_tables();
	if ((poller = epoll_create1(0)) == -1)
		err(1, "epoll");
	if (strcmp(argv[1], "tcp") == 0)
		run_tcp(argv[2], (unsigned)atoi(argv[3]));
	if (strcmp(argv[1], "tls") == 0)
		limit_tls(argv[2], (unsigned)atoi(argv[3]));
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (strcmp(argv[1], modes[i].name) == 0)
			run_ports(
			    argv[2], (unsigned)atoi(argv[3]), modes[i].parse);
	errx(2, "no such mode: %s", argv[1]);
}
