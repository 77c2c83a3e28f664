/*
 * crowd: masters that send requests and check the answers.
 *
 * The answer that the unit gave to a request is kept with the request, which its first
 * address identifies: an answer that a master receives has to be that one.  As the unit
 * executes the requests of a master in the order in which it sent them, this includes
 * that what is read is what was written last.
 */
#include <sys/epoll.h>

#include <err.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crowd.h"
#include "ports.h"
#include "result.h"
#include "subject.h"

#define LOOK (5 * MSEC) /* between looks for answers that are overdue */
#define TOO_MANY 10000	/* lost: there is no gateway any more */
#define SAID 200	/* faults that are described */
#define GATEWAY_EXCEPTIONS 0x0a

struct counts counts;

struct master {
	int fd;
	enum form form;
	unsigned window;
	unsigned waiting;  /* requests */
	uint64_t sequence; /* of the next request */
	uint64_t executed; /* sequence after the last that was */
	uint64_t not_before_ns;
	uint64_t answers;
	struct request request[SLOTS];
	size_t len; /* of what has come, and is no whole message yet */
	uint8_t in[4 * WIRE_MAX];
};

static const char *const kinds[] = {
	[FORM_RTU] = "rtu", [FORM_ASCII] = "ascii", [FORM_TCP] = "tcp"
};

static struct crowd_conf conf;
static struct master masters[MASTERS];
static unsigned nmasters, connected;
static unsigned left; /* requests to be sent */
static uint64_t look_ns;
static uint32_t *times;
static size_t ntimes;
static bool counting;
static unsigned nfaults;

/* --- what is counted ----------------------------------------------------- */

static void
say_message(const char *what, const struct message *m)
{
	fprintf(stderr, "%s", what);
	for (size_t i = 0; i < m->len; i++)
		fprintf(stderr, " %02x", m->inner[i]);
}

/* Counts what should not happen; the first of it is described. */
static void
fault(uint64_t *count, const char *what, const struct request *r,
    const struct message *got)
{
	++*count;
	if (!counting || nfaults++ >= SAID)
		return;
	fprintf(stderr, "masters: %s", what);
	if (r != NULL)
		say_message(": request", &r->sent);
	if (r != NULL && r->executed)
		say_message(", answer of the unit", &r->answer);
	if (got != NULL)
		say_message(", received", got);
	fprintf(stderr, "\n");
}

void
crowd_fault(const char *what)
{
	fault(&counts.bad, what, NULL, NULL);
}

/* --- the masters --------------------------------------------------------- */

static struct master *
add_master(enum form form, int fd)
{
	struct master *m = &masters[nmasters++];

	m->form = form;
	m->fd = fd;
	m->window = 1;
	return m;
}

static void
add_ptys(enum form form, char side, unsigned n)
{
	int master, slave;

	for (unsigned i = 0; i < n; i++) {
		port_pty(conf.dir, side, i, &master, &slave);
		add_master(form, master);
	}
}

void
crowd_init(const struct crowd_conf *wanted, int bus_fd)
{
	conf = *wanted;
	if (conf.no_bridge) {
		add_master(FORM_RTU, bus_fd);
	} else {
		if (conf.tcp + conf.rtu + conf.ascii > MASTERS)
			errx(2, "at most %d masters", MASTERS);
		for (unsigned i = 0; i < conf.tcp; i++)
			add_master(FORM_TCP, -1)->window = 1 + i % conf.window;
		add_ptys(FORM_RTU, 'R', conf.rtu);
		add_ptys(FORM_ASCII, 'A', conf.ascii);
	}
	times = calloc(conf.requests, sizeof(*times));
	if (times == NULL)
		errx(1, "out of memory");
}

bool
crowd_connect(void)
{
	for (; connected < nmasters && masters[connected].form == FORM_TCP;
	     connected++) {
		masters[connected].fd = port_connect(conf.port);
		if (masters[connected].fd == -1)
			return false;
	}
	return true;
}

