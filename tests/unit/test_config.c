/* config: files and words to structs, and what is said of their faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "config.h"
#include "log.h"

/* Run from the root of the project. */
#define DIRECTORY "tests/config"

static struct faults faults;

static int
teardown(void **state)
{
	(void)state;
	faults_free(&faults);
	return 0;
}

/* Without faults. */
static struct config *
good(const char *text)
{
	struct config *c = NULL;

	if (config_parse("FILE", text, strlen(text), &c, &faults) != 0 ||
	    config_check(c, "FILE", &faults) != 0)
		fail_msg("%s", faults.n > 0 ? faults.text[0] : "no fault");
	assert_int_equal(faults.n, 0);
	return c;
}

/* With faults; returns them as lines. */
static const char *
bad_bytes(const char *text, size_t len)
{
	static char lines[4096];
	struct config *c = NULL;

	faults_free(&faults);
	lines[0] = '\0';
	config_parse("FILE", text, len, &c, &faults);
	assert_non_null(c);
	config_check(c, "FILE", &faults);
	config_free(c);
	for (unsigned i = 0; i < faults.n; i++)
		append(lines, sizeof(lines), "%s%s", i > 0 ? "\n" : "",
		    faults.text[i]);
	return lines;
}

static const char *
bad(const char *text)
{
	return bad_bytes(text, strlen(text));
}

static const struct endpoint_conf *
endpoint(const struct config *c, const char *name)
{
	for (unsigned i = 0; i < c->nendpoints; i++)
		if (strcmp(c->endpoints[i]->name, name) == 0)
			return c->endpoints[i];
	fail_msg("no endpoint '%s'", name);
	return NULL;
}

/* What the section says for a key of its type. */
static const char *
value_of(const struct endpoint_conf *e, const char *name)
{
	const struct key *key = key_find(e->ops->keys, name);
	static char text[256];

	assert_non_null(key);
	key_print(key, e->type_conf, text, sizeof(text));
	return text;
}

static struct config *
words(const char *const *w, unsigned n)
{
	struct config *c = NULL;

	faults_free(&faults);
	config_read(NULL, (char *const *)(uintptr_t)w, n, &c, &faults);
	return c;
}

/* The only fault of one word. */
static const char *
bad_word(const char *word)
{
	struct config *c = words(&word, 1);

	assert_null(c);
	if (faults.n != 1)
		fail_msg("%s: %u faults, %s", word, faults.n,
		    faults.n > 0 ? faults.text[0] : "");
	return faults.text[0];
}

/* --- files --------------------------------------------------------------- */

static char *
read_file(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	char *text = calloc(1, 65536);

	assert_non_null(text);
	assert_true(fd >= 0);
	assert_true(read(fd, text, 65535) >= 0);
	close(fd);
	return text;
}

/*
 * NAME.conf has the faults of NAME.conf.faults, or none where there is no such
 * file.  With TTYBRIDGE_GOLDEN in the environment they are written anew.
 */
static void
golden(const char *name)
{
	char path[300], said[16384] = "", *wanted;
	struct config *c = NULL;

	snprintf(path, sizeof(path), DIRECTORY "/%s", name);
	faults_free(&faults);
	config_read(path, NULL, 0, &c, &faults);
	for (unsigned i = 0; i < faults.n; i++) {
		assert_int_equal(
		    strncmp(faults.text[i], path, strlen(path)), 0);
		append(said, sizeof(said), "%s%s\n", name,
		    faults.text[i] + strlen(path));
	}
	assert_int_equal(c == NULL, faults.found > 0);
	config_free(c);
	append(path, sizeof(path), ".faults");
	wanted = access(path, R_OK) == 0 ? read_file(path) : calloc(1, 1);
	if (getenv("TTYBRIDGE_GOLDEN") != NULL && *said != '\0') {
		FILE *f = fopen(path, "w");

		assert_non_null(f);
		fputs(said, f);
		fclose(f);
	} else
		assert_string_equal(said, wanted);
	free(wanted);
}

