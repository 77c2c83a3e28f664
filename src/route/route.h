/*
 * route: who forwards to whom.  Given a source and a frame: the
 * destinations and the verdict.  Pure: forwards nothing itself.
 *
 * Endpoints are numbers here, their place in the configuration.  What each
 * source can reach is worked out when the table is made, so a look-up does
 * not depend on the number of routes.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include "expression.h"
#include "key.h"
#include "filter.h"
#include "stats.h"
#include "error.h"

/* Who waits for answers: nobody, or Modbus masters that share a bus. */
enum exchange_kind { EXCHANGE_NONE, EXCHANGE_MODBUS };
#define ANSWER_TIMEOUT NSEC_PER_SEC

/* A checked [route NAME] section; names resolved to endpoint numbers. */
struct route_conf {
	char *name;
	char *text;	  /* the section, for comparing */
	const char *file; /* where it stands, for messages */
	int line;
	char *between, *from, *to; /* as written */
	int between_line, from_line, to_line;
	char *match, *reject;	/* POSIX extended; NULL: all, none */
	struct bytes match_hex; /* len 0: all */
	char *match_nmea;	/* NULL: all */
	struct ranges match_mavlink, match_unit;
	struct rate rate;
	int latest;		 /* enum latest */
	int exchange;		 /* enum exchange_kind */
	uint64_t answer_timeout; /* ns, 0: not given */
	uint64_t late_guard;	 /* the same */
};
extern const struct key route_keys[];

/* What each frame needs comes first. */
struct route {
	_Alignas(CACHE_LINE) unsigned number; /* in routes->slot */
	bool filtered;
	uint64_t frames, bytes;	  /* accepted for a destination */
	struct histogram latency; /* inside the bridge */
	struct route_conf *conf;  /* owned; NULL: the route of no routes */
	const char *name;
	char *from, *to;		   /* "ar1,ar2", or "*", for `routes` */
	struct expression *match, *reject; /* NULL: none */
	uint64_t rejected;		   /* by its filter */
	uint64_t limited;		   /* over its rate */
	uint64_t too_long;		   /* for its expressions */
	uint64_t *until; /* of its rate, one an endpoint; or NULL */
	/* The same for each message that its filter names: NULL, or one an endpoint, which
	 * is NULL until there was a message. */
	struct message_rates **messages;
	unsigned nmessages;
	/* The endpoints that its rate may count for, see routes_find_rated(). */
	unsigned *rated, nrated;
	uint64_t answers;  /* of an exchange: given to who asked... */
	uint64_t timeouts; /* ...not come in time... */
	uint64_t late;	   /* ...come when nobody waited for one... */
	uint64_t foreign;  /* ...come while another one was awaited */
};

/*
 * One destination of a source, and the routes that lead there, in file
 * order.
 */
struct route_target {
	unsigned to;
	unsigned nvia;
	struct route **via;
	uint64_t work; /* steps of each expression on a frame, at most */
	uint64_t *spent;
};

struct route_source {
	size_t
	    batch; /* bytes of frames whose expressions may be found at once */
	unsigned ntargets;
	struct route_target *targets;
};

struct routes {
	unsigned nroutes;
	struct route **route; /* in the order of the file */
	/* By the number that frames carry, which a route has as long as it is the same;
	 * NULL: vacant. */
	unsigned nslots;
	struct route **slot;
	unsigned nsources;
	struct route_source *source;  /* one an endpoint */
	struct route_target *targets; /* those of all sources */
	struct route **via;	      /* those of all targets */
	uint64_t spent; /* steps of expressions, for the caller to reset */
};

/*
 * Whether the keys of a section go together: 'between' with two or more
 * names, or 'from' with 'to', none of them twice.  -EINVAL with a sentence
 * in err.
 */
int route_conf_check(const struct route_conf *conf, struct error *err);

/* What a table has to know of an endpoint. */
enum route_end {
	END_SEVERAL, /* has several peers */
	END_SINGLE,  /* has one link: nothing it sends can go back to it */
	END_ECHO     /* sends back what it gets */
};

/*
 * Makes the table.  Without any conf every endpoint forwards to every other.
 * An endpoint with several peers reaches itself where from and to both name
 * it.  ends says what each endpoint is (NULL: all have several peers).  Two
 * echoes never reach each other, nor themselves, or a frame would circle for
 * ever.  Takes the confs over, unless it fails: -EINVAL with a sentence in
 * err and the conf's number in *bad; -ENOMEM.
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
/* The rate of a route, or of that message (0: none), is used up for an endpoint until then,
 * as far as it can be. */
void route_used(struct route *route, unsigned to, uint64_t message,
    uint64_t until, uint64_t now);
/* NULL when there is none of that name. */
struct route *routes_find(const struct routes *r, const char *name);
void routes_free(struct routes *r);
void route_conf_free(struct route_conf *conf);
/*
 * The route that carries the frame that came at time now to the target: the
 * first whose filter and rate let it pass; NULL when none does.  Each that
 * refused it has counted it.  It is for the caller to count frames and bytes.
 */
struct route *route_verdict(const struct route_target *target,
    const uint8_t *payload, size_t len, uint64_t now);

#endif
