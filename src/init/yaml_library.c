/*
 * yaml_library: loads libyaml.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "yaml_library.h"

#define LIBRARY "libyaml-0.so.2"

struct yaml_library yaml_library;

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
#define SYMBOL(name) { "yaml_" #name, offsetof(struct yaml_library, name) },
	YAML_FUNCTIONS(SYMBOL)
#undef SYMBOL
};

int
yaml_load(struct error *err)
{
	struct yaml_library library;
	void *handle, *symbol;

	if (yaml_library.parser_initialize != NULL)
		return 0;
	if ((handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL)) == NULL)
		return error_fail(err, -ELIBACC,
		    "YAML needs libyaml, which cannot be loaded (Debian: apt"
		    " install libyaml-0-2): %.200s",
		    dlerror());
	for (size_t i = 0; i < NELEM(symbols); i++) {
		if ((symbol = dlsym(handle, symbols[i].name)) == NULL) {
			error_set(err, "YAML needs another libyaml: %.200s",
			    dlerror());
			dlclose(handle);
			return -ELIBACC;
		}
		memcpy((char *)&library + symbols[i].offset, &symbol,
		    sizeof(symbol));
	}
	yaml_library = library;
	return 0;
}