static void
the_files_have_the_faults_that_are_written_beside_them(void **state)
{
	DIR *dir = opendir(DIRECTORY);
	struct dirent *entry;
	int n = 0;

	(void)state;
	assert_non_null(dir);
	while ((entry = readdir(dir)) != NULL) {
		const char *dot = strrchr(entry->d_name, '.');

		if (dot != NULL && strcmp(dot, ".conf") == 0) {
			golden(entry->d_name);
			n++;
		}
	}
	closedir(dir);
	assert_true(n >= 7);
}

static void
a_good_file_fills_the_structs(void **state)
{
	char *text = read_file(DIRECTORY "/good.conf");
	struct config *c = good(text);
	const struct endpoint_conf *e;

	(void)state;
	assert_string_equal(c->daemon.name, "bench");
	assert_string_equal(log_level_words[c->daemon.log_level], "debug");
	assert_int_equal(c->daemon.drain_timeout, 500 * NSEC_PER_MSEC);
	assert_int_equal(c->nendpoints, 8);
	e = endpoint(c, "ar1");
	assert_ptr_equal(e->ops, &endpoint_serial);
	assert_string_equal(e->framing.rule->name, "delimiter");
	assert_int_equal(e->framing.delimiter.len, 2);
	assert_memory_equal(e->framing.delimiter.b, "\x03;", 2);
	assert_string_equal(
	    e->label, "the left one; and no comment, for want of a blank");
	assert_int_equal(e->framing.baud, 57600);
	assert_int_equal(e->framing.char_bits, 1 + 7 + 1 + 2);
	assert_int_equal(e->framing.max_frame, 4096);
	assert_int_equal(e->queue, 65536);
	assert_int_equal(e->line, 23);
	e = endpoint(c, "ar2");
	assert_int_equal(e->framing.eol, 1);
	assert_int_equal(e->framing.char_bits, 10);
	assert_int_equal(e->framing.max_frame, 65536);
	assert_int_equal(e->overflow, OVERFLOW_DROP_OLDEST);
	assert_int_equal(e->stall_timeout, 1500 * NSEC_PER_MSEC);
	assert_int_equal(c->nroutes, 3);
	assert_string_equal(c->routes[0]->name, "route1");
	assert_string_equal(c->routes[1]->name, "out");
	assert_string_equal(c->routes[2]->name, "route3");
	assert_string_equal(c->routes[0]->match, "^[$]");
	assert_int_equal(c->routes[1]->match_hex.len, 2);
	config_free(c);
	free(text);
}

static void
defaults_depend_on_the_type(void **state)
{
	struct config *c =
	    good("[serial s]\ndevice=/dev/x\n[pty p]\nlink=/tmp/p\n"
		 "[tcp-client c]\nconnect=127.0.0.1:1\n[echo e]\n"
		 "[tcp-server t]\nlisten=127.0.0.1:1\n"
		 "[unix-server u]\nlisten=/tmp/u\n"
		 "[udp d]\nsend_to=127.0.0.1:1\n"
		 "[udp x]\nsend_to=127.0.0.1:2\n"
		 "stall_timeout=none\n");

	(void)state;
	assert_int_equal(endpoint(c, "s")->stall_timeout, 0);
	assert_int_equal(endpoint(c, "p")->stall_timeout, 0);
	assert_int_equal(endpoint(c, "c")->stall_timeout, 0);
	assert_int_equal(endpoint(c, "e")->stall_timeout, 0);
	assert_int_equal(endpoint(c, "t")->stall_timeout, NSEC_PER_SEC);
	assert_int_equal(endpoint(c, "u")->stall_timeout, NSEC_PER_SEC);
	assert_int_equal(endpoint(c, "d")->stall_timeout, NSEC_PER_SEC);
	assert_int_equal(endpoint(c, "x")->stall_timeout, 0);
	for (unsigned i = 0; i < c->nendpoints; i++)
		assert_string_equal(c->endpoints[i]->framing.rule->name,
		    strcmp(c->endpoints[i]->name, "e") == 0 ? "length" : "raw");
	assert_string_equal(c->daemon.name, "ttybridge");
	assert_int_equal(c->daemon.drain_timeout, 2 * NSEC_PER_SEC);
	config_free(c);
}

