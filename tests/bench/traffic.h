/*
 * traffic: streams through a bridge: the ports, what goes in and what comes out.
 */
#ifndef TRAFFIC_H
#define TRAFFIC_H

#include <sys/epoll.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "pattern.h"

#define MSEC 1000000ULL
#define SEC 1000000000ULL
#define RING 1024 /* messages of a stream under way */
#define EVENTS 512

/* A place where a stream comes out. */
struct sink {
	int fd;
	bool readable;
	bool lazy; /* never read */
	uint64_t got;
	struct check check;
	struct stream *stream;
};

struct stream {
	int fd;
	bool writable;
	const struct pattern *in, *out;
	size_t at;     /* what to send next */
	uint64_t sent; /* bytes */
	struct sink *sinks;
	unsigned nsinks;
	uint64_t frames, seen; /* sent, and come out again */
	uint64_t *sent_at;
};

/* By descriptor. */
struct end {
	struct stream *writes;
	struct sink *reads;
};

/* What to make. */
struct traffic_conf {
	const char *dir;	    /* where the bridge finds the ports */
	const char *format, *other; /* of side A, and of B: NULL is the same */
	unsigned pairs;
	unsigned clients; /* of TCP, instead of side B */
	unsigned port;
	unsigned ready; /* seconds to be forwarding in */
	int both;	/* B to A too */
	int back;	/* only B to A */
	int tls;	/* the clients speak TLS... */
	int telnet;	/* ...or telnet */
	int each;	/* a process for each pair */
	int lazy;	/* the first sink is never read */
};

extern struct stream *streams;
extern unsigned nstreams;
extern struct end *ends;
extern bool stalled; /* set: nobody reads */

/*
 * Opens the ports, starts the bridge, makes the streams and waits until all forward.
 * Returns the time from there to the first byte, in milliseconds.
 */
double traffic_start(const struct traffic_conf *conf, char *words[]);
/* How many bytes should have come out of each sink of a stream. */
uint64_t expected(const struct stream *s);
/* Sends up to len bytes of the pattern; returns how many went. */
size_t send_some(struct stream *s, size_t len);
/* From what is next to the end of its frame. */
size_t frame_rest(const struct stream *s);
/* Reads once, and compares; false when there is nothing. */
bool receive(struct sink *sink);
/* All may be readable and writable again. */
void everything_ready(void);
/* Waits for events at most so long; the streams' flags are set by them. */
int wait_events(struct epoll_event e[EVENTS], uint64_t ns);
/* Writes and reads as much as goes until then. */
void flow_until(uint64_t end);
/* Ends the frames that have been begun, and waits until all has come. */
void finish(void);

#endif
