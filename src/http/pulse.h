/*
 * pulse: a timer that fires once a second while there is a web server.  How late it is
 * shows how long events wait for the loop; and it is the time of the pages' counters.
 */
#ifndef PULSE_H
#define PULSE_H

#include "bridge.h"

/* To be called for each web server that is opened, and closed.  -ENOMEM. */
int pulse_hold(struct event_base *base);
void pulse_release(void);
/* How late it was the last time, and at most, in ns. */
uint64_t pulse_lag(void);
uint64_t pulse_lag_max(void);
/* Called each second from now on; NULL: nothing is. */
void pulse_call(void (*each_second)(void));

#endif