static void
control_access_depends_on_the_socket(void **state)
{
	struct config *c =
	    good("[echo e]\n[control]\nlisten=127.0.0.1:1\n"
		 "[control u]\nlisten=unix:/tmp/u\n"
		 "[control r]\nlisten=/tmp/r\naccess=read\n"
		 "[control f]\nlisten=127.0.0.1:2\naccess=full\n");

	(void)state;
	assert_string_equal(c->controls[0]->name, "control");
	assert_int_equal(c->controls[0]->access, ACCESS_READ);
	assert_int_equal(c->controls[1]->access, ACCESS_FULL);
	assert_int_equal(c->controls[2]->access, ACCESS_READ);
	assert_int_equal(c->controls[3]->access, ACCESS_FULL);
	config_free(c);
}

/* The text of the only endpoint. */
static char *
text_of(const char *text)
{
	struct config *c = good(text);
	char *copy = strdup(c->endpoints[0]->text);

	config_free(c);
	return copy;
}

static void
keys_that_take_effect_in_place_do_not_say_how_it_is_opened(void **state)
{
	struct config *c =
	    good("[serial a]\ndevice=/dev/x\nlabel=left\nbaud=19200\n"
		 "queue=1K\nframing=line\nmax_frame=100\nexclusive=no\n"
		 "on_open=\\r\nreopen_min=1s\nstall_timeout=2s\n");

	(void)state;
	assert_string_equal(endpoint(c, "a")->wire,
	    "[serial a]\ndevice=/dev/x\nexclusive=no\nframing=line\n"
	    "max_frame=100\n");
	config_free(c);
}

static void
sections_compare_by_what_they_say(void **state)
{
	static const struct {
		const char *text;
		bool same;
	} cases[] = {
		{ "[serial a]\ndevice=/dev/x\nbaud=9600\nlabel=two words\n",
		    true },
		{ "# x\n\n[echo z]\n", false },
		{ "; x\n[ serial\ta ]\n  label =   two words\t; "
		  "y\nbaud=9600\r\n"
		  "\tdevice = /dev/x",
		    true },
		{ "[serial a]\ndevice=/dev/x\nbaud=9601\nlabel=two words\n",
		    false },
		{ "[serial a]\ndevice=/dev/x\nlabel=two words\n", false },
		{ "[serial b]\ndevice=/dev/x\nbaud=9600\nlabel=two words\n",
		    false },
	};
	char *first = text_of(cases[0].text);

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		char *text = text_of(cases[i].text);

		assert_int_equal(strcmp(text, first) == 0, cases[i].same);
		free(text);
	}
	free(first);
}

static void
any_line_ends_and_a_byte_order_mark_are_fine(void **state)
{
	struct config *c = good("\xef\xbb\xbf[echo e]\r\nlabel = x\r\n\r\n"
				"[echo f]\nlabel = y");

	(void)state;
	assert_string_equal(endpoint(c, "e")->label, "x");
	assert_string_equal(endpoint(c, "f")->label, "y");
	config_free(c);
}

static void
a_line_has_at_most_199_characters(void **state)
{
	char text[512], label[193];
	struct config *c;

	(void)state;
	memset(label, 'x', sizeof(label));
	snprintf(
	    text, sizeof(text), "[echo e]\nlabel=%.193s\r\nqueue=1K\n", label);
	c = good(text);
	assert_int_equal(strlen(endpoint(c, "e")->label), 193);
	assert_int_equal(endpoint(c, "e")->queue, 1024);
	config_free(c);
	snprintf(
	    text, sizeof(text), "[echo e]\nlabel =%.193s\nqueue=x\n", label);
	assert_string_equal(bad(text),
	    "FILE:2: the line is too long: 200 characters, at most 199 are "
	    "read\n"
	    "FILE:3: key 'queue' in [echo e]: 'x' is not a size; queue is a "
	    "number"
	    " of bytes, such as 4096, 64K or 1M");
}

static void
bytes_that_are_no_text_are_refused(void **state)
{
	static const char text[] = "[echo e]\nlabel = a\0b\nlabel = a\x1b[2Jb\n"
				   "la\x7f"
				   "bel = x\nlabel = gr\xc3\xbcn\n";

	(void)state;
	assert_string_equal(bad_bytes(text, sizeof(text) - 1),
	    "FILE:2: a NUL byte in column 10; this is not a text file\n"
	    "FILE:3: a control character in column 10; keys that take such "
	    "bytes"
	    " read \\xHH\n"
	    "FILE:4: a control character in column 3; keys that take such bytes"
	    " read \\xHH");
	/* Nothing from a file reaches the terminal as it is. */
	assert_string_equal(bad("[echo e]\ngr\xc3\xbcn = x\n"),
	    "FILE:2: unknown key 'gr\\xc3\\xbcn' in [echo e]");
}

