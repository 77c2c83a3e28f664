/*
 * Any bytes as a configuration: no crash, no leak, and 0 exactly when there
 * is no fault.  A first byte of 'w' makes words of the lines instead, each
 * of which is one of the command line.  What can be read can be made a table
 * of routes.
 */
#include <stdlib.h>
#include <string.h>

#include "config.h"

#define WORDS_MAX 16

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void
expect(bool true_, const char *what)
{
	if (!true_) {
		fprintf(stderr, "not so: %s\n", what);
		abort();
	}
}

static int
read_words(
    const uint8_t *data, size_t size, struct config **c, struct faults *faults)
{
	char *text = strndup((const char *)data, size), *word, *save = NULL;
	char *words[WORDS_MAX];
	unsigned n = 0;
	int r;

	expect(text != NULL, "there is memory");
	for (word = strtok_r(text, "\n", &save); word != NULL && n < WORDS_MAX;
	     word = strtok_r(NULL, "\n", &save))
		words[n++] = word;
	r = config_words(words, n, c, faults);
	free(text);
	return r;
}

static void
check_faults(const struct faults *faults)
{
	for (unsigned i = 0; i < faults->n; i++) {
		const char *s = faults->text[i];

		expect(strncmp(s, "FILE:", 5) == 0 ||
			strncmp(s, "command line:", 13) == 0,
		    "a fault has its place");
		for (; *s != '\0'; s++)
			expect(
			    *s >= ' ' || *s < 0, "a fault is a line of text");
		expect(i == 0 || faults->order[i - 1] <= faults->order[i],
		    "faults are sorted");
	}
}

/* Takes the routes over. */
static void
make_routes(struct config *c)
{
	const char **names = calloc(c->nendpoints, sizeof(*names));
	enum route_end *ends = calloc(c->nendpoints, sizeof(*ends));
	struct routes *routes = NULL;
	struct error err;
	unsigned bad;
	unsigned refused;

	expect(names != NULL && ends != NULL, "there is memory");
	for (unsigned i = 0; i < c->nendpoints; i++) {
		names[i] = c->endpoints[i]->name;
		ends[i] = c->endpoints[i]->ops == &endpoint_echo ? END_ECHO
								 : END_SINGLE;
	}
	expect(routes_new(c->routes, c->nroutes, names, ends, c->nendpoints,
		   &routes, &bad, &err) == 0,
	    "routes without a fault make a table");
	c->nroutes = 0;
	for (unsigned i = 0; i < routes->nsources; i++)
		for (unsigned j = 0; j < routes->source[i].ntargets; j++)
			route_verdict(&routes->source[i].targets[j], NULL, NULL,
			    (const uint8_t *)"a\0b", 3, 1, &refused);
	routes_free(routes);
	free(names);
	free(ends);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = NULL;
	struct faults faults = { 0 };
	int r, checked;

	if (size > 0 && data[0] == 'w')
		r = read_words(data + 1, size - 1, &c, &faults);
	else
		r = config_parse("FILE", (const char *)data, size, &c, &faults);
	expect((r == 0) == (faults.found == 0), "0 when there is no fault");
	expect(c != NULL, "there is a configuration all the same");
	checked = config_check(c, "FILE", &faults);
	check_faults(&faults);
	if (r == 0 && checked == 0)
		make_routes(c);
	config_free(c);
	faults_free(&faults);
	return 0;
}
