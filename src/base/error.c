/*
 * error: error messages for the user.
 */
#include <errno.h>
#include <stdarg.h>
#include <string.h>

#include "error.h"

void
error_clear(struct error *err)
{
	err->text[0] = '\0';
}

bool
error_is_set(const struct error *err)
{
	return err->text[0] != '\0';
}

void
error_set(struct error *err, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
}

int
error_fail(struct error *err, int r, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	return r;
}

void
error_append(struct error *err, const char *fmt, ...)
{
	size_t len = strlen(err->text);
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(err->text + len, sizeof(err->text) - len, fmt, ap);
	va_end(ap);
}

void
error_append_meant(struct error *err, const char *word)
{
	if (word != NULL)
		error_append(err, "; did you mean '%s'?", word);
}

void
error_append_directory_hint(struct error *err, const char *path, int e)
{
	static const char ours[] = "/run/ttybridge/";
	int len = (int)(strrchr(path, '/') - path);

	if (strncmp(path, ours, strlen(ours)) == 0) {
		if (e == -ENOENT)
			error_append(err,
			    "; /run/ttybridge is created by the service;"
			    " otherwise use a directory of your own, or create "
			    "it:"
			    " sudo install -d -o $USER /run/ttybridge");
		else if (e == -EACCES)
			error_append(err,
			    "; /run/ttybridge belongs to the service; otherwise"
			    " use a directory of your own");
	} else if (e == -ENOENT)
		error_append(
		    err, "; create the directory %.*s first", len, path);
}
