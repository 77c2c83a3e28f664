/*
 * library: loads shared objects that only some configurations need.
 */
#ifndef LIBRARY_H
#define LIBRARY_H

#include "error.h"

struct library_symbol {
	const char *name;
	void *function; /* the address of a pointer to the function */
};

/*
 * Loads a shared object, and sets the pointers to the addresses of n symbols.  *ret is the
 * handle for dlclose(3).  -ENOENT: it cannot be loaded; -ENOSYS: it lacks a symbol; why then
 * has the text of dlerror(3), and nothing is set.
 */
int library_load(const char *file, const struct library_symbol *symbols,
    size_t n, void **ret, struct error *why);

#endif
