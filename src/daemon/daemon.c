/*
 * daemon: startup, signals and shutdown.
 *
 * Shutdown: without an fd store, input is stopped, and queued frames are written for up
 * to drain_timeout.  With an fd store, the daemon cannot distinguish a stop from a
 * restart: it continues as before until no frames are queued, for up to drain_timeout as
 * well, and leaves the frames that are queued then to the next process.  After a stop
 * there is no next process, and drain_timeout was the time for these frames to be
 * written.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <event2/event.h>
#include <event2/event_struct.h>

#include "bridge.h"
#include "capture.h"
#include "ports.h"
#include "daemon.h"
#include "event_loop.h"
#include "http.h"
#include "link.h"
#include "serial.h"
#include "handover.h"
#include "log.h"
#include "reload.h"
#include "site.h"
#include "systemd.h"
#include "warning.h"
#include "writer.h"

#define EXIT_RUN 1
/* The interval at which it checks whether all queues are written, while it stops. */
#define DRAIN_STEP_US 10000

static const struct options *options;
static char
    program[PATH_MAX]; /* the program that SIGUSR2 executes; "": not known */
static struct event_base *base;
static struct bridge *bridge;
static struct daemon_conf conf;
static struct event *signal_event, *drain_event, *control_event;
static struct task signal_task, drain_task;
static uint64_t drain_until;
static uint64_t
    restart_by;	     /* 0: it is not about to execute the program again */
static bool leaving; /* stops, and leaves its state in the fd store */

/* --- configuration -------------------------------------------------------- */

int
options_config(
    const struct options *o, struct config **ret, struct faults *faults)
{
	const char *file = o->file;

	if (file == NULL && o->nwords == 0)
		file = CONFIG_DEFAULT_PATH;
	return config_read(file, o->words, o->nwords, ret, faults);
}

/* Takes over the settings of the daemon section. */
static void
take_daemon_conf(struct config *c)
{
	free(conf.name);
	free(conf.state_dir);
	conf = c->daemon;
	memset(&c->daemon, 0, sizeof(c->daemon));
	site_set(conf.name, conf.state_dir);
	log_set_level(options->verbose
		? LOG_DEBUG
		: log_level_parse(log_level_words[conf.log_level]));
}

static const struct daemon_conf *
daemon_conf(void)
{
	return &conf;
}

static const struct daemon_hooks hooks = {
	.reload = reload_request,
	.daemon = daemon_conf,
	.unclaimed = handover_unclaimed,
};

/*
 * Not called in the callback of a session, which may be the one that requested the
 * reload.
 */
static void
on_controls(evutil_socket_t fd, short what, void *arg)
{
	struct error err;

	(void)fd, (void)what, (void)arg;
	if (control_ports_change(&err) < 0)
		systemd_status("%s", err.text);
}

/* --- reload --------------------------------------------------------------- */

static void
show_status(struct bridge *b)
{
	char text[64];

	systemd_status("%s", bridge_summary(b, text, sizeof(text)));
}

static int
read_config(struct config **ret, struct faults *faults)
{
	return options_config(options, ret, faults);
}

/* The control ports are changed outside of the sessions' callbacks. */
static void
config_taken(struct config *c)
{
	take_daemon_conf(c);
	control_ports_commit(c);
	event_active(control_event, EV_TIMEOUT, 1);
}

static const struct reload_ops reload_ops = {
	.read = read_config,
	.taken = config_taken,
};

/* --- signals and shutdown ------------------------------------------------- */

static void
log_tasks(void)
{
	struct task *task;
	uint64_t now = now_ns();
	char label[TASK_LABEL_MAX], site[64], idle[24];

	TAILQ_FOREACH(task, task_all(), entry) {
		label[0] = '\0';
		task->label(task, label, sizeof(label));
		log_to(LOG_NOTICE, ABOUT_TASK, task->name, "%s %s %s, %s",
		    task_state_name(task->state),
		    task_site_name(task->site, site, sizeof(site)),
		    format_time(now - task->since_ns, idle, sizeof(idle)),
		    label);
	}
}

/*
 * Checks that the program starts and accepts the configuration; it prints the reason if
 * it does not.
 */
