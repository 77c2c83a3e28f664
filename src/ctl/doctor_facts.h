/*
 * doctor_facts: what the daemon and its configuration say.
 */
#ifndef DOCTOR_FACTS_H
#define DOCTOR_FACTS_H

#include <limits.h>

#include "ctl.h"
#include "doctor_report.h"

/* Of more endpoints, the counters of drivers are not taken twice. */
#define FACTS_LIST_TWICE 500

struct facts {
	char command[PATH_MAX + 32]; /* "ttybridgectl -c FILE", to be typed */

	/* The configuration. */
	char path[PATH_MAX]; /* its file, "": there is none */
	bool read_only;	     /* the control port has access = read */
	json_t *config;	     /* see ttybridged(8), with keys; NULL: unknown */

	/* The daemon. */
	bool running;	  /* it has answered */
	struct error why; /* if not: why */
	bool local;	  /* it is on this machine, as pid */
	pid_t pid;	  /* 0: unknown */
	json_t *
	    endpoints; /* names and types, of the daemon or its configuration */
	json_t *before, *now; /* attributes by path, at two moments... */
	double seconds;	      /* ...so long after each other */
	json_t *
	    frames; /* that passed in between, as watch has them; NULL: unknown */
	char unwatched[128]; /* why they could not be; else "" */
	double watched;	     /* for how many seconds frames were collected */
	json_t *routes, *peers, *tasks, *warnings; /* the tables */
};

/*
 * Collects all of it.  config: a file, NULL: that of the daemon.  -EINTR; -ENOENT and err
 * if there is neither a daemon nor a configuration.
 */
int facts_collect(
    struct facts *f, struct ctl *ctl, const char *config, struct error *err);
void facts_free(struct facts *f);

/* Whether a member of the table of endpoints has that text in any of its rows. */
bool facts_any_endpoint(
    const struct facts *f, const char *member, const char *text);
/* The value of an attribute or key, "" if there is none; returns buf. */
const char *fact_text(const struct facts *f, const char *object,
    const char *name, char *buf, size_t size);
bool fact_is(const struct facts *f, const char *object, const char *name,
    const char *value);
/* The number of the daemon, and by how much it has risen; 0 if there is none. */
double fact_number(const struct facts *f, const char *object, const char *name);
double fact_rise(const struct facts *f, const char *object, const char *name);
/* Whether the endpoint was up at both moments. */
bool fact_up(const struct facts *f, const char *endpoint);
/* Whether one of its tasks, but none of its peers, has that warning. */
bool fact_warns(const struct facts *f, const char *name, const char *warning);
/* "[serial ar1], FILE:LINE", or what of that is known; returns buf. */
const char *fact_where(
    const struct facts *f, const char *name, char *buf, size_t size);

#endif
