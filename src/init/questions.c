/*
 * questions: makes a configuration for the serial ports of this machine.
 *
 * Which ports there are decides what is asked: for one port there are two questions, for
 * several there are three, and for none there is none.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "first_draft.h"
#include "questions.h"

/* What is written if there is no port. */
#define EXAMPLE_DEVICE "/dev/ttyUSB0"
/* Ports that are not there, and that the user names. */
#define TYPED_MAX 16

struct ports {
	struct serial_info *at;
	unsigned n;
	bool nomem;
};

/* The choice of the user. */
struct choice {
	const struct serial_info **ports;
	struct answer_device *devices;
	unsigned n;
	struct answer_access access;
};

static void
add_port(void *arg, const struct serial_info *info)
{
	struct ports *ports = arg;
	struct serial_info *grown =
	    reallocarray(ports->at, ports->n + 1, sizeof(*grown));

	if (grown == NULL) {
		ports->nomem = true;
		return;
	}
	ports->at = grown;
	ports->at[ports->n++] = *info;
}

/* --- asking -------------------------------------------------------------- */

/* Reads a line from standard input; an empty one, or the end of input, is the default. */
static char *
read_answer(const char *standard)
{
	char *line = NULL;
	size_t size = 0;
	ssize_t n = getline(&line, &size, stdin);

	if (n < 0)
		fputc('\n', stderr);
	else
		line[strcspn(line, "\r\n")] = '\0';
	if (n >= 0 && line[strspn(line, " \t")] != '\0')
		return line;
	free(line);
	return strdup(standard);
}

/* Prints why an answer is refused. */
static void
refuse(const struct error *err)
{
	fprintf(stderr, "%s.\n", err->text);
}

/* Ports of USB are those of devices; the others may not be in use at all. */
static bool
is_likely(const struct ports *ports, unsigned i)
{
	unsigned usb = 0;

	for (unsigned j = 0; j < ports->n; j++)
		usb += ports->at[j].usb[0] != '\0';
	return usb == 0 || ports->at[i].usb[0] != '\0';
}

static void
choose_likely(struct choice *choice, const struct ports *ports)
{
	for (unsigned i = 0; i < ports->n; i++)
		if (is_likely(ports, i))
			choice->ports[choice->n++] = &ports->at[i];
}

/* The numbers of the ports that are likely. */
static void
list_likely(const struct ports *ports, char *buf, size_t size)
{
	buf[0] = '\0';
	for (unsigned i = 0; i < ports->n; i++)
		if (is_likely(ports, i))
			append(buf, size, "%s%u", buf[0] != '\0' ? " " : "",
			    i + 1);
}

static bool
has_port(const struct ports *ports, const char *path)
{
	for (unsigned i = 0; i < ports->n; i++)
		if (strcmp(ports->at[i].path, path) == 0)
			return true;
	return false;
}

/* Adds the paths in the answer that are not those of ports: they may come later. */
static void
add_typed(struct ports *ports, const char *answer)
{
	unsigned most = ports->n + TYPED_MAX;
	const char *word;
	size_t len;

	while ((word = list_word(&answer, &len)) != NULL) {
		struct serial_info info = {
			.description = "opened as soon as it is there"
		};

		if (*word != '/' || len >= sizeof(info.path) ||
		    ports->n == most)
			continue;
		memcpy(info.path, word, len);
		if (!has_port(ports, info.path))
			add_port(ports, &info);
	}
}

/* One question; 0, -EINVAL if the answer is refused, -ENOMEM. */
static int
ask_which(
    struct ports *ports, const char *standard, const char **names, bool *chosen)
{
	struct error err;
	char *answer;
	int r;

	fprintf(
	    stderr, "Which ports are to be joined, or all? [%s] ", standard);
	if ((answer = read_answer(standard)) == NULL)
		return -ENOMEM;
	add_typed(ports, answer);
	for (unsigned i = 0; i < ports->n; i++)
		names[i] = ports->at[i].path;
	r = answer_ports(answer, names, ports->n, chosen, &err);
	if (r < 0)
		refuse(&err);
	free(answer);
	return ports->nomem ? -ENOMEM : r;
}

