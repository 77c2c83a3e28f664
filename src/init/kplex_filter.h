/*
 * kplex_filter: filters of kplex, "+GPRMC:-all".
 */
#ifndef KPLEX_FILTER_H
#define KPLEX_FILTER_H

#include "members.h"

/*
 * Converts rules to a list for match_nmea; false if they cannot be expressed by one.
 * "" lets everything pass.
 */
bool kplex_filter(const char *rules, char buf[FILTER_MAX]);
/* The list of what passes two of them; false if there is none. */
bool kplex_filter_both(const char *a, const char *b, char buf[FILTER_MAX]);

#endif
