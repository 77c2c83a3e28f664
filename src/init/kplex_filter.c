/*
 * kplex_filter: filters of kplex.
 *
 * The first rule that a sentence matches decides, and what matches none passes.  So rules
 * that deny are a list of what does not pass, and with "-all" at the end those that accept
 * are a list of what does.  A rule that limits is converted as one that accepts.
 */
#include <ctype.h>
#include <string.h>

#include "kplex_filter.h"

#define NAME_LENGTH 5
#define RULES_MAX 64

struct rule {
	const char *text;
	size_t len;
	char kind;		    /* '+', '-' or '~' */
	bool all;		    /* it is about all sentences */
	bool source;		    /* only those of one interface */
	char name[NAME_LENGTH + 1]; /* with '*' for any character */
};

struct rules {
	struct rule at[RULES_MAX];
	unsigned n;
	bool closed; /* "-all" ends them */
};

/* --- reading ------------------------------------------------------------- */

static bool
read_rule(const char *text, size_t len, struct rule *rule)
{
	size_t name = len == 0 ? 0 : len - 1;

	*rule = (struct rule){ .text = text, .len = len, .kind = *text };
	if (len < 2 || strchr("+-~", *text) == NULL)
		return false;
	for (size_t i = 1; i < len; i++)
		if (text[i] == '%' || text[i] == '/') {
			rule->source |= text[i] == '%';
			name = MIN(name, i - 1);
		}
	rule->all = name == 3 && strncmp(text + 1, "all", 3) == 0;
	if (name == 0 || name > NAME_LENGTH)
		return false;
	memset(rule->name, '*', NAME_LENGTH);
	for (size_t i = 0; i < name && !rule->all; i++) {
		if (!isalnum((unsigned char)text[1 + i]) && text[1 + i] != '*')
			return false;
		rule->name[i] = text[1 + i];
	}
	return true;
}

/* What follows a rule about all sentences has no effect. */
static bool
read_rules(const char *text, struct rules *rules)
{
	size_t len;

	rules->n = 0;
	rules->closed = false;
	for (; *text != '\0'; text += len + (text[len] == ':')) {
		struct rule *rule = &rules->at[rules->n];

		len = strcspn(text, ":");
		if (rules->n == RULES_MAX || !read_rule(text, len, rule))
			return false;
		if (rule->all && !rule->source) {
			rules->closed = rule->kind == '-';
			if (rule->kind == '~')
				rules->n++;
			return true;
		}
		rules->n++;
	}
	return true;
}

/* --- writing ------------------------------------------------------------- */

static bool
overlap(const struct rule *a, const struct rule *b)
{
	for (size_t i = 0; i < NAME_LENGTH; i++)
		if (a->name[i] != '*' && b->name[i] != '*' &&
		    toupper((unsigned char)a->name[i]) !=
			toupper((unsigned char)b->name[i]))
			return false;
	return true;
}

/* Whether an earlier rule lets sentences pass that this one denies. */
static bool
is_excepted(const struct rules *rules, unsigned denies)
{
	for (unsigned i = 0; i < denies; i++)
		if (rules->at[i].kind != '-' &&
		    overlap(&rules->at[i], &rules->at[denies]))
			return true;
	return false;
}

/* "**RMC" to "??RMC"; what follows the last letter may be anything. */
static bool
write_name(const struct rule *rule, char buf[FILTER_MAX])
{
	char text[NAME_LENGTH + 2] = "";
	size_t last = 0;

	for (size_t i = 0; i < NAME_LENGTH; i++) {
		text[i] = rule->name[i] == '*' ? '?' : rule->name[i];
		if (rule->name[i] != '*')
			last = i + 1;
	}
	snprintf(
	    text + last, sizeof(text) - last, last < NAME_LENGTH ? "*" : "");
	append(buf, FILTER_MAX, "%s%s%s", buf[0] != '\0' ? " " : "",
	    rule->kind == '-' ? "!" : "", text);
	return strlen(buf) + 1 < FILTER_MAX;
}

static void
note(const struct rule *rule, char buf[FILTER_MAX])
{
	append(buf, FILTER_MAX, " %.*s", (int)rule->len, rule->text);
}

bool
kplex_filter(const char *text, struct kplex_filter *ret)
{
	struct rules rules;
	bool accepts = false;

	memset(ret, 0, sizeof(*ret));
	if (!read_rules(text, &rules))
		return false;
	for (unsigned i = 0; i < rules.n; i++) {
		const struct rule *rule = &rules.at[i];
		bool deny = rule->kind == '-';

		if (rule->source) {
			/* What one interface sends is not known to the list. */
			note(rule, deny ? ret->wider : ret->narrower);
			continue;
		}
		if (rule->kind == '~')
			note(rule, ret->wider);
		if (deny && is_excepted(&rules, i))
			note(rule, ret->narrower);
		/* What is accepted anyway needs no word. */
		if (!deny && !rules.closed)
			continue;
		accepts |= !deny;
		if (!write_name(rule, ret->text))
			return false;
	}
	ret->nothing = rules.closed && !accepts;
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
