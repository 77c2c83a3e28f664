/*
 * stats: what the loop is doing and what passed through it.
 *
 * A task is one activity of the loop: a reader, a writer, a listener, a timer,
 * a control session.  Each wait of the loop belongs to a task: the code that
 * arms an event says TASK_WAIT() in the same breath, which records the source
 * line and the time.  So the tasks that are WAITING are exactly the events that
 * libevent has armed, and a test compares the two numbers.
 *
 * Labels are made when somebody asks for them, not when the wait begins: a wait
 * costs a few stores.
 */
#ifndef STATS_H
#define STATS_H

#include <sys/queue.h>

#include "util.h"

#define TASK_HISTORY 16
#define TASK_NAME_MAX 64
#define TASK_LABEL_MAX 256

enum task_state {
	TASK_IDLE,    /* nothing to wait for: an empty writer */
	TASK_WAITING, /* an event is armed for it */
	TASK_PAUSED,  /* held back by someone else: a full queue */
	TASK_RUNNING, /* inside its callback now */
};

/* A place in the source where a task waits; one static object a place. */
struct task_site {
	const char *file;
	int line;
};

struct task_past {
	const struct task_site *site;
	uint64_t since_ns;  /* when that wait began */
	uint64_t waited_ns; /* how long it lasted */
	uint64_t held_ns;   /* how long the run after it took */
};

/* What each run needs comes first. */
struct task {
	enum task_state state;
	enum task_state after; /* the state when this run ends */
	const struct task_site *site;
	uint64_t since_ns; /* since when it is in that state */
	uint64_t start_ns; /* of the run that is on */
	uint64_t runs;
	uint64_t busy_ns; /* time in its callbacks */
	uint64_t max_ns;  /* the longest it ever held the loop */
	/* Writes what the task waits for, in words a person understands. */
	void (*label)(const struct task *, char *, size_t);
	struct task_past past[TASK_HISTORY]; /* ring, past[runs % 16] next */
	/* Ends the task at a person's wish; NULL: it may not be ended. */
	void (*cancel)(struct task *);
	void *arg;     /* of label and cancel: the owner */
	uint64_t slow; /* runs over 100 ms */
	TAILQ_ENTRY(task) entry;
	char name[TASK_NAME_MAX];
};

TAILQ_HEAD(task_list, task);

/*
 * Registers a task; its memory belongs to the caller and must stay until
 * task_remove().  The name is printf-made, "OBJECT.ACTIVITY".
 */
void task_add(struct task *task, void *arg,
    void (*label)(const struct task *, char *, size_t), const char *fmt, ...)
    PRINTF(4, 5);
/* Takes a task off the registry; harmless twice, or when never added. */
void task_remove(struct task *task);
const struct task_list *task_all(void);
struct task *task_find(const char *name);

/*
 * A place in the registry that stays valid while tasks come and go: each task that
 * is there all the time is returned once.
 */
struct task_cursor {
	struct task *next;
	bool open;
	LIST_ENTRY(task_cursor) entry;
};
/* From the first task on. */
void task_cursor_open(struct task_cursor *cursor);
/* NULL at the end. */
const struct task *task_cursor_next(struct task_cursor *cursor);
/* Harmless when it is not open. */
void task_cursor_close(struct task_cursor *cursor);
/* How many tasks are WAITING (or RUNNING and about to wait again). */
unsigned task_waiting(void);

void task_set(
    struct task *task, enum task_state state, const struct task_site *site);
#define TASK_SET(task, state)                                                 \
	do {                                                                  \
		static const struct task_site site_ = { __FILE__, __LINE__ }; \
		task_set((task), (state), &site_);                            \
	} while (0)
#define TASK_WAIT(task) TASK_SET((task), TASK_WAITING)

/*
 * Around a callback.  task_begin returns the time it started, so that the
 * callback needs no clock of its own.  A run that held the loop for over 100 ms
 * is logged.  task_end may be left out when the task was removed inside.
 */
uint64_t task_begin(struct task *task);
void task_end(struct task *task);
/* The start of the run that is on (now, when none is): the loop's cached time. */
uint64_t task_now(void);
const char *task_state_name(enum task_state state);
/* The last component of site->file and the line, "forward.c:212", "-" for NULL. */
const char *task_site_name(
    const struct task_site *site, char *buf, size_t size);

/*
 * A histogram of durations: 16 steps to each power of two from 64 ns to about
 * 1 h, so a percentile is right within 6 %.  592 counters of 4 bytes each, made on
 * the first record, so an unused one costs nothing.
 */
#define HISTOGRAM_BUCKETS 592
struct histogram {
	uint32_t *count;
	uint64_t total;
	uint64_t max_ns;
};
/* n durations of the same length.  Without memory only total and max count. */
void histogram_add(struct histogram *h, uint64_t ns, uint64_t n);
/* percent 0 to 100; 0 when nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
void histogram_free(struct histogram *h);

#endif
