/*
 * config: reads a file and words into a checked configuration, in steps.
 */
#include <sys/stat.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "section_reader.h"

#define FILE_MAX (16 * 1024 * 1024)

/* The service manager says where the state of the service is, perhaps in several places. */
static int
use_state_directory(struct daemon_conf *conf)
{
	const char *list = getenv("STATE_DIRECTORY");
	char *first;

	if (list == NULL || *list != '/')
		return 0;
	if ((first = strndup(list, strcspn(list, ":"))) == NULL)
		return -ENOMEM;
	free(conf->state_dir);
	conf->state_dir = first;
	return 0;
}

static int
config_make(struct config **ret)
{
	int r;

	if (*ret != NULL)
		return 0;
	*ret = calloc(1, sizeof(**ret));
	if (*ret == NULL)
		return -ENOMEM;
	r = key_defaults(daemon_keys, &(*ret)->daemon);
	return r < 0 ? r : use_state_directory(&(*ret)->daemon);
}

/*
 * Reads the sections into the configuration and frees them; r is the result of the
 * function that created them.
 */
static int
config_add(struct config **ret, struct config_sections *s,
    struct faults *faults, unsigned found, int r)
{
	if (r == 0)
		r = config_make(ret);
	if (r == 0)
		(*ret)->lost += s->lost;
	for (unsigned i = 0; r == 0 && i < s->n; i++)
		r = config_section_read(*ret, s->file, &s->section[i], faults);
	if (r != 0)
		fault_add(faults, s->file, 0, "%s", strerror(-r));
	config_sections_free(s);
	if (r == 0 && faults->found > found)
		r = -EINVAL;
	return r;
}

int
config_parse(const char *file, const char *text, size_t len,
    struct config **ret, struct faults *faults)
{
	struct config_sections sections;
	unsigned found = faults->found;
	int r = config_read_text(file, text, len, &sections, faults);

	return config_add(ret, &sections, faults, found, r);
}

int
config_words(
    char *const *words, unsigned n, struct config **ret, struct faults *faults)
{
	struct config_sections sections;
	unsigned found = faults->found;
	int r = config_read_words(words, n, &sections, faults);

	return config_add(ret, &sections, faults, found, r);
}

/* Reads an open file to its end; -EFBIG when it is too large for a configuration. */
static int
read_all(int fd, char **ret, size_t *len)
{
	size_t size = 64 * 1024;
	ssize_t n;
	char *text;

	for (*len = 0;; *len += (size_t)n) {
		text = realloc(*ret, size);
		if (text == NULL)
			return -ENOMEM;
		*ret = text;
		n = read(fd, text + *len, size - *len);
		if (n == 0)
			return 0;
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n < 0)
			n = 0;
		if (*len + (size_t)n == size)
			size *= 2;
		if (size > FILE_MAX)
			return -EFBIG;
	}
}

static int
config_load(const char *path, struct config **ret, struct faults *faults)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;
	struct stat st = { .st_size = 0 };
	char *text = NULL;
	size_t len = 0;

	/* Before it is read, so that a change meanwhile is noticed. */
	r = fd < 0 || fstat(fd, &st) < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	if (r != 0)
		fault_add(faults, path, 0, "cannot be read: %s", strerror(-r));
	else
		r = config_parse(path, text, len, ret, faults);
	if (*ret != NULL) {
		(*ret)->daemon.file = path;
		(*ret)->daemon.written = st.st_mtim;
	}
	free(text);
	return r;
}

int
config_read(const char *path, char *const *words, unsigned n,
    struct config **ret, struct faults *faults)
{
	struct config *c = NULL;
	int first = 0, r;

	*ret = NULL;
	if (path != NULL)
		first = config_load(path, &c, faults);
	r = config_words(words, n, &c, faults);
	if (first == 0 || r == -ENOMEM)
		first = r;
	if (first == 0 || first == -EINVAL) {
		r = config_check(c, path, faults);
		if (first == 0 || r == -ENOMEM)
			first = r;
	}
	if (first == 0)
		first = config_warn(c, path, faults);
	if (first == 0)
		*ret = c;
	else
		config_free(c);
	return first;
}

/* Without the sections that are not [control], or have a fault. */
static int
add_controls(struct config **ret, const struct config_sections *s)
{
	struct faults faults = { 0 };
	struct config *one = NULL;
	int r = config_make(ret);

	for (unsigned i = 0; r == 0 && i < s->n; i++) {
		if (strcmp(s->section[i].type, "control") != 0)
			continue;
		if ((r = config_make(&one)) == 0)
			r = config_section_read(
			    one, s->file, &s->section[i], &faults);
		if (r == 0 && faults.found == 0)
			r = config_section_read(
			    *ret, s->file, &s->section[i], &faults);
		config_free(one);
		one = NULL;
		faults_free(&faults);
	}
	return r;
}

int
config_read_controls(const char *path, struct config **ret)
{
	struct config_sections sections;
	struct faults faults = { 0 };
	char *text = NULL;
	size_t len = 0;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY), r;

	*ret = NULL;
	r = fd < 0 ? -errno : read_all(fd, &text, &len);
	if (fd >= 0)
		close(fd);
	if (r == 0) {
		r = config_read_text(path, text, len, &sections, &faults);
		if (r == 0)
			r = add_controls(ret, &sections);
		config_sections_free(&sections);
	}
	faults_free(&faults);
	free(text);
	if (r == 0)
		return 0;
	config_free(*ret);
	*ret = NULL;
	return r;
}

void
config_free(struct config *c)
{
	if (c == NULL)
		return;
	for (unsigned i = 0; i < c->ncontrols; i++)
		control_conf_free(c->controls[i]);
	for (unsigned i = 0; i < c->nendpoints; i++)
		endpoint_conf_free(c->endpoints[i]);
	for (unsigned i = 0; i < c->nroutes; i++)
		route_conf_free(c->routes[i]);
	key_free(daemon_keys, &c->daemon);
	free(c->controls);
	free(c->endpoints);
	free(c->routes);
	free(c->lost_names);
	free(c);
}