static void
too_many_faults_are_counted(void **state)
{
	static char text[50000 * 24];
	struct config *c = NULL;

	(void)state;
	snprintf(text, sizeof(text), "[echo e]\n");
	for (size_t i = 0, len = strlen(text); i < 50000; i++)
		len += (size_t)sprintf(text + len, "key%zu = %zu\n", i, i);
	config_parse("FILE", text, strlen(text), &c, &faults);
	config_free(c);
	assert_int_equal(faults.n, CONFIG_MAX_FAULTS + 1);
	assert_string_equal(
	    faults.text[0], "FILE:2: unknown key 'key0' in [echo e]");
	assert_string_equal(faults.text[CONFIG_MAX_FAULTS - 1],
	    "FILE:1001: unknown key 'key999' in [echo e]");
	assert_string_equal(
	    faults.text[CONFIG_MAX_FAULTS], "FILE: and 49000 more faults");
}

static void
there_is_an_end_to_endpoints(void **state)
{
	static char text[5000 * 16];
	struct config *c = NULL;
	size_t len = 0;

	(void)state;
	for (int i = 0; i < CONFIG_MAX_ENDPOINTS + 1; i++)
		len += (size_t)sprintf(text + len, "[echo e%d]\n", i);
	config_parse("FILE", text, len, &c, &faults);
	assert_int_equal(c->nendpoints, CONFIG_MAX_ENDPOINTS);
	config_free(c);
	assert_int_equal(faults.n, 1);
	assert_string_equal(faults.text[0],
	    "FILE:4097: [echo e4096] is one too many: there may be 4096"
	    " endpoints");
}

static void
a_file_that_cannot_be_read_is_named(void **state)
{
	struct config *c = NULL;

	(void)state;
	assert_int_equal(
	    config_read("/nowhere/x.conf", NULL, 0, &c, &faults), -ENOENT);
	assert_null(c);
	assert_int_equal(faults.n, 1);
	assert_string_equal(faults.text[0],
	    "/nowhere/x.conf: cannot be read: No such file or directory");
	faults_free(&faults);
	assert_int_equal(config_read("/", NULL, 0, &c, &faults), -EISDIR);
	faults_free(&faults);
	assert_int_equal(
	    config_read("/dev/zero", NULL, 0, &c, &faults), -EFBIG);
	assert_int_equal(faults.n, 1);
}

/* --- words --------------------------------------------------------------- */

static void
words_make_endpoints(void **state)
{
	const char *w[] = { "serial:/dev/ttyACM0,baud=115200,framing=line",
		"/dev/serial/by-path/pci-0000:00:14.0-usb-0:2:1.0-port0",
		"control:127.0.0.1:5010", "tcp-server:5011,name=lan", "echo",
		"udp:,send_to=127.0.0.1:9,listen=127.0.0.1:8",
		"control:unix:/tmp/c", "pty:/tmp/p,label=a\\x2c b",
		"echo:,framing=delimiter,delimiter=\\x2c\\\\" };
	struct config *c = words(w, NELEM(w));
	const struct endpoint_conf *e;

	(void)state;
	if (c == NULL)
		fail_msg("%s", faults.text[0]);
	assert_int_equal(c->nendpoints, 7);
	assert_int_equal(c->ncontrols, 2);
	e = endpoint(c, "ep1");
	assert_ptr_equal(e->ops, &endpoint_serial);
	assert_string_equal(value_of(e, "device"), "/dev/ttyACM0");
	assert_int_equal(e->framing.baud, 115200);
	assert_string_equal(e->framing.rule->name, "line");
	assert_string_equal(e->file, CONFIG_WORDS);
	e = endpoint(c, "ep2");
	assert_ptr_equal(e->ops, &endpoint_serial);
	assert_string_equal(value_of(e, "device"), w[1]);
	assert_string_equal(value_of(endpoint(c, "lan"), "listen"), "5011");
	assert_ptr_equal(endpoint(c, "ep4")->ops, &endpoint_echo);
	assert_string_equal(
	    value_of(endpoint(c, "ep5"), "send_to"), "127.0.0.1:9");
	assert_string_equal(endpoint(c, "ep6")->label, "a, b");
	e = endpoint(c, "ep7");
	assert_int_equal(e->framing.delimiter.len, 2);
	assert_memory_equal(e->framing.delimiter.b, ",\\", 2);
	assert_string_equal(c->controls[0]->name, "control");
	assert_string_equal(c->controls[1]->name, "control2");
	assert_int_equal(c->controls[1]->access, ACCESS_FULL);
	config_free(c);
}

