/*
 * yaml_library: loads libyaml.
 */
#include <errno.h>

#include "library.h"
#include "yaml_library.h"

#define LIBRARY "libyaml-0.so.2"

struct yaml_library yaml_library;

static const struct library_symbol symbols[] = {
#define SYMBOL(name) { "yaml_" #name, &yaml_library.name },
	YAML_FUNCTIONS(SYMBOL)
#undef SYMBOL
};

int
yaml_load(struct error *err)
{
	struct error why;
	void *handle;
	int r = 0;

	if (yaml_library.parser_initialize == NULL)
		r = library_load(
		    LIBRARY, symbols, NELEM(symbols), &handle, &why);
	if (r == -ENOENT)
		return error_fail(err, -ELIBACC,
		    "YAML needs libyaml, which cannot be loaded (Debian: apt"
		    " install libyaml-0-2): %.200s",
		    why.text);
	if (r < 0)
		return error_fail(err, -ELIBACC,
		    "YAML needs another libyaml: %.200s", why.text);
	return 0;
}
