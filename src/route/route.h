/*
 * route: the table of routes.  Determines the destinations of a source, and whether a
 * frame is forwarded to each.  Forwards nothing itself.
 *
 * Endpoints are identified by their index in the configuration.  The targets of each
 * source are computed when the table is built, so that a lookup does not depend on the
 * number of routes.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "duplicates.h"
#include "expression.h"
#include "key.h"
#include "filter.h"
#include "stats.h"
#include "systems.h"
#include "error.h"

/* Whether the route is an exchange, in which masters share a bus, and of which protocol. */
enum exchange_kind { EXCHANGE_NONE, EXCHANGE_MODBUS, EXCHANGE_ANY };
enum functions { FUNCTIONS_ALL, FUNCTIONS_READ };
/* Which of several sources, or destinations, a route uses: all, or the first live one. */
enum prefer { PREFER_NONE, PREFER_FROM, PREFER_TO };
/* Where addressed MAVLink messages go: everywhere, or where their system was heard. */
enum routing { ROUTING_ALL, ROUTING_TARGET };
#define FAIL_AFTER (3 * NSEC_PER_SEC)
#define RECOVER_AFTER (10 * NSEC_PER_SEC)
#define ANSWER_TIMEOUT NSEC_PER_SEC
#define REQUEST_TIMEOUT (5 * NSEC_PER_SEC)
#define EXCHANGE_WINDOW_MAX 32
#define ROUTE_KEYS 48 /* the maximum number of keys */

/* A parsed [route NAME] section. */
struct route_conf {
	char *name;
	char *text;	  /* the section, for comparison */
	const char *file; /* file that contains it, for messages */
	int line;
	char *between, *from, *to; /* as written */
	bool incomplete;	   /* a fault of a key has been reported */
	int key_line[ROUTE_KEYS]; /* by the index in route_keys; 0: not given */
	char *match, *reject;	  /* POSIX extended; NULL: all, none */
	struct bytes match_hex;	  /* len 0: all */
	char *match_nmea;	  /* NULL: all */
	struct ranges match_mavlink, match_unit, match_function;
	int functions; /* enum functions */
	struct rate rate;
	int latest;   /* enum latest */
	int exchange; /* enum exchange_kind */
	/* Of an exchange; times in ns; 0 or NULL: not given. */
	uint64_t answer_timeout, late_guard, request_timeout, min_gap;
	uint64_t window; /* requests that may be awaiting their answers */
	uint64_t retries;
	uint64_t answer_frames;		/* that each answer consists of */
	char *answer_match, *no_answer; /* POSIX extended */
	struct bytes answer_match_hex;
	char *priority;	 /* names of masters */
	int unit_offset; /* added to the units of requests */
	/* Of a route that uses one of its sources, or destinations, at a time. */
	int prefer;	  /* enum prefer */
	char *live_match; /* POSIX extended; NULL: any frame */
	uint64_t fail_after, recover_after; /* ns; 0: not given */
	uint64_t
	    duplicates; /* ns in which copies are dropped; 0: they are not */
	int routing;	/* enum routing */
};
extern const struct key route_keys[];

/* How long an exchange waits for an answer, in ns. */
static inline uint64_t
route_answer_timeout(const struct route_conf *conf)
{
	return conf->answer_timeout != 0 ? conf->answer_timeout
					 : ANSWER_TIMEOUT;
}

/* How long a source or a destination may do nothing before another one is used. */
static inline uint64_t
route_fail_after(const struct route_conf *conf)
{
	return conf->fail_after != 0 ? conf->fail_after : FAIL_AFTER;
}

/* How long one that has failed has to be live before it is used again. */
static inline uint64_t
route_recover_after(const struct route_conf *conf)
{
	return conf->recover_after != 0 ? conf->recover_after : RECOVER_AFTER;
}

/* Exception codes up to this one are counted separately. */
#define EXCHANGE_EXCEPTIONS 11