static void
faults_of_words_quote_them(void **state)
{
	(void)state;
	assert_string_equal(bad_word("/dev/ttyS0,buad=9600"),
	    "command line:1: unknown key 'buad' in '/dev/ttyS0,buad=9600'; did"
	    " you mean 'baud'?");
	assert_string_equal(bad_word("sreial:/dev/ttyS0"),
	    "command line:1: 'sreial:/dev/ttyS0' has an unknown type; did you"
	    " mean 'serial'?");
	assert_string_equal(bad_word("ttyS0"),
	    "command line:1: 'ttyS0' is not a path; did you mean"
	    " '/dev/ttyS0'?");
	assert_string_equal(bad_word("ttyUSB0,baud=9600"),
	    "command line:1: 'ttyUSB0,baud=9600' is not a path; did you mean"
	    " '/dev/ttyUSB0'?");
	assert_string_equal(bad_word("modem"),
	    "command line:1: 'modem' is neither TYPE:ADDRESS nor the path of a"
	    " device, such as /dev/ttyACM0; ttybridged --list-ports lists the"
	    " devices");
	assert_string_equal(bad_word("route:a,from=b"),
	    "command line:1: 'route:a,from=b': a [route] section is only"
	    " possible in a file, which -c FILE adds to the endpoints on the"
	    " command line");
	assert_string_equal(bad_word("echo:x"),
	    "command line:1: 'echo:x': echo takes no address");
	assert_string_equal(bad_word("echo,label"),
	    "command line:1: 'label' in 'echo,label' is not KEY=VALUE, such as"
	    " framing=line (a comma inside a value is written \\x2c)");
	assert_string_equal(bad_word("echo,name=a,name=b"),
	    "command line:1: 'echo,name=a,name=b' has two names");
	assert_string_equal(bad_word("echo,name=a/b"),
	    "command line:1: 'echo,name=a/b': a name has at most 31 letters,"
	    " digits, '_', '.' and '-', and begins with a letter, a digit or "
	    "'_'");
	assert_string_equal(bad_word("/dev/ttyS0,device=/dev/ttyS1"),
	    "command line:1: key 'device' twice in"
	    " '/dev/ttyS0,device=/dev/ttyS1'");
	assert_string_equal(bad_word("/dev/x\x1b[2J\n"),
	    "command line:1: '/dev/x\\x1b[2J\\n' has a control character in"
	    " it");
}

static void
words_that_claim_the_same_are_numbered(void **state)
{
	const char *w[] = { "control:5010", "/dev/x", "serial:/dev/x" };

	(void)state;
	assert_null(words(w, 3));
	assert_int_equal(faults.n, 1);
	assert_string_equal(faults.text[0],
	    "command line:3: [serial ep2]: the device '/dev/x' is that of"
	    " [serial ep1] in argument 2");
}

static void
words_need_an_endpoint_too(void **state)
{
	const char *w[] = { "control:5010" };

	(void)state;
	assert_null(words(w, 1));
	assert_int_equal(faults.n, 1);
	assert_non_null(strstr(faults.text[0], "there is no endpoint"));
	assert_null(words(NULL, 0));
}

/* A file of that text; its name, until the next one. */
static const char *
temporary(const char *text)
{
	static char path[64];
	ssize_t len = (ssize_t)strlen(text);
	int fd;

	snprintf(path, sizeof(path), "/tmp/test_config.XXXXXX");
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(write(fd, text, (size_t)len), len);
	close(fd);
	return path;
}

