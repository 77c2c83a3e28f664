/*
 * What --init reads: the first byte chooses the program whose configuration the rest is, or
 * the answers to a question.
 */
#include <stdlib.h>
#include <string.h>

#include "answers.h"
#include "config.h"
#include "draft.h"
#include "source.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
expect(bool right)
{
	if (!right)
		abort();
}

/* What is written is valid, and what is left out is said. */
static void
check_result(struct draft *d, struct error *err)
{
	struct faults faults = { 0 };
	struct config *c = NULL;
	char *text, *warnings;
	int n = draft_finish(d, &text, &warnings, err);

	expect(n < 0 ? text == NULL && error_is_set(err) : n > 0);
	if (n > 0) {
		expect(config_parse(
			   "result", text, strlen(text), &c, &faults) == 0);
		expect(config_check(c, "result", &faults) == 0);
	}
	expect(warnings != NULL);
	config_free(c);
	faults_free(&faults);
	free(text);
	free(warnings);
}

static void
convert(convert_function *function, const struct source *source)
{
	struct draft *d = draft_new(source->file);
	struct error err;
	int r;

	if (d == NULL)
		return;
	error_clear(&err);
	r = function(source, d, &err);
	expect(r == 0 || error_is_set(&err));
	if (r == 0)
		check_result(d, &err);
	draft_free(d);
}

static void
answer(const char *text)
{
	static const char *const names[] = { "/dev/ttyACM0", "/dev/ttyUSB0",
		"/dev/ttyS1" };
	struct answer_device devices[NELEM(names)];
	struct answer_access access;
	bool chosen[NELEM(names)];
	struct error err;

	error_clear(&err);
	if (answer_ports(text, names, NELEM(names), chosen, &err) == 0)
		expect(chosen[0] || chosen[1] || chosen[2]);
	if (answer_devices(text, devices, NELEM(names), &err) == 0)
		for (size_t i = 0; i < NELEM(names); i++)
			expect(devices[i].framing != NULL &&
			    devices[i].baud >= 50 &&
			    strlen(devices[i].mode) == 3);
	if (answer_access(text, &access, &err) == 0)
		expect(!access.none || access.networks[0] == '\0');
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static convert_function *const functions[] = { convert_ser2net,
		convert_mavlink_router, convert_mbusd, convert_kplex };
	struct source source = { .file = "source" };
	char *text;

	if (size == 0 || memchr(data + 1, '\0', size - 1) != NULL)
		return 0;
	if ((text = strndup((const char *)data + 1, size - 1)) == NULL)
		return 0;
	source.text = text;
	source.len = size - 1;
	if (data[0] % 5 < NELEM(functions))
		convert(functions[data[0] % 5], &source);
	else
		answer(text);
	free(text);
	return 0;
}
