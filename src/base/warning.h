/*
 * warning: what looks wrong with the tasks, and with the endpoints that they serve.
 *
 * A warning is in force from the time when its cause is noticed until it has ended.  Its
 * beginning and its end are logged once each (ABOUT_WARNING), unless it is quiet.  What is
 * noticed in a run (it held the loop, it was not served) is in force until five minutes
 * after the last time.  The others are looked at when something makes it necessary: when
 * they are shown, when a state changes, and at the times given to warnings_due(); there is no
 * timer while nothing can change by time alone.
 *
 * To list them:
 *
 *	warnings_check();
 *	for (n = 0; (w = warning_after(n)) != NULL; n = w->number)
 *		...
 */
#ifndef WARNING_H
#define WARNING_H

#include "stats.h"

struct event_base;

enum warning_kind {
	WARNING_NO_EVENT,   /* the task waits, and no event is armed for it */
	WARNING_HELD_LOOP,  /* a run took longer than 100 ms */
	WARNING_NOT_SERVED, /* it was ready for longer than 100 ms */
	WARNING_FLAPPING,   /* opened and lost more than 5 times in a minute */
	WARNING_SILENT,	    /* up, and has never received a frame */
	WARNING_FRAMING,    /* one side is framed and the other raw */
	WARNING_LOG,	    /* its log cannot be written */
	WARNING_FAILOVER,   /* the first of several endpoints is not used */
	WARNING_SPOOL,	    /* its spool cannot be used */
	WARNING_DOWN,	    /* it cannot be opened, for a long time */
	WARNING_DISCARDED,  /* all that it receives is bad, for a long time */
	WARNINGS
};
/* "no-event", "held-loop", ... */
extern const char *const warning_names[WARNINGS];

#define WARNING_TEXT_MAX 320

struct warning {
	TAILQ_ENTRY(warning) entry;
	uint64_t number; /* they are listed by it; starts at 1 */
	enum warning_kind kind;
	uint64_t since_ns; /* now_ns() when it began */
	uint64_t until_ns; /* when it ends; 0: when it is cleared */
	char *text;	   /* a sentence without a full stop */
	bool quiet;	   /* its beginning was not logged, nor is its end */
	struct warning **head;
	struct warning *next; /* of the same head */
	char task[TASK_NAME_MAX];
};

/* Sets the hooks of stats.h.  The timer is created when it is needed. */
void warnings_open(struct event_base *base);
/* Ends all warnings, without a message. */
void warnings_close(void);

/* The first warning with a higher number, NULL at the end. */
const struct warning *warning_after(uint64_t number);
/* How many of that kind are in force. */
unsigned warning_count(enum warning_kind kind);
/* Ends those that are over and finds new ones, so that the list is up to date. */
void warnings_check(void);
/* The names of the warnings of a list (task->warnings), with commas; "" for none. */
const char *warning_list(const struct warning *head, char *buf, size_t size);

/*
 * Begins a warning, or, if there is one of that kind in the list, changes its text and
 * its end.  task: the name under which it is shown.
 */
void warning_set(struct warning **head, const char *task,
    enum warning_kind kind, uint64_t until_ns, const char *fmt, ...)
    PRINTF(5, 6);
/*
 * The same, until it is cleared.  log: whether the beginning and the end are logged;
 * WARNING_QUIET is for a caller that logs both itself, and has no effect on a warning that
 * is in force already.
 */
enum warning_log { WARNING_LOGGED, WARNING_QUIET };
void warning_put(struct warning **head, const char *task,
    enum warning_kind kind, enum warning_log log, const char *fmt, ...)
    PRINTF(5, 6);
/* No effect if there is none of that kind. */
void warning_clear(struct warning **head, enum warning_kind kind);
/* Ends all of a list; why: a few words for the message. */
void warning_forget(struct warning **head, const char *why);
bool warning_is_set(const struct warning *head, enum warning_kind kind);
/* Causes warnings_check() to be called at that time or up to a second later. */
void warnings_due(uint64_t at_ns);
/* A function that warnings_check() calls, for warnings other than those of tasks; one at
 * most.  NULL: none. */
void warnings_source(void (*check)(void *arg, uint64_t now), void *arg);

#endif
