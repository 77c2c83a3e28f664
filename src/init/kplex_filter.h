/*
 * kplex_filter: filters of kplex, "+GPRMC:-all".
 */
#ifndef KPLEX_FILTER_H
#define KPLEX_FILTER_H

#include "members.h"

struct kplex_filter {
	char text[FILTER_MAX]; /* a list for match_nmea; "": all sentences */
	bool nothing;	       /* no sentence passes */
	/* Rules that the list does not have, each after a blank. */
	char wider[FILTER_MAX];	   /* more passes without them */
	char narrower[FILTER_MAX]; /* less passes than with them */
};

/* Converts rules.  False if they are no filter of kplex, or the list is too long. */
bool kplex_filter(const char *rules, struct kplex_filter *ret);
/* The list of what passes two of them; false if there is none. */
bool kplex_filter_both(const char *a, const char *b, char buf[FILTER_MAX]);

#endif
