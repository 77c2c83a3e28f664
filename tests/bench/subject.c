/*
 * subject: starts and ends the bridge's processes, and reads from /proc and the CPU
 * clocks what they use.
 */
#include <sys/prctl.h>
#include <sys/wait.h>

#include <dirent.h>
#include <err.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "subject.h"

#define MAX_SUBJECTS 1024
#define MAX_WORDS 64
#define TICK_NS 10000000ULL

static struct {
	pid_t pid; /* and its group; 0: ended */
	clockid_t clock;
} subject[MAX_SUBJECTS];
static unsigned nsubjects;

static uint64_t
read_clock(clockid_t id)
{
	struct timespec ts;

	if (clock_gettime(id, &ts) == -1)
		return 0;
	return (uint64_t)ts.tv_sec * 1000000000 + (uint64_t)ts.tv_nsec;
}

uint64_t
clock_ns(void)
{
	return read_clock(CLOCK_MONOTONIC);
}

/* --- processes ----------------------------------------------------------- */

static char *
with_number(const char *word, unsigned number)
{
	const char *mark = strstr(word, "{I}");
	char *s;
	int n;

	if (mark == NULL)
		n = asprintf(&s, "%s", word);
	else
		n = asprintf(
		    &s, "%.*s%u%s", (int)(mark - word), word, number, mark + 3);
	if (n == -1)
		errx(1, "out of memory");
	return s;
}

void
subject_start(char *const words[], unsigned number, const char *log)
{
	char *argv[MAX_WORDS + 1] = { NULL };
	int out = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
	int in = open("/dev/null", O_RDONLY | O_CLOEXEC);
	pid_t pid;

	if (out == -1 || in == -1 || nsubjects == MAX_SUBJECTS)
		err(1, "%s", log);
	for (unsigned i = 0; i < MAX_WORDS && words[i] != NULL; i++)
		argv[i] = with_number(words[i], number);
	/* Not fork, whose copy of our tables would be part of its start-up. */
	if ((pid = vfork()) == 0) {
		setpgid(0, 0);
		prctl(PR_SET_PDEATHSIG, SIGTERM);
		dup2(in, 0);
		dup2(out, 1);
		dup2(out, 2);
		execvp(argv[0], argv);
		_exit(127);
	}
	if (pid == -1)
		err(1, "vfork");
	subject[nsubjects].pid = pid;
	if (clock_getcpuclockid(pid, &subject[nsubjects].clock) != 0)
		subject[nsubjects].clock = -1;
	nsubjects++;
	close(in);
	close(out);
	for (unsigned i = 0; argv[i] != NULL; i++)
		free(argv[i]);
}

bool
subject_alive(void)
{
	for (unsigned i = 0; i < nsubjects; i++)
		if (waitpid(subject[i].pid, NULL, WNOHANG) != 0) {
			subject[i].pid = 0;
			return false;
		}
	return true;
}

void
subject_end(void)
{
	const struct timespec pause = { .tv_nsec = 2000000 };
	unsigned left = nsubjects;

	for (int tries = 0; tries < 5000 && left > 0; tries++) {
		left = 0;
		for (unsigned i = 0; i < nsubjects; i++) {
			pid_t pid = subject[i].pid;

			if (pid == 0)
				continue;
			if (tries == 0 || tries == 1500)
				kill(-pid, tries == 0 ? SIGTERM : SIGKILL);
			if (waitpid(pid, NULL, WNOHANG) != 0)
				subject[i].pid = 0;
			else
				left++;
		}
		if (left > 0)
			nanosleep(&pause, NULL);
	}
}

static void
on_signal(int number)
{
	subject_end();
	_exit(128 + number);
}

void
subject_init(void)
{
	signal(SIGPIPE, SIG_IGN);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGHUP, on_signal);
	atexit(subject_end);
	prctl(PR_SET_PDEATHSIG, SIGTERM);
}

/* --- what they use ------------------------------------------------------- */

/* The number behind "key:" in a file of /proc, 0 when there is none. */
static uint64_t
proc_value(const char *path, const char *key)
{
	size_t n = strlen(key);
	uint64_t value = 0;
	char line[256];
	FILE *f = fopen(path, "r");

	if (f == NULL)
		return 0;
	while (fgets(line, sizeof(line), f) != NULL)
		if (strncmp(line, key, n) == 0 && line[n] == ':') {
			value = strtoull(line + n + 1, NULL, 10);
			break;
		}
	fclose(f);
	return value;
}

uint64_t
subject_memory_kb(void)
{
	const char *file = nsubjects > 1 ? "smaps_rollup" : "status";
	const char *key = nsubjects > 1 ? "Pss" : "VmRSS";
	uint64_t sum = 0;
	char path[64];

	for (unsigned i = 0; i < nsubjects; i++) {
		snprintf(
		    path, sizeof(path), "/proc/%d/%s", subject[i].pid, file);
		sum += proc_value(path, key);
	}
	return sum;
}

/* Of all threads. */
static uint64_t
switches_of(pid_t pid)
{
	uint64_t sum = 0;
	struct dirent *e;
	char path[400];
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%d/task", pid);
	if ((d = opendir(path)) == NULL)
		return 0;
	while ((e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%d/task/%s/status", pid,
		    e->d_name);
		sum += proc_value(path, "voluntary_ctxt_switches");
	}
	closedir(d);
	return sum;
}

/* Of the kernel's workers that are bound to no CPU, which serve the ttys. */
static uint64_t
workers_ns(void)
{
	uint64_t sum = 0, ns;
	struct dirent *e;
	char path[300], name[32] = "";
	DIR *d = opendir("/proc");
	FILE *f;

	while (d != NULL && (e = readdir(d)) != NULL) {
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		if ((f = fopen(path, "r")) == NULL)
			continue;
		if (fscanf(f, "%31s", name) != 1)
			name[0] = '\0';
		fclose(f);
		if (strncmp(name, "kworker/u", 9) != 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%s/schedstat", e->d_name);
		if ((f = fopen(path, "r")) == NULL)
			continue;
		if (fscanf(f, "%" SCNu64, &ns) == 1)
			sum += ns;
		fclose(f);
	}
	if (d != NULL)
		closedir(d);
	return sum;
}

/* Idle and interrupt time of the CPU that we are on. */
static void
cpu_times(struct usage *u)
{
	unsigned long idle, iowait, irq, softirq;
	int cpu = sched_getcpu(), n;
	char line[512];
	FILE *f = fopen("/proc/stat", "r");

	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		if (sscanf(line, "cpu%d %*u %*u %*u %lu %lu %lu %lu", &n, &idle,
			&iowait, &irq, &softirq) == 5 &&
		    n == cpu) {
			u->idle_ns = (idle + iowait) * TICK_NS;
			u->irq_ns = (irq + softirq) * TICK_NS;
		}
	if (f != NULL)
		fclose(f);
}

static void
fast_part(struct usage *u)
{
	u->bridge_ns = 0;
	for (unsigned i = 0; i < nsubjects; i++)
		u->bridge_ns += read_clock(subject[i].clock);
	u->self_ns = read_clock(CLOCK_PROCESS_CPUTIME_ID);
	u->wall_ns = clock_ns();
}

static void
slow_part(struct usage *u)
{
	u->switches = 0;
	for (unsigned i = 0; i < nsubjects; i++)
		u->switches += switches_of(subject[i].pid);
	u->kernel_ns = workers_ns();
	cpu_times(u);
}

void
usage_take(struct usage *u, bool first)
{
	if (first)
		slow_part(u);
	fast_part(u);
	if (!first)
		slow_part(u);
}
