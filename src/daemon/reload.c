/*
 * reload: reloads in steps, so that the event loop is not blocked however many endpoints
 * there are.
 *
 * IDLE
 * READING    a thread reads and checks the file, and makes the plan
 * PREPARING  in turns: the steps that can fail and change nothing (bridge/change.h)
 * APPLYING   in turns: the steps that cannot fail
 * DROPPING   in turns: something failed, and the prepared change is undone
 * FREEING    a thread frees what was replaced; the result has been reported
 *
 * The thread has a job of its own and accesses nothing else.  The turns are shared with
 * the control sessions (base/turns.h).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "change.h"
#include "log.h"
#include "ports.h"
#include "reload.h"
#include "systemd.h"
#include "turns.h"
#include "worker.h"

LIST_HEAD(waiter_list, reload_waiter);

enum reload_state {
	RELOAD_IDLE,
	RELOAD_READING,
	RELOAD_PREPARING,
	RELOAD_APPLYING,
	RELOAD_DROPPING,
	RELOAD_FREEING
};

/* The data of the thread. */
struct job {
	struct config *config;
	struct faults faults;
	struct plan *plan;
	struct error err;
	int result;
};

static struct bridge *bridge;
static const struct reload_ops *ops;
static enum reload_state state;
static struct job job;
static struct change *change;
static struct worker worker;
static struct turn turn;
static struct task task;
static bool stopping;
/* The callers that wait for the current reload, and for the next one. */
static struct waiter_list waiters, later;
static bool again; /* a next one was requested */

static int begin(void);
static void step_turn(struct turn *);

/*
 * Only this function changes the state.  The task waits for the thread only; waiting for
 * a turn is shown by the task of the turns.
 */
static void
set_state(enum reload_state next)
{
	state = next;
	if (next == RELOAD_IDLE)
		TASK_SET(&task, TASK_IDLE);
	else if (next == RELOAD_READING || next == RELOAD_FREEING)
		TASK_WAIT(&task);
	else
		TASK_SET(&task, TASK_PAUSED);
}

static void
reload_label(const struct task *t, char *buf, size_t size)
{
	static const char *const texts[] = {
		[RELOAD_IDLE] = "nothing: no reload is under way",
		[RELOAD_READING] = "the configuration to be read",
		[RELOAD_PREPARING] = "its turn to prepare the reload",
		[RELOAD_APPLYING] = "its turn to go on with the reload",
		[RELOAD_DROPPING] = "its turn to undo the reload",
		[RELOAD_FREEING] = "what was replaced to be freed",
	};

	(void)t;
	snprintf(buf, size, "%s%s", texts[state],
	    again ? ", before it is read again" : "");
}

/* --- results -------------------------------------------------------------- */

void
log_faults(int level, const struct faults *faults)
{
	for (unsigned i = 0; i < faults->n; i++)
		log_to(level, ABOUT_RELOAD, NULL, "%s", faults->text[i]);
}

static char *
join_faults(const struct faults *faults)
{
	size_t size = 1;
	char *text, *end;

	if (faults->n == 0)
		return NULL;
	for (unsigned i = 0; i < faults->n; i++)
		size += strlen(faults->text[i]) + 1;
	if ((text = end = calloc(1, size)) == NULL)
		return NULL;
	for (unsigned i = 0; i < faults->n; i++) {
		if (i > 0)
			*end++ = '\n';
		end = stpcpy(end, faults->text[i]);
	}
	return text;
}

static void
answer(struct waiter_list *list, int r, const char *faults)
{
	struct reload_waiter *w;

	while ((w = LIST_FIRST(list)) != NULL) {
		LIST_REMOVE(w, entry);
		w->done(w, r, faults);
	}
}

static void
refused(int r, const char *first, const char *faults)
{
	systemd_ready();
	systemd_status("reload refused: %s", first);
	answer(&waiters, r, faults);
}

/* Reports the faults of the file. */
static void
say_faults(void)
{
	bool complete = job.result != -ENOMEM && job.faults.n > 0;
	char *faults = complete ? join_faults(&job.faults) : NULL;

	log_faults(LOG_ERR, &job.faults);
	if (job.result == -ENOMEM)
		log_to(LOG_ERR, ABOUT_RELOAD, NULL,
		    "out of memory: nothing was changed");
	else
		log_to(LOG_ERR, ABOUT_RELOAD, NULL,
		    "the configuration has %u fault%s: nothing was changed",
		    job.faults.found, job.faults.found == 1 ? "" : "s");
	refused(job.result, complete ? job.faults.text[0] : "out of memory",
	    faults);
	free(faults);
}

/*
 * Reports why a configuration without faults cannot be applied; the reason is in the
 * job's error.
 */
static void
say_error(int r)
{
	if (!error_is_set(&job.err))
		error_set(&job.err, "%s", strerror(-r));
	log_to(LOG_ERR, ABOUT_RELOAD, NULL, "nothing was changed: %s",
	    job.err.text);
	refused(r, job.err.text, job.err.text);
}

static void
say_reloaded(void)
{
	char text[64];

	bridge_summary(bridge, text, sizeof(text));
	log_to(LOG_NOTICE, ABOUT_RELOAD, NULL, "reloaded: %s", text);
	systemd_ready();
	systemd_status("%s", text);
	answer(&waiters, 0, NULL);
}

