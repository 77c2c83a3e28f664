/*
 * route: who forwards to whom.  Given a source and a frame: the destinations and the
 * verdict.  Pure: forwards nothing itself.
 *
 * Endpoints are numbers here, their place in the configuration.  What each source can
 * reach is worked out when the table is made, so a look-up does not depend on the
 * number of routes.
 */
#ifndef ROUTE_H
#define ROUTE_H

#include <regex.h>

#include "key.h"
#include "stats.h"
#include "util.h"

/* A checked [route NAME] section; names resolved to endpoint numbers. */
struct route_conf {
	char	       *name;
	char	       *text;		/* the section, for comparing */
	int		line;
	char	       *between, *from, *to;	/* as written */
	char	       *match, *reject;	/* POSIX extended; NULL: all, none */
	struct bytes	match_hex;	/* len 0: all */
};
extern const struct key route_keys[];

struct route {
	struct route_conf *conf;	/* owned; NULL: the route of no routes */
	const char     *name;
	char	       *from, *to;	/* in words, for `routes` */
	bool		filtered;
	regex_t		match, reject;
	bool		has_match, has_reject;
	uint64_t	frames, bytes;	/* accepted for a destination */
	uint64_t	rejected;	/* by its filter */
	struct histogram latency;	/* inside the bridge */
};

/* One destination of a source, and the routes that lead there, in file order. */
struct route_target {
	unsigned	to;
	unsigned	nvia;
	struct route  **via;
};

struct route_source {
	unsigned	ntargets;
	struct route_target *targets;
};

struct routes {
	unsigned	nroutes;
	struct route  **route;
	unsigned	nsources;
	struct route_source *source;	/* one an endpoint */
};

/*
 * Makes the table.  Without any conf every endpoint forwards to every other.
 * An endpoint reaches itself only where from and to both name it.  Takes the confs
 * over.  keep: an older table, whose counters live on in the routes with the same
 * name and text; it may be NULL.  -EINVAL with a sentence in err and the conf's
 * number in *bad; -ENOMEM.
 */
int		routes_new(struct route_conf **confs, unsigned nconfs,
		    const char *const *endpoints, unsigned nendpoints,
		    struct routes *keep, struct routes **ret, unsigned *bad,
		    char *err, size_t size);
void		routes_free(struct routes *r);
void		route_conf_free(struct route_conf *conf);
/*
 * The route that carries the frame to the target: the first whose filter lets
 * it pass; NULL when none does, each that refused it has counted it then.
 */
struct route   *route_verdict(const struct route_target *target,
		    const uint8_t *payload, size_t len);

#endif