/* What an exchange counts: requests and their answers. */
struct exchange_counters {
	uint64_t requests; /* sent to the bus, each once */
	uint64_t answers;  /* delivered, including exceptions of the unit... */
	uint64_t timeouts; /* ...requests that were not answered in time */
	uint64_t late;	   /* frames received when no answer was awaited... */
	uint64_t foreign;  /* ...and while another one was awaited */
	uint64_t retries;  /* requests that were sent again */
	uint64_t refused;  /* requests whose function is not permitted */
	uint64_t expired;  /* requests that have waited for request_timeout */
	/* Exceptions given to masters, from units and from the daemon; [0]: of any code. */
	uint64_t exceptions[EXCHANGE_EXCEPTIONS + 1];
	uint64_t busy_ns; /* the time in which the bus was not idle */
};

/* For the utilisation of the bus: how long it was busy in each of the last seconds. */
#define BUSY_SECONDS 10
struct busy {
	uint64_t since_ns; /* it is busy since then, 0: it is idle */
	uint64_t second[BUSY_SECONDS], ns[BUSY_SECONDS];
};

struct exchange_stats {
	struct exchange_counters counters;
	/* Of the first route to a bus: */
	struct histogram bus_time; /* from a request to its answer */
	struct busy busy;
};

/* Why a route did not forward a frame. */
enum route_refusal {
	REFUSAL_FILTER,	   /* rejected by its filter */
	REFUSAL_RATE,	   /* beyond its rate */
	REFUSAL_TOO_LONG,  /* too long for its expressions */
	REFUSAL_FUNCTION,  /* an exchange does not permit the function */
	REFUSAL_STANDBY,   /* another source, or destination, is used */
	REFUSAL_DUPLICATE, /* a copy came from another source before */
	REFUSAL_TARGET,	   /* addressed to a system that was not heard there */
	REFUSALS
};
extern const char *const route_refusal_words[REFUSALS];

struct failover;

/*
 * The one of its sources, or of its destinations, that a route uses.  The bridge decides
 * which (failover.h).
 */
struct choice {
	struct failover *failover; /* the bridge's */
	bool of_sources;
	unsigned used; /* index of the member */
	unsigned n;
	unsigned member[]; /* endpoints, in the order of the list */
};

/* The members used for each frame come first. */
struct route {
	_Alignas(CACHE_LINE) unsigned number; /* index in routes->slot */
	bool filtered;
	uint64_t frames, bytes;	  /* accepted for a destination */
	struct histogram latency; /* inside the bridge */
	struct route_conf *conf;  /* owned; NULL: the default route */
	const char *name;
	char *from, *to;		   /* "ar1,ar2", or "*", for `routes` */
	struct expression *match, *reject; /* NULL: none */
	uint64_t rejected;		   /* rejected by its filter */
	uint64_t limited;		   /* beyond its rate */
	uint64_t too_long;		   /* too long for its expressions */
	enum route_refusal refusal;	   /* of the last one of these */
	uint64_t *until; /* state of its rate per endpoint; or NULL */
	/*
	 * The same for each message that its filter lists: NULL, or one per endpoint,
	 * which is NULL until there was a message.
	 */
	struct message_rates **messages;
	unsigned nmessages;
	/* The endpoints that its rate may count for, see routes_find_rated(). */
	unsigned *rated, nrated;
	struct exchange_stats *stats; /* NULL: it is no exchange */
	struct expression *answer_match, *no_answer; /* NULL: none */
	struct choice *choice;	       /* NULL: it uses all of its endpoints */
	struct expression *live_match; /* NULL: none */
	uint64_t switches;	       /* of the choice */
	uint64_t standby; /* frames for, or of, endpoints that it did not use */
	struct duplicates *duplicates; /* NULL: copies are not dropped */
	/* By endpoint, those of the table of routes; NULL: routing is not by target. */
	struct systems **systems;
	uint64_t not_heard; /* messages to systems that were not heard there */
};

/*
 * One destination of a source, and the routes that lead there, in the order of the file.
 */
struct route_target {
	unsigned from, to;
	unsigned nvia;
	bool plain; /* its only route forwards all frames */
	struct route **via;
	uint64_t work; /* maximum steps of each expression per frame */
	uint64_t *spent;
};

struct route_source {
	size_t batch; /* bytes of frames to search at once */
	unsigned ntargets;
	/*
	 * All of its frames have to be heard, whatever becomes of them: for its routes with
	 * a choice, or because there are routes by MAVLink systems.
	 */
	bool hears;
	struct route_target *targets;
	unsigned nchoosing;
	struct route **choosing; /* its routes with a choice */
	uint64_t work;		 /* as in route_target */
};

