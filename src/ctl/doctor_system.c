/*
 * doctor_system: files of the system, and what systemd knows about the service.
 */
#include <sys/wait.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_system.h"

/* systemctl waits longer for a manager that hangs. */
#define SYSTEMCTL_NS (1500 * NSEC_PER_MSEC)
#define END_NS (200 * NSEC_PER_MSEC) /* after SIGTERM */
#define OUTPUT_MAX (64 * 1024)

extern char **environ;

/* --- files ------------------------------------------------------------------ */

const char *
system_path(const char *path, char *buf, size_t size)
{
	const char *root = getenv("TTYBRIDGE_DOCTOR_ROOT");

	if (root != NULL) {
		snprintf(buf, size, "%s%s", root, path);
		if (access(buf, F_OK) == 0)
			return buf;
	}
	snprintf(buf, size, "%s", path);
	return buf;
}

ssize_t
system_read(const char *path, char *buf, size_t size)
{
	char real[PATH_MAX];
	ssize_t n;
	int fd;

	fd = open(system_path(path, real, sizeof(real)), O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	n = read(fd, buf, size - 1);
	if (n < 0)
		n = -errno;
	close(fd);
	buf[MAX(n, (ssize_t)0)] = '\0';
	return n;
}

/* Whether one of the arguments of the process is the file. */
static bool
has_argument(pid_t pid, const char *file)
{
	char words[4096], path[PATH_MAX + 32], real[PATH_MAX];
	const char *word;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/cmdline", (int)pid);
	n = system_read(path, words, sizeof(words));
	for (word = words; word < words + n; word += strlen(word) + 1) {
		if (*word == '/')
			snprintf(path, sizeof(path), "%s", word);
		else
			snprintf(path, sizeof(path), "/proc/%d/cwd/%s",
			    (int)pid, word);
		if (realpath(path, real) != NULL && strcmp(real, file) == 0)
			return true;
	}
	return false;
}

pid_t
system_process_with(const char *file)
{
	char path[64], name[64];
	struct dirent *entry;
	pid_t found = 0, pid;
	DIR *dir = opendir("/proc");

	while (found == 0 && dir != NULL && (entry = readdir(dir)) != NULL) {
		if ((pid = atoi(entry->d_name)) <= 0)
			continue;
		snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
		if (system_read(path, name, sizeof(name)) > 0 &&
		    strncmp(name, "ttybridged", 10) == 0 &&
		    has_argument(pid, file))
			found = pid;
	}
	if (dir != NULL)
		closedir(dir);
	return found;
}

int
system_device(const char *device, char *buf, size_t size)
{
	char real[PATH_MAX];

	if (realpath(device, real) == NULL)
		return -errno;
	snprintf(buf, size, "%s", real);
	return 0;
}

/* --- systemd ---------------------------------------------------------------- */

bool
system_has_systemd(void)
{
	char path[PATH_MAX];

	system_path("/run/systemd/system", path, sizeof(path));
	return access(path, F_OK) == 0;
}

bool
system_unit(pid_t pid, char *buf, size_t size)
{
	static const char slice[] = "/system.slice/", suffix[] = ".service";
	char path[64], text[PATH_MAX], *name;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%d/cgroup", (int)pid);
	if (system_read(path, text, sizeof(text)) <= 0 ||
	    strstr(text, slice) == NULL)
		return false;
	text[strcspn(text, "\n")] = '\0';
	name = strrchr(text, '/');
	len = name != NULL ? strlen(name) : 0;
	if (len <= sizeof(suffix) ||
	    strcmp(name + len - strlen(suffix), suffix) != 0)
		return false;
	snprintf(buf, size, "%s", name + 1);
	return true;
}

/* Reads until the end or until then; the length. */
static size_t
read_until(int fd, char *buf, size_t size, uint64_t until)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	size_t len = 0;
	uint64_t now;
	ssize_t n;

	while ((now = now_ns()) < until && len < size - 1) {
		if (poll(&p, 1, (int)((until - now) / NSEC_PER_MSEC) + 1) <= 0)
			continue;
		if ((n = read(fd, buf + len, size - 1 - len)) <= 0)
			break;
		len += (size_t)n;
	}
	buf[len] = '\0';
	return len;
}

/*
 * Waits until the process has ended, or ends it when it takes too long: it may ignore
 * SIGTERM.  Its status.
 */
static int
end_process(pid_t pid, uint64_t until)
{
	const uint64_t kill_at = until + END_NS;
	int status = -1, sent = 0;
	uint64_t now;
	pid_t r;

	while ((r = waitpid(pid, &status, WNOHANG)) == 0 ||
	    (r < 0 && errno == EINTR)) {
		now = now_ns();
		if (now >= kill_at && sent != SIGKILL)
			kill(pid, sent = SIGKILL);
		else if (now >= until && sent == 0)
			kill(pid, sent = SIGTERM);
		usleep(5000);
	}
	return status;
}

/* Runs systemctl; the length of what it has printed, or -errno. */
static ssize_t
run_systemctl(char *const *argv, char *buf, size_t size)
{
	posix_spawn_file_actions_t actions;
	uint64_t until = now_ns() + SYSTEMCTL_NS;
	int fds[2], r, status;
	size_t len;
	pid_t pid;

	if (pipe2(fds, O_CLOEXEC) < 0)
		return -errno;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_adddup2(&actions, fds[1], STDOUT_FILENO);
	posix_spawn_file_actions_addopen(
	    &actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
	r = posix_spawnp(&pid, argv[0], &actions, NULL, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	close(fds[1]);
	if (r != 0) {
		close(fds[0]);
		return -r;
	}
	len = read_until(fds[0], buf, size, until);
	close(fds[0]);
	status = end_process(pid, until);
	return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? (ssize_t)len
							     : -EIO;
}

static void
add_property(json_t *all, char *line)
{
	char *value = strchr(line, '='), *joined;
	const char *before;

	if (value == NULL)
		return;
	*value++ = '\0';
	before = json_string_value(json_object_get(all, line));
	if (before == NULL || *before == '\0') {
		json_object_set_new(all, line, json_string(value));
		return;
	}
	if (asprintf(&joined, "%s\n%s", before, value) < 0)
		return;
	json_object_set_new(all, line, json_string(joined));
	free(joined);
}

json_t *
system_properties(const char *unit, const char *properties)
{
	char option[256],
	    *argv[] = { "systemctl", "show", option, "--",
		    (char *)(uintptr_t)unit, NULL };
	char *text = malloc(OUTPUT_MAX), *at = text, *line;
	json_t *all = NULL;

	snprintf(option, sizeof(option), "--property=%s", properties);
	if (text != NULL && run_systemctl(argv, text, OUTPUT_MAX) > 0 &&
	    (all = json_object()) != NULL)
		while ((line = strsep(&at, "\n")) != NULL)
			add_property(all, line);
	free(text);
	return all;
}
