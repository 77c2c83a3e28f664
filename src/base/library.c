/*
 * library: loads shared objects.
 */
#include <dlfcn.h>
#include <errno.h>
#include <string.h>

#include "library.h"

int
library_load(const char *file, const struct library_symbol *symbols, size_t n,
    void **ret, struct error *why)
{
	void *handle = dlopen(file, RTLD_NOW | RTLD_LOCAL), *symbol;

	if (handle == NULL)
		return error_fail(why, -ENOENT, "%s", dlerror());
	for (size_t i = 0; i < n; i++)
		if (dlsym(handle, symbols[i].name) == NULL) {
			error_set(why, "%s", dlerror());
			dlclose(handle);
			return -ENOSYS;
		}
	for (size_t i = 0; i < n; i++) {
		symbol = dlsym(handle, symbols[i].name);
		memcpy(symbols[i].function, &symbol, sizeof(symbol));
	}
	*ret = handle;
	return 0;
}
