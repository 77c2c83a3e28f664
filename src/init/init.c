/*
 * init: writes a configuration.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "source.h"
#include "init.h"
#include "questions.h"

#define EXIT_RUN 1
#define EXIT_USAGE 2
#define SOURCE_MAX (1024 * 1024)
#define BYTE_ORDER_MARK "\xef\xbb\xbf" /* that editors put before UTF-8 */
#define SERVICE_DIRECTORY SYSCONFDIR "/ttybridge/"

static const struct program {
	const char *name;
	convert_function *convert;
} programs[] = {
	{ "ser2net", convert_ser2net },
	{ "mavlink-router", convert_mavlink_router },
	{ "mbusd", convert_mbusd },
	{ "kplex", convert_kplex },
};

const char *
init_program(size_t i)
{
	return i < NELEM(programs) ? programs[i].name : NULL;
}

/* --- reading ------------------------------------------------------------- */

/* Reads what is open; the text is followed by a NUL. */
static int
read_open(int fd, char **ret, size_t *len)
{
	char *text = malloc(SOURCE_MAX + 1);
	ssize_t n = 1;

	*ret = text;
	*len = 0;
	if (text == NULL)
		return -ENOMEM;
	while (n > 0 && *len <= SOURCE_MAX) {
		n = read(fd, text + *len, SOURCE_MAX + 1 - *len);
		if (n < 0)
			return -errno;
		*len += (size_t)n;
	}
	if (*len > SOURCE_MAX)
		return -EFBIG;
	text[*len] = '\0';
	return 0;
}

static int
read_file(const char *file, char **ret, size_t *len, struct error *err)
{
	int fd = open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	*ret = NULL;
	r = fd < 0 ? -errno : read_open(fd, ret, len);
	if (fd >= 0)
		close(fd);
	if (r < 0)
		return error_fail(
		    err, r, "%s: cannot be read: %s", file, strerror(-r));
	return 0;
}

/* Refuses what is no text. */
static int
check_text(const char *file, const char *text, size_t len, struct error *err)
{
	int line = 1;

	if (text[strspn(text, " \t\r\n")] == '\0' && strlen(text) == len)
		return error_fail(err, -EINVAL, "%s: it is empty", file);
	for (size_t i = 0; i < len; i++) {
		line += text[i] == '\n';
		if (text[i] == '\0')
			return error_fail(err, -EINVAL,
			    "%s:%d: a NUL byte; this is not a text file", file,
			    line);
	}
	return 0;
}

/* --- writing ------------------------------------------------------------- */