struct routes {
	unsigned nroutes;
	struct route **route; /* in the order of the file */
	/*
	 * By the number that frames carry, which a route keeps as long as it is
	 * unchanged; NULL: vacant.
	 */
	unsigned nslots;
	struct route **slot;
	unsigned nsources;
	struct route_source *source;  /* one per endpoint */
	struct route_target *targets; /* those of all sources */
	struct route **via;	      /* those of all targets */
	struct route *
	    *choosing;	/* those with a choice, of all sources; or NULL */
	uint64_t spent; /* steps of expressions, for the caller to reset */
	/* MAVLink systems that were heard, by endpoint; NULL: no route needs them. */
	struct systems **systems;
};

/*
 * Checks the combination of keys in a section: 'between' with two or more names, or
 * 'from' and 'to', none of which may contain a name twice.  -EINVAL with a message in
 * err.
 */
int route_conf_check(const struct route_conf *conf, struct error *err);
/* The line of the key, or that of the section if it is not given. */
int route_conf_line(const struct route_conf *conf, const char *key);
/*
 * The value of a key as it is written in the section.  If the key is not given, it is empty,
 * or the default of a key that takes words.
 */
void route_conf_print(const struct route_conf *conf, const struct key *key,
    char *buf, size_t size);
/*
 * The first key that is given and applies to the bus of an exchange, not to the route, or
 * NULL.
 */
const char *route_conf_bus_key(const struct route_conf *conf);

/* The properties of an endpoint that the table depends on. */
enum route_end {
	END_SEVERAL, /* has several peers */
	END_SINGLE,  /* has one link: a frame is not sent back to it */
	END_ECHO     /* sends back what it receives */
};

/*
 * Builds the table.  Without any conf every endpoint forwards to every other.  An
 * endpoint with several peers forwards to itself if both from and to contain it.  ends
 * has the kind of each endpoint (NULL: all have several peers).  Echo endpoints do not
 * forward to each other or to themselves, because a frame would circulate forever.  Takes
 * ownership of the confs, unless it fails: -EINVAL with a message in err and the index of
 * the conf in *bad; -ENOMEM.
 */
int routes_new(struct route_conf **confs, unsigned nconfs,
    const char *const *endpoints, const enum route_end *ends,
    unsigned nendpoints, struct routes **ret, unsigned *bad, struct error *err);
#define ROUTE_NONE UINT32_MAX
/* The route with that number, or NULL. */
static inline struct route *
routes_at(const struct routes *r, unsigned number)
{
	return number < r->nslots ? r->slot[number] : NULL;
}
/* Whether the route does not use the source, or the destination, of the target. */
static inline bool
route_waits(const struct route *route, const struct route_target *target)
{
	const struct choice *choice = route->choice;

	return choice != NULL &&
	    choice->member[choice->used] !=
	    (choice->of_sources ? target->from : target->to);
}
/* Whether that is so for all routes to the target. */
bool route_target_waits(const struct route_target *target);
/*
 * Restores the state of the rate of a route for an endpoint, or of one message (0: none):
 * it is used until that time, but at most completely.
 */
void route_used(struct route *route, unsigned to, uint64_t message,
    uint64_t until, uint64_t now);
/* The route with that name, or NULL. */
struct route *routes_find(const struct routes *r, const char *name);
void routes_free(struct routes *r);
void route_conf_free(struct route_conf *conf);
/*
 * The route that forwards a frame received at time now to the target: the first whose
 * filter and rate accept it; NULL when none does.  The routes that refused it have
 * counted it.  The caller has to count frames and bytes.  source: identifies where it came
 * from, and framing is that of the source; both may be NULL.  *refused_by is set to the number of an exchange that accepts such
 * frames, but does not permit the function.
 */
struct route *route_verdict(const struct route_target *target,
    const void *source, const struct framing_conf *framing,
    const uint8_t *payload, size_t len, uint64_t now, unsigned *refused_by);

/* The MAVLink systems that were heard from an endpoint; NULL: it has none. */
static inline const struct systems *
routes_systems(const struct routes *routes, unsigned from)
{
	return routes->systems != NULL ? routes->systems[from] : NULL;
}

#endif
