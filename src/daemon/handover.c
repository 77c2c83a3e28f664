/*
 * handover: the state that the previous process left, and the state left to the next.
 *
 * Descriptors keep their numbers through exec(), which are in the file together with
 * their names; in the fd store of the service manager they are identified by name.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "address.h"
#include "handover.h"
#include "handover_file.h"
#include "log.h"
#include "serial.h"
#include "systemd.h"

/* "PID FD" */
#define VARIABLE "TTYBRIDGE_HANDOVER"
#define STORE_NAME "handover"

static struct snapshot *snapshot;
static uint8_t *file;

/* --- state of the previous process ---------------------------------------- */

static void
take_file(int fd, void (*descriptor)(const char *name, int fd))
{
	size_t len = 0;
	int r = handover_load(fd, &file, &len);

	if (r == 0)
		r = handover_read(file, len, &snapshot, descriptor);
	close(fd);
	if (r == 0)
		return;
	free(file);
	file = NULL;
	log_at(LOG_ERR, "what the process before had in memory is lost: %s",
	    r == -EINVAL ? "the hand-over file is not one of this version"
			 : strerror(-r));
}

/* Takes over a descriptor that was inherited through exec(). */
static void
inherited(const char *name, int fd)
{
	if (fd <= STDERR_FILENO)
		return;
	if (fcntl(fd, F_SETFD, FD_CLOEXEC) == 0)
		left_add(name, fd);
	else
		close(fd);
}

static void
stored(const char *name, int fd)
{
	if (strcmp(name, STORE_NAME) != 0) {
		left_add(name, fd);
		return;
	}
	if (snapshot == NULL)
		take_file(fd, NULL);
	else
		close(fd);
	systemd_store_remove(STORE_NAME);
}

/* The descriptor of the file, -1: there is none for this process. */
static int
find_exec_file(void)
{
	const char *s = getenv(VARIABLE);
	int pid = -1, fd = -1;

	return s != NULL && sscanf(s, "%d %d", &pid, &fd) == 2 &&
		pid == getpid() && fd > STDERR_FILENO
	    ? fd
	    : -1;
}

bool
handover_waits(void)
{
	return find_exec_file() >= 0;
}

static int
exec_file(void)
{
	int fd = find_exec_file();

	unsetenv(VARIABLE);
	return fd >= 0 && fcntl(fd, F_SETFD, FD_CLOEXEC) == 0 ? fd : -1;
}

/* --- names ---------------------------------------------------------------- */

static bool
begins(const char *s, const char *name, const char *delimiters)
{
	size_t n = strlen(name);

	return strncmp(s, name, n) == 0 && s[n] != '\0' &&
	    strchr(delimiters, s[n]) != NULL;
}

/* Whether the descriptor was kept for a section that is unchanged. */
static bool
is_of(
    const struct left *l, const char *type, const char *name, const char *text)
{
	char now[KEEP_NAME_MAX];
	const char *end = strrchr(l->name, '@');

	keep_name(now, sizeof(now), type, name, text, "");
	return begins(l->name, name, "@# ") && end != NULL &&
	    strcmp(end, now + strlen(name)) == 0;
}

/* --- the queues of a process that was killed ------------------------------ */

#define QUEUE " queue@"

static bool
is_queue(const struct left *l)
{
	return strstr(l->name, QUEUE) != NULL;
}

/* The frames that were restored. */
struct rescue {
	struct snapshot *snapshot;
	size_t frames, bytes;
};

static int
rescue_queue(struct rescue *rescue, const struct endpoint_conf *conf,
    const struct left *l)
{
	char port_name[KEEP_NAME_MAX];
	struct queue queue;
	int r;

	snprintf(port_name, sizeof(port_name), "%.*s",
	    (int)strcspn(l->name, " "), l->name);
	queue_init(&queue, 0);
	r = queue_rescue(&queue, l->fd);
	if (r == 0 && queue.frames > 0)
		r = snapshot_add_queue(
		    rescue->snapshot, conf, port_name, &queue);
	if (r == 0) {
		rescue->frames += queue.frames;
		rescue->bytes += queue.payload;
	}
	queue_free(&queue);
	if (r == -EINVAL) {
		log_at(LOG_ERR, "%s is damaged, and lost", l->name);
		r = 0;
	}
	return r;
}

