/*
 * doctor_facts: asks the daemon, and reads its configuration.
 *
 * Some faults are visible only in what changes: the attributes are taken twice, and the
 * frames are watched in between, on a connection of its own.
 */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor_facts.h"
#include "doctor_system.h"

/* All of it has to end within five seconds, also if the daemon hangs. */
#define ANSWER_MS 1500
#define RESTART_NS NSEC_PER_SEC
#define TALK_NS (4 * NSEC_PER_SEC)
#define REPLY_MAX (16 << 20)
#define SAMPLE_NS NSEC_PER_SEC
#define FRAMES_MAX 4000

#define DEFAULT_PATH SYSCONFDIR "/ttybridge/ttybridge.conf"

/* --- values ----------------------------------------------------------------- */

/* The value that the daemon uses; without a daemon, that in the configuration. */
static const json_t *
find(const struct facts *f, const char *object, const char *name)
{
	const json_t *keys = json_object_get(f->config, "keys"), *value;
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", object, name);
	value = json_object_get(f->now, path);
	return value != NULL ? value : json_object_get(keys, path);
}

const char *
fact_text(const struct facts *f, const char *object, const char *name,
    char *buf, size_t size)
{
	const json_t *value = find(f, object, name);

	if (json_is_number(value))
		snprintf(buf, size, "%.15g", json_number_value(value));
	else
		snprintf(buf, size, "%s",
		    json_is_string(value) ? json_string_value(value) : "");
	return buf;
}

bool
fact_is(const struct facts *f, const char *object, const char *name,
    const char *value)
{
	char text[64];

	return strcmp(fact_text(f, object, name, text, sizeof(text)), value) ==
	    0;
}

static double
number_at(const json_t *all, const char *object, const char *name)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", object, name);
	return member_number(all, path);
}

double
fact_number(const struct facts *f, const char *object, const char *name)
{
	return number_at(f->now, object, name);
}

double
fact_rise(const struct facts *f, const char *object, const char *name)
{
	double rise =
	    fact_number(f, object, name) - number_at(f->before, object, name);

	return rise > 0 ? rise : 0;
}

bool
fact_up(const struct facts *f, const char *endpoint)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/state", endpoint);
	return strcmp(member_text(f->now, path), "up") == 0 &&
	    strcmp(member_text(f->before, path), "up") == 0;
}

bool
facts_any_endpoint(const struct facts *f, const char *member, const char *text)
{
	const json_t *each;
	size_t i;

	json_array_foreach(f->endpoints, i, each)
	{
		if (strcmp(member_text(each, member), text) == 0)
			return true;
	}
	return false;
}

bool
fact_warns(const struct facts *f, const char *name, const char *warning)
{
	const json_t *each;
	char task[80];
	size_t i;

	snprintf(task, sizeof(task), "%s.", name);
	json_array_foreach(f->warnings, i, each)
	{
		const char *text = member_text(each, "task");

		if (strcmp(member_text(each, "warning"), warning) == 0 &&
		    strncmp(text, task, strlen(task)) == 0)
			return true;
	}
	return false;
}

/* --- where it is ------------------------------------------------------------ */

/* The section of that name in one of the lists of the configuration. */
static const json_t *
find_section(const struct facts *f, const char *list, const char *name)
{
	const json_t *each;
	size_t i;

	json_array_foreach(json_object_get(f->config, list), i, each)
	{
		if (strcmp(member_text(each, "name"), name) == 0)
			return each;
	}
	return NULL;
}

const char *
fact_where(const struct facts *f, const char *name, char *buf, size_t size)
{
	const json_t *section = find_section(f, "endpoints", name);
	char type[32], address[256];

	fact_text(f, name, "type", type, sizeof(type));
	fact_text(f, name, "address", address, sizeof(address));
	if (f->running && *address != '\0' &&
	    fact_is(f, "daemon", "config", "")) {
		snprintf(buf, size, "%s, the argument for %s", name, address);
		return buf;
	}
	if (section != NULL)
		snprintf(
		    type, sizeof(type), "%s", member_text(section, "type"));
	else if ((section = find_section(f, "routes", name)) != NULL)
		snprintf(type, sizeof(type), "route");
	else if ((section = find_section(f, "controls", name)) != NULL)
		snprintf(type, sizeof(type), "control");
	snprintf(buf, size, "[%s %s]", *type != '\0' ? type : "route", name);
	if (section != NULL && *f->path != '\0')
		append(buf, size, ", %s:%d", f->path,
		    (int)member_number(section, "line"));
	return buf;
}

/* --- the daemon ------------------------------------------------------------- */

