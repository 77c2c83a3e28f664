/*
 * crowd: the masters, the requests that they have under way, and what is counted.
 */
#ifndef CROWD_H
#define CROWD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "message.h"
#include "model.h"

#define MSEC 1000000ULL
#define SEC 1000000000ULL
#define NEVER UINT64_MAX

struct request {
	struct message sent;
	struct message answer; /* the unit's */
	uint64_t sequence;     /* of its master */
	uint64_t sent_ns;
	uint64_t in_ns, out_ns; /* read by the unit, answered */
	bool waits;		/* for its answer */
	bool executed;
	bool spoiled; /* its answer was damaged, or late */
};

struct crowd_conf {
	const char *dir;
	unsigned tcp, rtu, ascii; /* masters of each kind */
	unsigned port;
	unsigned requests;
	unsigned
	    window; /* requests that the masters of TCP have under way: 1 to
			      this, in turn */
	unsigned timeout; /* ms */
	unsigned ready;	  /* seconds */
	unsigned gap;	  /* us from an answer to the next request */
	int no_bridge;
};

/* What no gateway may do is in the first part. */
struct counts {
	uint64_t bad;	  /* answers, or requests on the bus, that are others */
	uint64_t lost;	  /* not answered, although the unit did answer */
	uint64_t doubled; /* answered or executed twice */
	uint64_t disordered; /* executed after a later one of the same master */
	uint64_t stale;	     /* executed after its master had given up */
	uint64_t answers;
	uint64_t exceptions; /* the unit's own, of the answers */
	uint64_t refused;    /* by the gateway, as the answer was spoiled */
	uint64_t timeouts;   /* at the master, the same */
	uint64_t repeated;   /* executed again, as the answer was spoiled */
};

extern struct counts counts;

/*
 * Opens the ports of the masters: the bridge finds those of RTU as DIR/R0, DIR/R1 and so
 * on, those of ASCII as DIR/A0.  With no bridge, the only master uses the tty of the bus.
 */
void crowd_init(const struct crowd_conf *conf, int bus_fd);
/* The connections, when somebody listens; false: nobody does yet. */
bool crowd_connect(void);
/* Watched in the poller with its number as data. */
void crowd_watch(int poller);
unsigned crowd_size(void);
/* Sends one request, whose answer is awaited until it is given up. */
void crowd_ask(unsigned master);
bool crowd_waits(unsigned master);
void crowd_give_up(unsigned master);
/* Forgets what was counted, and sends all requests. */
void crowd_start(void);
/* All requests have come to their end. */
bool crowd_over(void);
/* Reads what has come for a master. */
void crowd_input(unsigned master);
/* Does what is due; returns when it wants to be called again. */
uint64_t crowd_due(uint64_t now);
/* The request that a unit has received; NULL: nobody sent it, or has given it up. */
struct request *crowd_asked(const struct message *m);
/* Counts something that is bad. */
void crowd_fault(const char *what);
/* Prints counts, fairness and times. */
void crowd_put(double seconds);

#endif