/* Restores the queues of one section. */
static int
rescue_section(struct rescue *rescue, const struct endpoint_conf *conf)
{
	const struct left *l;
	int r = 0;

	TAILQ_FOREACH(l, left_all(), entry)
		if (r == 0 && is_queue(l) &&
		    is_of(l, conf->ops->type, conf->name, conf->wire))
			r = rescue_queue(rescue, conf, l);
	return r;
}

static void
rescue_queues(const struct config *c)
{
	struct rescue rescue = { .snapshot = snapshot_new() };
	int r = rescue.snapshot == NULL ? -ENOMEM : 0;

	for (unsigned i = 0; i < c->nendpoints && r == 0; i++)
		r = rescue_section(&rescue, c->endpoints[i]);
	if (r == 0 && rescue.frames > 0) {
		snapshot = rescue.snapshot;
		log_at(LOG_NOTICE,
		    "the process before was killed: %zu frames (%zu bytes)"
		    " that waited are taken over",
		    rescue.frames, rescue.bytes);
		return;
	}
	if (r < 0)
		log_at(LOG_ERR,
		    "what the process before had in queues is lost: %s",
		    strerror(-r));
	snapshot_free(rescue.snapshot, NULL);
}

/* Removes the files of the queues, whose frames are in the snapshot. */
static void
forget_queues(void)
{
	struct left *l, *next;
	char name[KEEP_NAME_MAX];

	for (l = TAILQ_FIRST(left_all()); l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (!is_queue(l))
			continue;
		snprintf(name, sizeof(name), "%s", l->name);
		/*
		 * The service manager's copy may outlive this process, which may end
		 * before the manager has processed the request to remove it.
		 */
		queue_forget(l->fd);
		close(left_free(l));
		keep_forget(name);
	}
}

/* Whether there is anything besides the listening sockets of the service manager. */
static bool
anything_left(void)
{
	const struct left *l;

	TAILQ_FOREACH(l, left_all(), entry)
		if (left_is_kept(l))
			return true;
	return false;
}

bool
handover_begin(const struct config *c, struct snapshot **ret)
{
	int fd = exec_file();

	if (fd >= 0)
		take_file(fd, inherited);
	systemd_listen(stored);
	keep_tell(systemd_keeper());
	if (snapshot == NULL)
		rescue_queues(c);
	forget_queues();
	/*
	 * The service manager ignores messages of a process that has ended.  Therefore
	 * wait until it has removed the state: if this process were killed before that,
	 * the next one would restore it again.
	 */
	if (snapshot != NULL)
		systemd_store_settle();
	*ret = snapshot;
	return snapshot != NULL || anything_left();
}

/* --- descriptors that were not claimed ------------------------------------ */

static bool
is_wanted(const struct left *l, const struct config *c)
{
	for (unsigned i = 0; i < c->nendpoints; i++)
		if (is_of(l, c->endpoints[i]->ops->type, c->endpoints[i]->name,
			c->endpoints[i]->wire))
			return true;
	for (unsigned i = 0; i < c->ncontrols; i++)
		if (is_of(l, c->controls[i]->type, c->controls[i]->name,
			c->controls[i]->text))
			return true;
	return false;
}

/*
 * Converts the name for messages: "lan#3" for a connection, "lan listener" for a listener
 * whose name also includes the identity of its file, "ar1" for a port whose output is
 * still being sent.
 */
static void
short_name(char *name, int fd)
{
	char *part = strchr(name, ' ');

	if (part != NULL && isatty(fd))
		*part = '\0';
	else if (part != NULL)
		part[strcspn(part, "#@")] = '\0';
	else
		name[strcspn(name, "@")] = '\0';
}

