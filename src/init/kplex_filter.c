/*
 * kplex_filter: filters of kplex.
 *
 * The first rule that a sentence matches decides, and what matches none passes.  So what can
 * be expressed by one list is: rules that all deny, and rules that all accept with "-all" at
 * the end.
 */
#include <ctype.h>
#include <string.h>

#include "kplex_filter.h"

#define NAME_LENGTH 5

/* "**RMC" to "??RMC"; what follows the last letter may be anything. */
static bool
write_name(const char *name, size_t len, bool deny, char buf[FILTER_MAX])
{
	char text[NAME_LENGTH + 2] = "";
	size_t last = 0;

	if (len == 0 || len > NAME_LENGTH)
		return false;
	for (size_t i = 0; i < len; i++) {
		if (!isalnum((unsigned char)name[i]) && name[i] != '*')
			return false;
		text[i] = name[i] == '*' ? '?' : name[i];
		if (name[i] != '*')
			last = i + 1;
	}
	snprintf(
	    text + last, sizeof(text) - last, last < NAME_LENGTH ? "*" : "");
	append(buf, FILTER_MAX, "%s%s%s", buf[0] != '\0' ? " " : "",
	    deny ? "!" : "", text);
	return strlen(buf) + 1 < FILTER_MAX;
}

bool
kplex_filter(const char *rules, char buf[FILTER_MAX])
{
	bool all = false, accepts = false, denies = false;
	size_t len;

	buf[0] = '\0';
	for (; *rules != '\0'; rules += len + (rules[len] == ':')) {
		bool deny = *rules == '-';

		len = strcspn(rules, ":");
		if (all || (*rules != '+' && !deny))
			return false;
		if (len == 4 && strncmp(rules + 1, "all", 3) == 0) {
			all = true;
			/* What is accepted before it would pass anyway. */
			if (!deny && !denies)
				buf[0] = '\0';
			else if (deny == denies && denies)
				return false;
			else if (deny && !accepts)
				return false;
			continue;
		}
		accepts |= !deny;
		denies |= deny;
		if ((accepts && denies) ||
		    !write_name(rules + 1, len - 1, deny, buf))
			return false;
	}
	/* What no rule is about passes, and so does everything. */
	if (!all && accepts)
		buf[0] = '\0';
	return true;
}

bool
kplex_filter_both(const char *a, const char *b, char buf[FILTER_MAX])
{
	/* Two lists of what passes cannot be one; others only add what does not pass. */
	if (*a != '!' && *b != '!')
		return false;
	return snprintf(buf, FILTER_MAX, "%s %s", *a == '!' ? b : a,
		   *a == '!' ? a : b) < FILTER_MAX;
}