static void
a_file_and_words_are_one_configuration(void **state)
{
	const char *path = temporary("[serial a]\ndevice=/dev/x\n"
				     "[route r]\nbetween = a b ep2\n");
	const char *w[] = { "echo,name=b", "echo", NULL };
	const char *wrong[] = { "/dev/x", "echo,name=a,foo=1", NULL };
	struct config *c = NULL;
	char want[300];

	(void)state;
	assert_int_equal(
	    config_read(path, (char *const *)(uintptr_t)w, 2, &c, &faults), 0);
	assert_int_equal(c->nendpoints, 3);
	config_free(c);
	assert_int_equal(
	    config_read(path, (char *const *)(uintptr_t)wrong, 2, &c, &faults),
	    -EINVAL);
	unlink(path);
	assert_int_equal(faults.n, 5);
	assert_non_null(strstr(faults.text[0], ":4: "));
	assert_non_null(strstr(faults.text[0], "'b'"));
	assert_non_null(strstr(faults.text[1], "'ep2'; did you mean 'ep1'?"));
	snprintf(want, sizeof(want),
	    "command line:1: [serial ep1]: the device '/dev/x' is that of"
	    " [serial a] in %s:1",
	    path);
	assert_string_equal(faults.text[2], want);
	assert_string_equal(faults.text[3],
	    "command line:2: unknown key 'foo' in 'echo,name=a,foo=1'");
	assert_non_null(strstr(faults.text[4], "[serial a]"));
}

/* The service has a /tmp of its own, which who starts the daemon by hand has not. */
static void
the_service_has_its_own_tmp(void **state)
{
	static const char text[] = "[control local]\n"
				   "listen = unix:/tmp/control\n"
				   "[pty p]\n"
				   "link = /tmp/p\n"
				   "[unix-server u]\n"
				   "listen = /var/tmp/u\n"
				   "[pty q]\n"
				   "link = /run/ttybridge/q\n";
	struct config *c = good(text);

	(void)state;
	assert_int_equal(config_warn(c, "/home/me/x.conf", &faults), 0);
	assert_int_equal(faults.warnings, 0);
	assert_int_equal(config_warn(c, "/etc/ttybridge/x.conf", &faults), 0);
	assert_int_equal(faults.warnings, 3);
	assert_int_equal(faults.found, 0);
	for (unsigned i = 0; i < faults.n; i++)
		assert_non_null(
		    strstr(faults.text[i], "write /run/ttybridge/"));
	config_free(c);
}

static void
keys_lie_in_the_struct_of_their_type(void **state)
{
	(void)state;
	for (size_t i = 0; endpoint_types[i] != NULL; i++) {
		const struct endpoint_ops *ops = endpoint_types[i];
		const struct key *key = ops->keys;

		assert_int_equal(key == NULL, ops->conf_size == 0);
		for (; key != NULL && key->name != NULL; key++) {
			assert_true(key->offset < ops->conf_size);
			if (key->names == NAMES_OPENING ||
			    key->names == NAMES_CLOSING)
				assert_int_equal(key->type, KEY_TEXT);
			else if (key->names != NAMES_NOTHING)
				assert_int_equal(key->type, KEY_STRING);
		}
	}
}

int
main(void)
{
#define TEST(f) cmocka_unit_test_teardown(f, teardown)
	const struct CMUnitTest tests[] = {
		TEST(the_files_have_the_faults_that_are_written_beside_them),
		TEST(a_good_file_fills_the_structs),
		TEST(defaults_depend_on_the_type),
		TEST(control_access_depends_on_the_socket),
		TEST(
		    keys_that_take_effect_in_place_do_not_say_how_it_is_opened),
		TEST(sections_compare_by_what_they_say),
		TEST(any_line_ends_and_a_byte_order_mark_are_fine),
		TEST(a_line_has_at_most_199_characters),
		TEST(bytes_that_are_no_text_are_refused),
		TEST(too_many_faults_are_counted),
		TEST(there_is_an_end_to_endpoints),
		TEST(a_file_that_cannot_be_read_is_named),
		TEST(words_make_endpoints),
		TEST(faults_of_words_quote_them),
		TEST(words_that_claim_the_same_are_numbered),
		TEST(words_need_an_endpoint_too),
		TEST(a_file_and_words_are_one_configuration),
		TEST(the_service_has_its_own_tmp),
		TEST(keys_lie_in_the_struct_of_their_type),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
