/*
 * draft_value: values of keys in the text of a configuration.
 */
#ifndef DRAFT_VALUE_H
#define DRAFT_VALUE_H

#include <stdbool.h>
#include <stdio.h>

/* Why the value cannot be written in one line, or NULL. */
const char *value_refused(const char *key, const char *value);
/* Whether more would pass, or more would be admitted, without the key. */
bool key_restricts(const char *key);
/* Appends C escapes of bytes as values of keys may have them. */
void draft_escape(FILE *f, const char *bytes, size_t len);

#endif
