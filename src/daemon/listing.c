/*
 * listing: the tables of the program.
 */
#include <stdio.h>

#include "command.h"
#include "config.h"
#include "listing.h"

void
list_framings(void)
{
	for (size_t i = 0; framings[i] != NULL; i++)
		printf("%-13s %s\n", framings[i]->name, framings[i]->summary);
}

static const char *const key_types[] = {
	[KEY_BOOL] = "yes, no",
	[KEY_NUMBER] = "number",
	[KEY_BITS] = "number",
	[KEY_SIZE] = "size",
	[KEY_TIME] = "time",
	[KEY_STRING] = "text",
	[KEY_BYTES] = "bytes",
	[KEY_TEXT] = "bytes",
	[KEY_HEX] = "hexadecimal bytes",
	[KEY_MODE] = "octal number",
	[KEY_SILENCE] = "silence",
	[KEY_CUSTOM] = "text",
};

/* Under the head, if there is one: key, default, what it may be, what it is. */
static void
list_table(const struct key *keys, const char *before, const char *section,
    const char *after)
{
	if (section != NULL)
		printf("%s%s%s\n", before, section, after);
	for (; keys != NULL && keys->name != NULL; keys++) {
		printf("  %-20s  %-20s  ", keys->name,
		    keys->def == NULL ? "-" : keys->def);
		if (keys->words == NULL)
			fputs(key_types[keys->type], stdout);
		for (size_t i = 0;
		     keys->words != NULL && keys->words[i] != NULL; i++)
			printf("%s%s", i == 0 ? "" : ", ", keys->words[i]);
		printf("  %s\n", keys->help);
	}
}

void
list_keys(void)
{
	list_table(daemon_keys, "[", "daemon", "]");
	list_table(control_keys, "[", "control NAME", "]");
	list_table(http_keys, "[", "http NAME", "]");
	list_table(endpoint_common_keys, "", "every endpoint", "");
	list_table(framing_key, "", NULL, "");
	list_table(framing_common_keys, "", NULL, "");
	for (size_t i = 0; endpoint_types[i] != NULL; i++)
		list_table(endpoint_types[i]->keys, "[",
		    endpoint_types[i]->type, " NAME]");
	list_table(route_keys, "[", "route NAME", "]");
	for (size_t i = 0; framings[i] != NULL; i++)
		if (framings[i]->keys != NULL)
			list_table(framings[i]->keys,
			    "framing = ", framings[i]->name, "");
}

void
list_commands(void)
{
	const char *help, *usage;

	for (size_t i = 0; (usage = command_usage(i, &help)) != NULL; i++)
		printf("%-42s  %s\n", usage, help);
}