void
crowd_watch(int poller)
{
	for (unsigned i = 0; i < nmasters; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

		if (epoll_ctl(poller, EPOLL_CTL_ADD, masters[i].fd, &e) == -1)
			err(1, "epoll_ctl");
	}
}

unsigned
crowd_size(void)
{
	return nmasters;
}

/* --- requests ------------------------------------------------------------ */

static void
send_request(struct master *m)
{
	unsigned slot = m->sequence % SLOTS;
	struct request *r = &m->request[slot];
	uint8_t wire[WIRE_MAX];
	size_t len;

	*r = (struct request){ .sequence = m->sequence++, .waits = true };
	r->sent.number = (uint16_t)r->sequence;
	model_request((unsigned)(m - masters), slot, &r->sent);
	len = message_encode(m->form, &r->sent, wire);
	m->waiting++;
	r->sent_ns = clock_ns();
	if (write(m->fd, wire, len) != (ssize_t)len)
		err(1, "a request was not taken");
}

static void
send_more(struct master *m)
{
	while (left > 0 && m->waiting < m->window &&
	    !m->request[m->sequence % SLOTS].waits &&
	    clock_ns() >= m->not_before_ns) {
		left--;
		send_request(m);
	}
}

void
crowd_ask(unsigned master)
{
	send_request(&masters[master]);
}

bool
crowd_waits(unsigned master)
{
	return masters[master].waiting > 0;
}

/* The request is at its end. */
static void
finish(struct master *m, struct request *r)
{
	r->waits = false;
	m->waiting--;
	if (conf.gap > 0)
		m->not_before_ns = clock_ns() + conf.gap * 1000ULL;
	send_more(m);
}

void
crowd_give_up(unsigned master)
{
	for (unsigned i = 0; i < SLOTS; i++)
		if (masters[master].request[i].waits)
			finish(&masters[master], &masters[master].request[i]);
}

void
crowd_start(void)
{
	counts = (struct counts){ 0 };
	counting = true;
	left = conf.requests;
	ntimes = 0;
	for (unsigned i = 0; i < nmasters; i++) {
		masters[i].answers = 0;
		send_more(&masters[i]);
	}
}

bool
crowd_over(void)
{
	for (unsigned i = 0; i < nmasters; i++)
		if (masters[i].waiting > 0)
			return false;
	return left == 0;
}

struct request *
crowd_asked(const struct message *message)
{
	unsigned owner, slot;
	struct master *m;
	struct request *r;

	if (!model_owner(message, &owner, &slot) || owner >= nmasters ||
	    !message_same(message, &masters[owner].request[slot].sent)) {
		fault(&counts.bad, "nobody sent this", NULL, message);
		return NULL;
	}
	m = &masters[owner];
	r = &m->request[slot];
	if (!r->waits) {
		fault(&counts.stale, "executed too late", r, NULL);
		return NULL;
	}
	if (r->executed && r->spoiled)
		counts.repeated++;
	else if (r->executed)
		fault(&counts.doubled, "executed twice", r, NULL);
	else if (r->sequence < m->executed)
		fault(&counts.disordered, "executed too late", r, NULL);
	if (r->sequence >= m->executed)
		m->executed = r->sequence + 1;
	r->executed = true;
	r->spoiled = false;
	return r;
}

/* --- answers ------------------------------------------------------------- */

static void
no_answer(struct request *r, uint64_t *count, const struct message *got)
{
	if (r->executed && r->spoiled)
		++*count;
	else
		fault(&counts.lost, "not answered", r, got);
	if (counts.lost > TOO_MANY)
		errx(1, "%d requests were lost", TOO_MANY);
}

static bool
is_refusal(const struct message *answer)
{
	return answer->len == 3 && answer->inner[1] & 0x80 &&
	    (answer->inner[2] & ~1) == GATEWAY_EXCEPTIONS;
}