/* Writes a new file, or standard output. */
static int
write_text(const char *file, const char *text, struct error *err)
{
	size_t len = strlen(text);
	int fd = STDOUT_FILENO, r = 0;
	ssize_t n;

	if (file != NULL)
		fd = open(file, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
	if (fd < 0 && errno == EEXIST)
		return error_fail(err, -EEXIST,
		    "%s exists, and is not overwritten: give another name with"
		    " -c, or remove it",
		    file);
	if (fd < 0)
		r = -errno;
	while (r == 0 && len > 0) {
		if ((n = write(fd, text, len)) < 0) {
			r = -errno;
			break;
		}
		text += n;
		len -= (size_t)n;
	}
	if (file != NULL && fd >= 0 && close(fd) < 0 && r == 0)
		r = -errno;
	/* A part of it would be in the way of the next attempt. */
	if (r < 0 && file != NULL && fd >= 0)
		unlink(file);
	if (r < 0)
		error_set(err, "%s cannot be written: %s",
		    file != NULL ? file : "standard output", strerror(-r));
	return r;
}

/* --- the draft ----------------------------------------------------------- */

static void
begin(struct draft *d, const char *of)
{
	draft_block(d, 0);
	draft_comment(d,
	    "Made by ttybridged --init of %s.  ttybridge.conf(5) explains all"
	    " keys; 'ttybridged -c FILE --check' says whether a change is"
	    " valid.",
	    of);
	draft_comment(d,
	    "The service of systemd only opens the addresses that are in"
	    " ttybridge.socket, unless it is given the network: see"
	    " ttybridged(8).");
}

/* The control port is the last block, so that it gives way to other addresses. */
static void
end(struct draft *d, const char *file)
{
	char name[DRAFT_NAME_MAX];
	bool service = file != NULL &&
	    strncmp(file, SERVICE_DIRECTORY, strlen(SERVICE_DIRECTORY)) == 0;

	draft_block(d, 0);
	draft_comment(d,
	    "Where ttybridgectl and programs ask what happens.  The service"
	    " has a directory for: listen = unix:/run/ttybridge/control.sock");
	draft_section(d, "control", draft_name(d, "local", name));
	draft_key(d, "listen", "%s",
	    service ? "unix:/run/ttybridge/control.sock" : "127.0.0.1:5010");
	if (service)
		draft_key(d, "mode", "0660");
}

static int
convert(const struct program *program, const struct source *source,
    struct draft *d, const char *file, struct error *err)
{
	char of[512];
	int r;

	snprintf(of, sizeof(of), "%s, a configuration of %s", source->file,
	    program->name);
	begin(d, of);
	if ((r = program->convert(source, d, err)) == 0)
		end(d, file);
	return r;
}

/* Checks and writes the draft, and prints the warnings. */
static int
finish(struct draft *d, const char *file, struct error *err)
{
	char *text, *warnings;
	int r = draft_finish(d, &text, &warnings, err);

	if (warnings != NULL)
		fputs(warnings, stderr);
	if (r >= 0)
		r = write_text(file, text, err);
	if (r >= 0 && file != NULL)
		fprintf(stderr,
		    "%s is written; start it with: ttybridged -c %s\n", file,
		    file);
	free(text);
	free(warnings);
	return r;
}

static int
convert_file(const struct program *program, const char *name, const char *file,
    struct error *err)
{
	struct source source = { .file = name };
	struct draft *d = draft_new(name);
	char *text = NULL;
	int r = d == NULL ? -ENOMEM : read_file(name, &text, &source.len, err);

	source.text = text;
	if (r == 0)
		r = check_text(name, text, source.len, err);
	if (r == 0 && strncmp(text, BYTE_ORDER_MARK, 3) == 0) {
		source.text += 3;
		source.len -= 3;
	}
	if (r == 0)
		r = convert(program, &source, d, file, err);
	if (r == 0)
		r = finish(d, file, err);
	draft_free(d);
	free(text);
	return r;
}

static int
ask(const struct init *init, struct error *err)
{
	struct draft *d = draft_new("ttybridged");
	int r = d == NULL ? -ENOMEM : 0;

	if (r == 0) {
		begin(d, "the serial ports of this machine");
		if ((r = questions_ask(d, init->yes, err)) == 0)
			end(d, init->file);
	}
	if (r == 0)
		r = finish(d, init->file, err);
	draft_free(d);
	return r;
}

/* --- the command line ---------------------------------------------------- */

static const struct program *
find_program(const char *name, struct error *err)
{
	const char *names[NELEM(programs) + 1] = { NULL };

	for (size_t i = 0; i < NELEM(programs); i++) {
		if (strcmp(programs[i].name, name) == 0)
			return &programs[i];
		names[i] = programs[i].name;
	}
	error_set(err,
	    "'%.60s' is no program whose configuration can be converted:"
	    " ser2net, mavlink-router, mbusd or kplex",
	    name);
	error_append_meant(err, nearest(name, names));
	return NULL;
}

static int
run(const struct init *init, struct error *err)
{
	const struct program *program;

	if (init->nwords == 0)
		return ask(init, err);
	if ((program = find_program(init->words[0], err)) == NULL)
		return -EINVAL;
	if (init->nwords != 2)
		return error_fail(err, -EINVAL,
		    "--init %s needs its configuration: --init %s FILE",
		    program->name, program->name);
	return convert_file(program, init->words[1], init->file, err);
}

int
init_run(const struct init *init)
{
	struct error err;
	char text[sizeof(err.text) * 4];
	int r;

	error_clear(&err);
	if ((r = run(init, &err)) >= 0)
		return EXIT_SUCCESS;
	/* It may quote the file. */
	printable(
	    error_is_set(&err) ? err.text : strerror(-r), text, sizeof(text));
	fprintf(stderr, "ttybridged: %s\n", text);
	return r == -EINVAL ? EXIT_USAGE : EXIT_RUN;
}
