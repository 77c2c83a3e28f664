/*
 * event_loop: the event base of the daemon.
 */
#ifndef EVENT_LOOP_H
#define EVENT_LOOP_H

struct event_base;

/*
 * Timers use the time at which they are set, not a time that the loop caches in each turn;
 * setting one cannot fail for lack of memory.  Messages of libevent go to the log.  NULL: out
 * of memory.
 */
struct event_base *event_loop_new(void);

#endif