static int
ask_ports(struct choice *choice, struct ports *ports)
{
	unsigned found = ports->n;
	const char **names = calloc(found + TYPED_MAX, sizeof(*names));
	bool *chosen = calloc(found + TYPED_MAX, sizeof(*chosen));
	char standard[1024];
	int r = names == NULL || chosen == NULL ? -ENOMEM : -EINVAL;

	for (unsigned i = 0; r != -ENOMEM && i < found; i++) {
		const struct serial_info *p = &ports->at[i];

		fprintf(stderr, "%3u  %-14s %s%s%s\n", i + 1, p->path,
		    p->description, p->by_id[0] != '\0' ? "\n     " : "",
		    p->by_id);
	}
	fprintf(stderr,
	    "Write numbers, or the path of a port that is not there yet;"
	    " Ctrl-C ends this.\n");
	list_likely(ports, standard, sizeof(standard));
	while (r == -EINVAL) {
		ports->n = found;
		r = ask_which(ports, standard, names, chosen);
	}
	for (unsigned i = 0; r == 0 && i < ports->n; i++)
		if (chosen[i])
			choice->ports[choice->n++] = &ports->at[i];
	free(names);
	free(chosen);
	return r;
}

static int
ask_devices(struct choice *choice)
{
	struct error err;
	char *answer;
	int r;

	fprintf(stderr,
	    "What do the devices send: raw (bytes as they come), line, nmea,"
	    " modbus-rtu,\nmavlink, ubx, gnss, cobs, slip, ...; and at which"
	    " speed?%s\n",
	    choice->n > 1 ? "  One answer for all ports, or one for"
			    " each,\nas in: line 9600, cobs 115200"
			  : "");
	do {
		fprintf(stderr, "Framing and speed? [raw 9600] ");
		if ((answer = read_answer("raw 9600")) == NULL)
			return -ENOMEM;
		r = answer_devices(answer, choice->devices, choice->n, &err);
		if (r == -EINVAL)
			refuse(&err);
		free(answer);
	} while (r == -EINVAL);
	return r;
}

static int
ask_access(struct choice *choice)
{
	struct error err;
	char *answer;
	int r;

	do {
		fprintf(stderr,
		    choice->n > 1
			? "May others listen over TCP: no, local (programs of"
			  " this machine), or networks\nsuch as"
			  " 192.168.1.0/24? [local] "
			: "Who may use the port over TCP: local (programs of"
			  " this machine), or networks\nsuch as"
			  " 192.168.1.0/24? [local] ");
		if ((answer = read_answer("local")) == NULL)
			return -ENOMEM;
		r = answer_access(answer, &choice->access, &err);
		if (r == 0 && choice->access.none && choice->n == 1)
			r = error_fail(&err, -EINVAL,
			    "the port would then not be connected to anything:"
			    " write local, or networks");
		if (r == -EINVAL)
			refuse(&err);
		free(answer);
	} while (r == -EINVAL);
	return r;
}

/* --- the choice ---------------------------------------------------------- */

static int
choose(struct choice *choice, struct ports *ports, bool yes)
{
	struct error err;
	int r = 0;

	if (yes || ports->n == 1)
		choose_likely(choice, ports);
	if (yes)
		return answer_devices("", choice->devices, choice->n, &err);
	if (ports->n == 1)
		fprintf(stderr, "The port is %s  %s\n", ports->at[0].path,
		    ports->at[0].description);
	else
		r = ask_ports(choice, ports);
	if (r == 0)
		r = ask_devices(choice);
	return r < 0 ? r : ask_access(choice);
}

/* Instead of a port that there is. */
static void
add_example(struct ports *ports)
{
	struct serial_info example = { .path = EXAMPLE_DEVICE,
		.description = "an example, as no port was found; it is"
			       " opened as soon as it is there" };

	fprintf(stderr,
	    "no serial ports were found: the configuration is for"
	    " " EXAMPLE_DEVICE ", which is opened as soon as it is there\n");
	add_port(ports, &example);
}

static int
make(struct draft *d, struct ports *ports, bool yes)
{
	struct choice choice = { 0 };
	int r = -ENOMEM;

	choice.ports = calloc(ports->n + TYPED_MAX, sizeof(*choice.ports));
	choice.devices = calloc(ports->n + TYPED_MAX, sizeof(*choice.devices));
	if (choice.ports != NULL && choice.devices != NULL)
		r = choose(&choice, ports, yes);
	if (r == 0)
		first_draft(
		    d, choice.ports, choice.devices, choice.n, &choice.access);
	free(choice.ports);
	free(choice.devices);
	return r;
}

int
questions_ask(struct draft *d, bool yes, struct error *err)
{
	struct ports ports = { 0 };
	int r;

	if (!yes && !isatty(STDIN_FILENO))
		return error_fail(err, -EINVAL,
		    "--init asks questions, and standard input is not a"
		    " terminal: with --yes it asks nothing");
	serial_list_each(add_port, &ports);
	if (ports.n == 0 && !ports.nomem) {
		add_example(&ports);
		yes = true;
	}
	r = ports.nomem ? -ENOMEM : make(d, &ports, yes);
	free(ports.at);
	return r;
}
