/*
 * stats: the tasks of the event loop, and latency histograms.
 *
 * A task is one activity of the loop: a reader, a writer, a listener, a timer, a
 * control session.  Each wait of the loop belongs to a task: code that arms an event
 * also calls TASK_WAIT(), which records the source line and the time.  So the tasks
 * that are WAITING correspond to the events that are armed in libevent, and a test
 * compares the two numbers.
 *
 * Labels are made on request and not when the wait begins, so that a wait costs only a
 * few stores.
 */
#ifndef STATS_H
#define STATS_H

#include <sys/queue.h>

#include "util.h"

#define TASK_HISTORY 16
#define TASK_NAME_MAX 64
#define TASK_LABEL_MAX 256

enum task_state {
	TASK_IDLE,    /* nothing to wait for, as a writer with an empty queue */
	TASK_WAITING, /* an event is armed for it */
	TASK_PAUSED,  /* held back, as by a full queue of another endpoint */
	TASK_RUNNING, /* inside its callback now */
};

/* A place in the source where a task waits; a static object for each place. */
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

/*
 * Durations of runs are counted in coarse steps of a factor of four: below 1 us, 4 us,
 * ... 1.07 s, and longer.
 */
#define TASK_STEPS 12
/* The upper end of a step in ns; UINT64_MAX for the last one. */
uint64_t task_step_end(unsigned step);

/* What is known of the runs of a task, allocated with the first of them. */
struct task_record {
	struct task_past past[TASK_HISTORY]; /* ring; past[runs % 16] next */
	/* Runs by their duration, and by their delay: how long other tasks ran before it
	 * in the same pass of the loop; the first step has all below 1 ms. */
	uint32_t held[TASK_STEPS], delayed[TASK_STEPS];
};

struct event;
struct event_base;
struct warning;

/* Members used in each run come first. */
struct task {
	enum task_state state;
	enum task_state after; /* the state when this run ends */
	const struct task_site *site;
	uint64_t since_ns; /* the time when the state was entered */
	uint64_t start_ns; /* of the current run */
	uint64_t runs;
	uint64_t busy_ns; /* time in its callbacks */
	uint64_t max_ns;  /* the duration of the longest run */
	struct task_record *record;
	bool noted; /* the hook ran is called after each run */
	/* Describes for the user what the task waits for. */
	void (*label)(const struct task *, char *, size_t);
	/* Ends the task on request of the user; NULL: it may not be ended. */
	void (*cancel)(struct task *);
	void *arg;	   /* of label and cancel: the owner */
	uint64_t slow;	   /* runs over 100 ms */
	uint64_t began_ns; /* when it was registered */
	/*
	 * While the task is WAITING this event is to be armed, or armed() is true.  Both
	 * NULL: not known.
	 */
	const struct event *event;
	bool (*armed)(const struct task *);
	struct warning *warnings; /* those in force, see warning.h */
	TAILQ_ENTRY(task) entry;
	char name[TASK_NAME_MAX];
};

TAILQ_HEAD(task_list, task);

/*
 * Registers a task.  The memory belongs to the caller and must stay valid until
 * task_remove().  The name is formatted as by printf(), "OBJECT.ACTIVITY".
 */
void task_add(struct task *task, void *arg,
    void (*label)(const struct task *, char *, size_t), const char *fmt, ...)
    PRINTF(4, 5);
/* Removes a task from the registry; no effect if it is not registered. */
void task_remove(struct task *task);
/*
 * The same, and the list of tasks that ended shows why: a few words.  NULL: it has done what
 * it was for, and is left out of that list, so that everyday ends, such as those of commands,
 * do not replace the others.
 */
void task_remove_why(struct task *task, const char *why);
const struct task_list *task_all(void);
struct task *task_find(const char *name);

/*
 * A position in the registry that stays valid while tasks are added and removed: each
 * task that is registered all the time is returned once.
 */
struct task_cursor {
	struct task *next;
	bool open;
	LIST_ENTRY(task_cursor) entry;
};
/* Starts at the first task. */
void task_cursor_open(struct task_cursor *cursor);
/* NULL at the end. */
const struct task *task_cursor_next(struct task_cursor *cursor);
/* No effect if it is not open. */
void task_cursor_close(struct task_cursor *cursor);
/*
 * The tasks that are registered now, in the order of a function for qsort(3), whose
 * elements are pointers to tasks.  Those that are removed later are left out.
 */
struct task_order {
	LIST_ENTRY(task_order) entry;
	size_t n, at;
	struct task *task[];
};
/* NULL when out of memory. */
struct task_order *task_order_new(int (*compare)(const void *, const void *));
/* NULL at the end; at = 0 starts again. */
const struct task *task_order_next(struct task_order *order);
/* NULL is allowed. */
void task_order_free(struct task_order *order);
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
 * Called at the start and the end of a callback.  task_begin() returns the start time,
 * so that the callback need not read the clock.  task_end() may be omitted when the task
 * was removed during the run.
 */
uint64_t task_begin(struct task *task);
void task_end(struct task *task);
/* The rest of this pass of the loop is put off to the next one. */
void task_pass(void);
/* A run that takes longer holds the loop, and one that begins later was not served. */
#define TASK_SLOW_NS (100 * NSEC_PER_MSEC)
/* What is noticed in runs; NULL: nothing is to be called. */
struct task_hooks {
	/* The loop, to know when a pass of it ends. */
	struct event_base *loop;
	/* The run took longer than TASK_SLOW_NS; site: where the task had waited. */
	void (*held)(struct task *, uint64_t ns, const struct task_site *site);
	/* Others ran for longer than TASK_SLOW_NS before it, in the same pass. */
	void (*delayed)(struct task *, uint64_t ns);
	/* A task with task->noted has run. */
	void (*ran)(struct task *);
	/* A task with warnings is about to be removed. */
	void (*removed)(struct task *);
};
extern struct task_hooks task_hooks;
/* The start of the current run, or the current time outside of a run: a cached time. */
uint64_t task_now(void);
const char *task_state_name(enum task_state state);
/* The last component of site->file and the line, "forward.c:212", "-" for NULL. */
const char *task_site_name(
    const struct task_site *site, char *buf, size_t size);

/*
 * A histogram of durations: 16 steps for each power of two from 64 ns to about 2 h, so
 * that a percentile is accurate to 6 %.  The 592 counters of 4 bytes each are allocated
 * on first use.
 */
#define HISTOGRAM_BUCKETS 592
struct histogram {
	uint32_t *count;
	uint64_t total;
	uint64_t max_ns;
};
/* Adds n durations of the same length.  Without memory only total and max_ns are
 * updated. */
void histogram_add(struct histogram *h, uint64_t ns, uint64_t n);
/* percent 0 to 100; 0 when nothing was recorded. */
uint64_t histogram_percentile(const struct histogram *h, double percent);
/*
 * The number of durations below each of the n bounds, which ascend and are powers of two,
 * and the number of all in count[n].  Returns their sum, to 3 %.
 */
uint64_t histogram_below(const struct histogram *h, const uint64_t *bounds,
    unsigned n, uint64_t *count);
void histogram_free(struct histogram *h);

#endif