/* Collects the frames that pass until then, FRAMES_MAX at most. */
static void
collect_frames(struct facts *f, struct connection *c, uint64_t until)
{
	struct pollfd p = { .fd = c->fd, .events = POLLIN };
	struct error err;
	uint64_t now;
	char *line;

	while ((now = now_ns()) < until && connection_stop == 0 &&
	    json_array_size(f->frames) < FRAMES_MAX) {
		while ((line = connection_line(c)) != NULL)
			json_array_append_new(
			    f->frames, json_loads(line, 0, NULL));
		if (c->ended)
			return;
		if (!connection_pending(c) &&
		    poll(&p, 1, (int)((until - now) / NSEC_PER_MSEC) + 1) <= 0)
			continue;
		if (connection_receive(c, &err) < 0)
			return;
	}
}

static void
watch(struct facts *f, struct ctl *ctl, uint64_t until)
{
	uint64_t start = now_ns();
	struct connection *c;
	struct error err;

	error_clear(&err);
	if (connection_open(&ctl->target, ANSWER_MS, &c, &err) < 0) {
		snprintf(
		    f->unwatched, sizeof(f->unwatched), "%.120s", err.text);
		return;
	}
	if (connection_send(c, "json watch -x", &err) == 0) {
		f->frames = json_array();
		collect_frames(f, c, until);
		f->watched = (double)(now_ns() - start) / 1e9;
	}
	connection_close(c);
}

/* The second sample; while nothing is up, nothing changes. */
static int
sample_again(struct facts *f, struct ctl *ctl)
{
	uint64_t start = now_ns(), until = start + SAMPLE_NS, now;
	bool up = facts_any_endpoint(f, "state", "up");

	if (up)
		watch(f, ctl, until);
	else
		f->frames = json_array();
	if (connection_stop != 0)
		return -EINTR;
	if (up && (now = now_ns()) < until)
		usleep((useconds_t)((until - now) / NSEC_PER_USEC));
	f->seconds = (double)(now_ns() - start) / 1e9;
	return connection_query(ctl->connection, "list", &f->now, &f->why);
}

/* For many endpoints only the members of their table, which takes less time. */
static int
sample_first(struct facts *f, struct ctl *ctl)
{
	const json_t *each;
	const char *member;
	char path[256];
	json_t *value;
	size_t i;

	if (json_array_size(f->endpoints) <= FACTS_LIST_TWICE)
		return connection_query(
		    ctl->connection, "list", &f->before, &f->why);
	f->before = json_object();
	json_array_foreach(f->endpoints, i, each)
	{
		json_object_foreach((json_t *)(uintptr_t)each, member, value)
		{
			snprintf(path, sizeof(path), "%s/%s",
			    member_text(each, "name"), member);
			json_object_set(f->before, path, value);
		}
	}
	return 0;
}

static int
ask(struct facts *f, struct ctl *ctl)
{
	const struct {
		const char *command;
		json_t **ret;
	} queries[] = { { "endpoints", &f->endpoints },
		{ "routes", &f->routes } },
	  later[] = { { "peers", &f->peers }, { "ps", &f->tasks },
		  { "warnings", &f->warnings } };
	struct connection *c = ctl->connection;
	int r = 0;

	for (size_t i = 0; r == 0 && i < NELEM(queries); i++)
		r = connection_query(
		    c, queries[i].command, queries[i].ret, &f->why);
	if (r == 0)
		r = sample_first(f, ctl);
	if (r == 0)
		r = sample_again(f, ctl);
	for (size_t i = 0; r == 0 && i < NELEM(later); i++)
		r = connection_query(
		    c, later[i].command, later[i].ret, &f->why);
	return r;
}

/* Of "unix:PATH" the path, others as they are. */
static const char *
plain_path(const char *address)
{
	return strncmp(address, "unix:", 5) == 0 ? address + 5 : address;
}

/* Whether the process that the daemon says it is exists here. */
static void
find_process(struct facts *f)
{
	char path[64], name[64];
	double number = member_number(f->now, "daemon/pid");
	pid_t pid = number >= 1 && number <= INT_MAX ? (pid_t)number : 0;

	snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
	if (pid == 0 || system_read(path, name, sizeof(name)) <= 0 ||
	    strncmp(name, "ttybridged", 10) != 0)
		return;
	f->pid = pid;
	f->local = true;
}

static void
forget_daemon(struct facts *f)
{
	json_t **all[] = { &f->endpoints, &f->before, &f->now, &f->frames,
		&f->routes, &f->peers, &f->tasks, &f->warnings };

	for (size_t i = 0; i < NELEM(all); i++) {
		json_decref(*all[i]);
		*all[i] = NULL;
	}
}