static void
close_left(struct left *l, struct event_base *base)
{
	char name[KEEP_NAME_MAX];
	int fd;

	snprintf(name, sizeof(name), "%s", l->name);
	fd = left_free(l);
	keep_forget(name);
	short_name(name, fd);
	log_at(LOG_NOTICE,
	    "%s was left open by the process before and is"
	    " not wanted any more: closed",
	    name);
	if (isatty(fd)) {
		serial_let_go(fd, base, name);
		return;
	}
	shutdown(fd, SHUT_RDWR);
	close(fd);
}

void
handover_prune(struct event_base *base, const struct config *c)
{
	struct left *l, *next;

	for (l = TAILQ_FIRST(left_all()); l != NULL; l = next) {
		next = TAILQ_NEXT(l, entry);
		if (left_is_kept(l) && (c == NULL || !is_wanted(l, c)))
			close_left(l, base);
	}
}

static char unclaimed[512];

const char *
handover_unclaimed(void)
{
	return unclaimed;
}

/*
 * A client that connects to such a socket would wait indefinitely, so the socket is
 * closed; the service manager has a copy, for the next start.
 */
static void
close_unclaimed(void)
{
	char address[ADDRESS_TEXT_MAX];
	struct sockaddr_storage ss;
	struct left *l, *next;

	for (l = TAILQ_FIRST(left_all()); l != NULL; l = next) {
		socklen_t len = sizeof(ss);

		next = TAILQ_NEXT(l, entry);
		if (left_is_kept(l) || l->claimed)
			continue;
		if (getsockname(l->fd, (struct sockaddr *)&ss, &len) == 0)
			address_format((struct sockaddr *)&ss, len, address,
			    sizeof(address));
		else
			snprintf(address, sizeof(address), "no socket");
		log_at(LOG_WARNING,
		    "the inherited socket %s (%s) is closed: no section has"
		    " it as 'listen'; when one does, systemctl stop the"
		    " socket unit and restart the service",
		    l->name, address);
		append(unclaimed, sizeof(unclaimed), "%s%s (%s)",
		    *unclaimed != '\0' ? ", " : "", l->name, address);
		close(left_free(l));
	}
}

void
handover_end(struct bridge *b)
{
	if (b != NULL) {
		handover_prune(b->base, NULL);
		close_unclaimed();
		bridge_restored(b);
	}
	snapshot_free(snapshot, b);
	free(file);
	snapshot = NULL;
	file = NULL;
}

/* --- fd store and exec() -------------------------------------------------- */

bool
handover_store_there(void)
{
	return systemd_store_there();
}

int
handover_store(const struct bridge *b)
{
	int fd = handover_make(b, false), r;

	if (fd < 0)
		return fd;
	r = systemd_store_add(STORE_NAME, fd, true);
	close(fd);
	return r;
}

static int
set_inheritable(bool on)
{
	const struct kept *k;
	const struct left *l;
	int flags = on ? 0 : FD_CLOEXEC, r = 0;

	TAILQ_FOREACH(k, keep_all(), entry)
		if (fcntl(k->fd, F_SETFD, flags) < 0)
			r = -errno;
	TAILQ_FOREACH(l, left_all(), entry)
		if (fcntl(l->fd, F_SETFD, flags) < 0)
			r = -errno;
	return r;
}

int
handover_exec(const struct bridge *b, const char *path, char *const *argv,
    void (*last)(void))
{
	char value[32];
	int fd, r;

	if (access(path, X_OK) < 0)
		return -errno;
	if ((fd = handover_make(b, true)) < 0)
		return fd;
	snprintf(value, sizeof(value), "%d %d", (int)getpid(), fd);
	if (setenv(VARIABLE, value, 1) < 0) {
		close(fd);
		return -ENOMEM;
	}
	r = fcntl(fd, F_SETFD, 0) < 0 ? -errno : set_inheritable(true);
	if (r == 0) {
		last();
		execv(path, argv);
		r = -errno;
	}
	set_inheritable(false);
	unsetenv(VARIABLE);
	close(fd);
	return r;
}