static int
try_program(void)
{
	char check[] = "--check", **argv;
	posix_spawn_file_actions_t quiet;
	size_t n = 0;
	int r, status;
	pid_t pid;

	while (options->argv[n] != NULL)
		n++;
	if ((argv = calloc(n + 2, sizeof(*argv))) == NULL)
		return -ENOMEM;
	argv[0] = options->argv[0];
	argv[1] = check;
	memcpy(argv + 2, options->argv + 1, n * sizeof(*argv));
	r = -posix_spawn_file_actions_init(&quiet);
	if (r == 0) {
		r = -posix_spawn_file_actions_addopen(
		    &quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
		if (r == 0)
			r = -posix_spawn(
			    &pid, program, &quiet, NULL, argv, environ);
		posix_spawn_file_actions_destroy(&quiet);
	}
	free(argv);
	if (r < 0)
		return r;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	return status == 0 ? 0 : -EINVAL;
}

/*
 * Opens the control ports of the new configuration, which the next process inherits.  A
 * configuration that only the new program can read is not an error here.
 */
static int
try_controls(struct error *err)
{
	struct faults faults = { 0 };
	struct config *c;
	int r;

	if (options_config(options, &c, &faults) < 0) {
		faults_free(&faults);
		return 0;
	}
	r = control_ports_prepare(c, err);
	config_free(c);
	return r;
}

/* Called immediately before execv(), when nothing else can fail any more. */
static void
before_exec(void)
{
	capture_stop("the daemon starts again", NULL);
	bridge_flush_logs(bridge, UINT64_MAX);
	writer_join();
	bridge_end_signals(bridge);
}

static void
not_executed(const char *why)
{
	restart_by = 0;
	bridge_resume(bridge);
	task_remove(&drain_task);
	log_at(LOG_ERR, "cannot start %s again, goes on: %s", program, why);
}

/* Executes the program again, or continues if that fails. */
static void
execute(void)
{
	struct error err;
	int r;

	reload_complete();
	if ((r = try_controls(&err)) == 0) {
		bridge_end_tls(bridge);
		bridge_settle(bridge);
		r = handover_exec(bridge, program, options->argv, before_exec);
		error_set(&err, "%s", strerror(-r));
		control_ports_drop();
	}
	not_executed(err.text);
}

static void
drain_label(const struct task *task, char *buf, size_t size)
{
	(void)task;
	snprintf(buf, size, "%s to be written, before it %s",
	    drain_until != 0 ? "all queues" : "the queues of peers with TLS",
	    drain_until != 0 ? "ends" : "starts again");
}

static void
wait_for_queues(void)
{
	if (drain_task.label == NULL)
		task_add(&drain_task, NULL, drain_label, "daemon.drain");
	TASK_WAIT(&drain_task);
}

static void
on_drain(evutil_socket_t fd, short what, void *arg)
{
	const struct timeval step = { 0, DRAIN_STEP_US };

	(void)fd, (void)what, (void)arg;
	if (drain_until == 0 &&
	    (bridge_tls_written(bridge) || now_ns() >= restart_by))
		execute();
	else if (drain_until == 0)
		evtimer_add(drain_event, &step);
	else if ((leaving ? bridge_written(bridge) : bridge_drained(bridge)) ||
	    now_ns() >= drain_until)
		event_base_loopbreak(base);
	else
		evtimer_add(drain_event, &step);
}

static void
begin_stop(int sig)
{
	if (drain_until != 0) {
		event_base_loopbreak(base);
		return;
	}
	log_at(LOG_NOTICE, "%s: stopping", strsignal(sig));
	systemd_stopping(conf.drain_timeout);
	leaving = handover_store_there();
	reload_stop();
	if (!leaving)
		bridge_stop(bridge);
	drain_until = now_ns() + conf.drain_timeout;
	wait_for_queues();
	on_drain(-1, 0, NULL);
}

/* TLS cannot be handed over: first its peers get what is queued for them. */
static void
restart(void)
{
	int r;

	if (drain_until != 0 || restart_by != 0)
		return;
	reload_complete();
	log_at(LOG_NOTICE, "starting %s again", program);
	if ((r = try_program()) != 0) {
		not_executed(r == -EINVAL
			? "it does not run with this configuration"
			: strerror(-r));
		return;
	}
	restart_by = now_ns() + conf.drain_timeout;
	wait_for_queues();
	on_drain(-1, 0, NULL);
}

static void
on_signal(evutil_socket_t fd, short what, void *arg)
{
	struct signalfd_siginfo info;
	char *faults = NULL;

	(void)what, (void)arg;
	task_begin(&signal_task);
	while (read(fd, &info, sizeof(info)) == sizeof(info)) {
		switch (info.ssi_signo) {
		case SIGHUP:
			bridge_reopen_logs(bridge);
			reload_request(NULL, &faults);
			free(faults);
			break;
		case SIGUSR1:
			log_tasks();
			break;
		case SIGUSR2:
			restart();
			break;
		default:
			begin_stop((int)info.ssi_signo);
			break;
		}
	}
	task_end(&signal_task);
}

static void
signal_label(const struct task *task, char *buf, size_t size)
{
	(void)task;
	snprintf(buf, size,
	    "a signal (TERM and INT end it, HUP reloads, USR1"
	    " logs its tasks, USR2 starts it again)");
}

static int
start_signals(void)
{
	sigset_t set;
	int fd;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	if (sigprocmask(SIG_BLOCK, &set, NULL) < 0)
		return -errno;
	fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (fd < 0)
		return -errno;
	signal_event =
	    event_new(base, fd, EV_READ | EV_PERSIST, on_signal, NULL);
	drain_event = evtimer_new(base, on_drain, NULL);
	control_event = event_new(base, -1, EV_PERSIST, on_controls, NULL);
	if (signal_event == NULL || drain_event == NULL ||
	    control_event == NULL || event_add(signal_event, NULL) < 0)
		return -ENOMEM;
	task_add(&signal_task, NULL, signal_label, "daemon.signals");
	signal_task.event = signal_event;
	TASK_WAIT(&signal_task);
	return 0;
}

/* --- startup -------------------------------------------------------------- */

static void
raise_descriptor_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0 ||
	    limit.rlim_cur >= limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

/* Finds the path of the program, which also is valid after an upgrade. */
static void
find_program(void)
{
	const char *name = options->argv[0];
	ssize_t n;

	if (strchr(name, '/') != NULL && realpath(name, program) != NULL)
		return;
	n = readlink("/proc/self/exe", program, sizeof(program) - 1);
	program[MAX(n, (ssize_t)0)] = '\0';
}

/*
 * Starts, in this order: the state of the previous process, signals, endpoints, control
 * ports; then notifies the service manager.
 */
static int
start(struct config *c, const struct faults *warnings, struct error *err)
{
	bool continues;
	char text[64];
	int r;

	raise_descriptor_limit();
	signal(SIGPIPE, SIG_IGN);
	/* A write beyond the file size limit is an error, and does not end the process. */
	signal(SIGXFSZ, SIG_IGN);
	log_open();
	find_program();
	if ((base = event_loop_new()) == NULL)
		return -ENOMEM;
	warnings_open(base);
	if ((r = start_signals()) < 0 || (r = bridge_new(base, &bridge)) < 0)
		return r;
	continues = handover_begin(c, &bridge->snapshot);
	handover_prune(base, c);
	bridge->changed = show_status;
	reload_init(bridge, &reload_ops);
	take_daemon_conf(c);
	log_faults(LOG_WARNING, warnings);
	if ((r = bridge_apply(bridge, c, err)) < 0)
		return r;
	/* The state of a previous process is not discarded because of a control port. */
	r = control_ports_open(bridge, &hooks, &http_ops, c, !continues, err);
	if (r < 0)
		return r;
	error_clear(err);
	handover_end(bridge);
	if ((r = systemd_start(base)) < 0)
		return r;
	log_at(LOG_INFO, "version " VERSION ": %s",
	    bridge_summary(bridge, text, sizeof(text)));
	show_status(bridge);
	systemd_ready();
	return 0;
}

/*
 * Exits without closing anything: descriptors stay open in the fd store, and must not be
 * shut down or reset as on a normal stop.
 */
static void
leave(int status)
{
	int r = 0;

	reload_free();
	capture_stop("the daemon has ended", NULL);
	if (bridge != NULL)
		bridge_flush_logs(bridge, UINT64_MAX);
	writer_join();
	if (bridge != NULL) {
		bridge_end_signals(bridge);
		bridge_end_tls(bridge);
		bridge_settle(bridge);
	}
	if (bridge != NULL && (r = handover_store(bridge)) < 0)
		log_at(LOG_ERR,
		    "what is queued cannot be left to the next process: %s",
		    strerror(-r));
	log_at(LOG_NOTICE, "stopped; all %sis left to the next process",
	    r < 0 ? "that is open " : "");
	exit(status);
}

static void
stop(void)
{
	systemd_stop();
	reload_free();
	capture_free();
	control_ports_free();
	bridge_free(bridge);
	writer_join();
	serial_finish();
	if (signal_event != NULL) {
		close(event_get_fd(signal_event));
		event_free(signal_event);
	}
	if (drain_event != NULL)
		event_free(drain_event);
	if (control_event != NULL)
		event_free(control_event);
	link_machinery_free();
	warnings_close();
	if (base != NULL) {
		/* Deferred callbacks of bufferevents hold references to them. */
		event_base_loop(base, EVLOOP_NONBLOCK);
		event_base_free(base);
	}
	free(conf.name);
	free(conf.state_dir);
	site_set(NULL, NULL);
}

int
daemon_run(
    const struct options *o, struct config *c, const struct faults *warnings)
{
	struct error err = { "" };
	int r;

	options = o;
	r = start(c, warnings, &err);

	config_free(c);
	if (r == 0)
		event_base_dispatch(base);
	else
		log_at(LOG_ERR, "cannot start: %s",
		    error_is_set(&err) ? err.text : strerror(-r));
	if (leaving || (r < 0 && handover_store_there()))
		leave(r == 0 ? EXIT_SUCCESS : EXIT_RUN);
	handover_end(NULL);
	stop();
	libevent_global_shutdown();
	return r == 0 ? EXIT_SUCCESS : EXIT_RUN;
}