static bool
is_lost(int r)
{
	return r == -ECONNRESET || r == -EPIPE;
}

/* The daemon may be about to start again. */
static int
connect_again(struct facts *f, struct ctl *ctl)
{
	uint64_t end = now_ns() + RESTART_NS;
	struct error err;
	int r;

	forget_daemon(f);
	connection_close(ctl->connection);
	ctl->connection = NULL;
	error_clear(&err);
	while ((r = connection_open(
		    &ctl->target, ANSWER_MS, &ctl->connection, &err)) < 0 &&
	    connection_stop == 0 && now_ns() < end)
		usleep(50000);
	return r;
}

static int
collect_daemon(struct facts *f, struct ctl *ctl)
{
	int r = locate(&ctl->where, &ctl->target, &ctl->connection, &f->why);

	if (r == 0 && is_lost(r = ask(f, ctl)) && connect_again(f, ctl) == 0)
		r = ask(f, ctl);
	f->running = r == 0;
	if (r == 0)
		find_process(f);
	else
		forget_daemon(f);
	return r == -EINTR ? r : 0;
}

/* --- the configuration ------------------------------------------------------ */

static void
read_config(struct facts *f, const char *path)
{
	char real[PATH_MAX];

	if (*path == '\0' || realpath(path, real) == NULL ||
	    strcmp(real, f->path) == 0)
		return;
	json_decref(f->config);
	snprintf(f->path, sizeof(f->path), "%s", real);
	f->config = locate_config(f->path, true);
}

/* The daemon may use another one than the default. */
static void
follow_daemon(struct facts *f)
{
	char path[PATH_MAX];

	fact_text(f, "daemon", "config", path, sizeof(path));
	if (f->local && *path != '\0') {
		read_config(f, path);
		return;
	}
	/* It has none, or one that is not here. */
	json_decref(f->config);
	f->config = NULL;
	f->path[0] = '\0';
}

/* Whether the control port that has answered has access = read. */
static bool
is_read_only(const struct facts *f, const struct target *target)
{
	const char *address = plain_path(target->address);
	const json_t *each;
	size_t i;

	json_array_foreach(json_object_get(f->config, "controls"), i, each)
	{
		if (strcmp(plain_path(member_text(each, "listen")), address) ==
		    0)
			return strcmp(member_text(each, "access"), "read") == 0;
	}
	return false;
}

/* How a command has to be given so that it reaches this daemon. */
static void
set_command(struct facts *f, const struct ctl *ctl)
{
	const struct where *where = &ctl->where;

	snprintf(f->command, sizeof(f->command), "ttybridgectl");
	if (where->config != NULL)
		append(f->command, sizeof(f->command), " -c %s", where->config);
	else if (where->socket != NULL)
		append(f->command, sizeof(f->command), " -s %s", where->socket);
	else if (where->host != NULL)
		append(f->command, sizeof(f->command), " -H %s", where->host);
	if (where->tls.on)
		append(f->command, sizeof(f->command), " --tls");
	if (where->tls.ca != NULL)
		append(
		    f->command, sizeof(f->command), " --ca %s", where->tls.ca);
	if (where->tls.cert != NULL)
		append(f->command, sizeof(f->command), " --cert %s --key %s",
		    where->tls.cert, where->tls.key);
}

int
facts_collect(
    struct facts *f, struct ctl *ctl, const char *config, struct error *err)
{
	struct where *where = &ctl->where;
	bool named = where->socket != NULL || where->host != NULL;
	int r;

	memset(f, 0, sizeof(*f));
	if (config == NULL)
		config = where->config;
	else if (!named)
		where->config = config;
	set_command(f, ctl);
	where->timeout_ms = ANSWER_MS;
	if (config != NULL || !named)
		read_config(f, config != NULL ? config : DEFAULT_PATH);
	where->parsed = f->config;
	connection_limits =
	    (struct connection_limits){ .end_ns = now_ns() + TALK_NS,
		    .line = REPLY_MAX };
	if ((r = collect_daemon(f, ctl)) < 0)
		return r;
	if (f->running && config == NULL)
		follow_daemon(f);
	if (f->running)
		f->read_only = is_read_only(f, &ctl->target);
	if (!f->running && (f->config == NULL || named))
		return error_fail(err, -ENOENT, "%s", f->why.text);
	if (!f->running)
		f->endpoints =
		    json_incref(json_object_get(f->config, "endpoints"));
	return 0;
}

void
facts_free(struct facts *f)
{
	forget_daemon(f);
	json_decref(f->config);
}