static void
note_time(const struct request *r, uint64_t now)
{
	uint64_t ns = now - r->sent_ns - (r->out_ns - r->in_ns);

	if (ntimes < conf.requests)
		times[ntimes++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

/* The request that an answer is for. */
static struct request *
find_request(struct master *m, const struct message *answer)
{
	struct request *r;

	for (unsigned i = 0; i < SLOTS; i++) {
		r = &m->request[i];
		if (r->waits &&
		    (m->form != FORM_TCP || r->sent.number == answer->number))
			return r;
	}
	return NULL;
}

static void
take_answer(struct master *m, const struct message *answer, uint64_t now)
{
	struct request *r = find_request(m, answer);

	if (r == NULL) {
		fault(&counts.doubled, "not asked for", NULL, answer);
		return;
	}
	if (r->executed && message_same(&r->answer, answer)) {
		counts.answers++;
		counts.exceptions += answer->inner[1] >> 7;
		m->answers++;
		note_time(r, now);
	} else if (is_refusal(answer)) {
		no_answer(r, &counts.refused, answer);
	} else {
		fault(&counts.bad, "a wrong answer", r, answer);
	}
	finish(m, r);
}

void
crowd_input(unsigned master)
{
	struct master *m = &masters[master];
	ssize_t n = read(m->fd, m->in + m->len, sizeof(m->in) - m->len);
	uint64_t now = clock_ns();
	struct message answer;
	size_t at = 0;
	long used;

	if (n == -1 && (errno == EAGAIN || errno == EINTR))
		return;
	if (n <= 0)
		errx(1, "master %u was disconnected", master);
	m->len += (size_t)n;
	while ((used = message_decode(
		    m->form, true, m->in + at, m->len - at, &answer)) > 0) {
		at += (size_t)used;
		take_answer(m, &answer, now);
	}
	if (used < 0) {
		crowd_fault("no message at a master");
		at = m->len;
	}
	m->len -= at;
	memmove(m->in, m->in + at, m->len);
}

static void
look_for_overdue(struct master *m, uint64_t now)
{
	for (unsigned i = 0; i < SLOTS; i++) {
		struct request *r = &m->request[i];

		if (!r->waits || now < r->sent_ns + conf.timeout * MSEC)
			continue;
		no_answer(r, &counts.timeouts, NULL);
		finish(m, r);
	}
}

/* Sends what masters have not sent yet for the silence between their requests. */
static uint64_t
send_due(uint64_t now)
{
	uint64_t next = look_ns;

	for (unsigned i = 0; i < nmasters; i++) {
		if (now >= masters[i].not_before_ns)
			send_more(&masters[i]);
		else if (masters[i].not_before_ns < next)
			next = masters[i].not_before_ns;
	}
	return next;
}

uint64_t
crowd_due(uint64_t now)
{
	if (now >= look_ns) {
		look_ns = now + LOOK;
		for (unsigned i = 0; i < nmasters; i++)
			look_for_overdue(&masters[i], now);
	}
	return left > 0 && conf.gap > 0 ? send_due(now) : look_ns;
}

/* --- the result ---------------------------------------------------------- */

/* Jain's index of the answers that the masters of a kind got: 1 if all got the same. */
static void
put_fairness(enum form form)
{
	double sum = 0, squares = 0, n = 0;
	char name[32];

	for (unsigned i = 0; i < nmasters; i++) {
		double x = (double)masters[i].answers;

		if (masters[i].form != form)
			continue;
		sum += x;
		squares += x * x;
		n++;
	}
	if (squares == 0)
		return;
	snprintf(name, sizeof(name), "jain_%s", kinds[form]);
	put(name, sum * sum / (n * squares));
}

void
crowd_put(double seconds)
{
	put("requests", conf.requests);
	put("requests_s", (double)counts.answers / seconds);
	put("answers", (double)counts.answers);
	put("bad", (double)counts.bad);
	put("lost", (double)counts.lost);
	put("doubled", (double)counts.doubled);
	put("disordered", (double)counts.disordered);
	put("stale", (double)counts.stale);
	put("exceptions", (double)counts.exceptions);
	put("refused", (double)counts.refused);
	put("timeouts", (double)counts.timeouts);
	put("repeated", (double)counts.repeated);
	for (enum form form = FORM_RTU; form <= FORM_TCP; form++)
		put_fairness(form);
	put_times("", times, ntimes);
}
