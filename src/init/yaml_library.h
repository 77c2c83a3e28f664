/*
 * yaml_library: the functions of libyaml, which is only loaded to read a file of YAML.
 */
#ifndef YAML_LIBRARY_H
#define YAML_LIBRARY_H

#include <yaml.h>

#include "error.h"

#define YAML_FUNCTIONS(FUNCTION)          \
	FUNCTION(parser_initialize)       \
	FUNCTION(parser_delete)           \
	FUNCTION(parser_set_input_string) \
	FUNCTION(parser_parse)            \
	FUNCTION(event_delete)

struct yaml_library {
#define MEMBER(name) __typeof__(yaml_##name) *name;
	YAML_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Its members are NULL until yaml_load() has succeeded. */
extern struct yaml_library yaml_library;

/* Loads the library, once.  -ELIBACC and err. */
int yaml_load(struct error *err);

#endif