/* --- freeing -------------------------------------------------------------- */

static void
free_job(void *arg)
{
	struct job *j = arg;

	plan_free(j->plan);
	config_free(j->config);
	faults_free(&j->faults);
	memset(j, 0, sizeof(*j));
}

static void
on_freed(void *arg)
{
	int r;

	(void)arg;
	turns_release();
	set_state(RELOAD_IDLE);
	if (again && !stopping) {
		again = false;
		waiters = later;
		if (LIST_FIRST(&waiters) != NULL)
			LIST_FIRST(&waiters)->entry.le_prev =
			    &LIST_FIRST(&waiters);
		LIST_INIT(&later);
		if ((r = begin()) < 0)
			say_error(r);
	}
}

static void
free_all(void)
{
	change_free(change);
	change = NULL;
	worker.run = free_job;
	worker.done = on_freed;
	worker.arg = &job;
	if (worker_start(&worker, bridge->base) == 0) {
		set_state(RELOAD_FREEING);
		return;
	}
	free_job(&job);
	on_freed(&job);
}

/* --- reading -------------------------------------------------------------- */

static void
read_job(void *arg)
{
	struct job *j = arg;

	j->result = ops->read(&j->config, &j->faults);
	if (j->result == 0)
		j->result = plan_new(j->config, &j->plan, &j->err);
}

/* Returns false if the reload ends here. */
static bool
begin_change(void)
{
	int r = job.result;

	if (stopping)
		return false;
	if (r < 0 && job.config == NULL) {
		say_faults();
		return false;
	}
	log_faults(LOG_WARNING, &job.faults);
	if (r == 0)
		r = change_new(bridge, job.plan, &change);
	if (r < 0)
		say_error(r);
	return r == 0;
}

static void
on_read(void *arg)
{
	(void)arg;
	task_begin(&task);
	if (begin_change()) {
		set_state(RELOAD_PREPARING);
		turns_wait(&turn, true);
	} else
		free_all();
	task_end(&task);
}

/* Starts a reload; -errno: it could not be started. */
static int
begin(void)
{
	int r;

	systemd_reloading();
	memset(&job, 0, sizeof(job));
	if (task.label == NULL)
		task_add(&task, NULL, reload_label, "daemon.reload");
	turn.run = step_turn;
	worker.run = read_job;
	worker.done = on_read;
	worker.arg = &job;
	if ((r = turns_hold(bridge->base)) == 0 &&
	    (r = worker_start(&worker, bridge->base)) < 0)
		turns_release();
	set_state(r == 0 ? RELOAD_READING : RELOAD_IDLE);
	return r;
}

/* --- turns ---------------------------------------------------------------- */

/* All steps that can fail are done, except for the control ports. */
static void
commit(void)
{
	int r = control_ports_prepare(job.config, &job.err);

	if (r == 0) {
		change_commit(change);
		set_state(RELOAD_APPLYING);
		return;
	}
	job.result = r;
	change_drop(change);
	set_state(RELOAD_DROPPING);
}

static void
ended(int r)
{
	if (state == RELOAD_APPLYING) {
		ops->taken(job.config);
		job.config = NULL;
		say_reloaded();
	} else if (stopping)
		answer(&waiters, -ESHUTDOWN, "it is stopping");
	else
		say_error(r < 0 ? r : job.result);
	free_all();
}

/* Performs one step; returns false at the end. */
static bool
step(void)
{
	int r = change_step(change);

	if (r == CHANGE_READY)
		commit();
	else if (r <= 0) {
		ended(r);
		return false;
	}
	return true;
}

static void
step_turn(struct turn *t)
{
	uint64_t start = turn_begin();
	bool more;

	task_begin(&task);
	while ((more = step()) && now_ns() - start < TURN_NS)
		continue;
	if (more)
		turns_wait(t, true);
	task_end(&task);
	turn_end(start);
}

/* --- for the daemon ------------------------------------------------------- */

void
reload_init(struct bridge *b, const struct reload_ops *o)
{
	bridge = b;
	ops = o;
}

int
reload_request(struct reload_waiter *w, char **faults)
{
	int r;

	*faults = NULL;
	if (stopping) {
		*faults = strdup("it is stopping");
		return -ESHUTDOWN;
	}
	if (state == RELOAD_IDLE) {
		if ((r = begin()) < 0) {
			say_error(r);
			return r;
		}
		if (w != NULL)
			LIST_INSERT_HEAD(&waiters, w, entry);
		return RELOAD_BEGUN;
	}
	again = true;
	if (w != NULL)
		LIST_INSERT_HEAD(&later, w, entry);
	return RELOAD_BEGUN;
}

void
reload_stop(void)
{
	stopping = true;
	answer(&later, -ESHUTDOWN, "it is stopping");
	turns_wait(&turn, false);
	if (state == RELOAD_READING)
		answer(&waiters, -ESHUTDOWN, "it is stopping");
	else if (state == RELOAD_PREPARING)
		change_drop(change);
	while (change != NULL)
		step();
}

void
reload_complete(void)
{
	while (state != RELOAD_IDLE) {
		turns_wait(&turn, false);
		worker_wait(&worker);
		while (change != NULL)
			step();
	}
}

void
reload_free(void)
{
	stopping = true;
	worker_wait(&worker);
	worker_wait(&worker);
	task_remove(&task);
}
