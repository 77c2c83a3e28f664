/*
 * Messages that filters read: the first byte says how long a list of sentences or
 * numbers, or an expression, is, which stands in front of the message.
 */
#include <stdlib.h>
#include <string.h>

#include "duplicates.h"
#include "expression.h"
#include "expression_tree.h"
#include "filter.h"
#include "systems.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
expect(bool right)
{
	if (!right)
		abort();
}

static void
keys(const uint8_t *message, size_t len)
{
	struct bytes key, again;

	for (int kind = LATEST_NONE; kind <= LATEST_MAVLINK; kind++)
		if (latest_key((enum latest)kind, message, len, &key)) {
			expect(key.len > 0 && key.len <= sizeof(key.b));
			expect(latest_key(
			    (enum latest)kind, message, len, &again));
			expect(memcmp(key.b, again.b, key.len) == 0);
		}
}

static void
filters(const char *list, const uint8_t *message, size_t len)
{
	struct ranges ranges;
	struct rate rate;
	uint64_t until = 0;
	struct error err;

	if (nmea_list_check(list, &err) == 0 && strchr(list, '!') == NULL &&
	    match_nmea(list, message, len))
		expect(match_nmea("*", message, len));
	if (ranges_parse(list, 0xffffff, "id", &ranges, &err) == 0) {
		match_mavlink(&ranges, message, len);
		match_unit(&ranges, NULL, message, len);
	}
	if (rate_parse(list, &rate, &err) == 0)
		expect(rate_allows(&rate, &until, len));
}

/* A message is a copy when it is heard again, and goes where its system was heard. */
static void
tables(const uint8_t *message, size_t len)
{
	static struct duplicates *d;
	struct systems *systems = NULL;
	struct mavlink m;
	uint64_t now = NSEC_PER_SEC;
	static int here, there;

	if (d == NULL && (d = duplicates_new()) == NULL)
		return;
	duplicates_check(d, &here, message, len, 1, now);
	expect(!duplicates_check(d, &here, message, len, 1, now));
	expect(duplicates_check(d, &there, message, len, 1, now));
	expect(!duplicates_check(d, &there, message, len, 1, now + 1));
	systems_hear(&systems, message, len, now);
	if (mavlink_read(message, len, &m)) {
		expect(systems != NULL);
		expect(system_is_known(systems, m.system, now));
		expect(systems_accept(systems, message, len, now) ==
		    (m.target == 0 || m.target == m.system));
		expect(systems->lost[m.system] == 0);
	} else
		expect(systems_accept(NULL, message, len, now));
	free(systems);
}

/* Both matchers find the same, and no more steps are made than may be. */
static void
expressions(const char *text, const uint8_t *message, size_t len)
{
	struct expression_tree *tree;
	struct expression *e;
	uint64_t spent = 0, steps = EXPRESSION_WORK;
	struct error err;
	int found, tried;

	if (expression_new(text, &e, &err) != 0)
		return;
	found = expression_find(e, message, len, EXPRESSION_WORK, &spent);
	expect(spent <= EXPRESSION_WORK);
	expect(found >= 0 || len > expression_longest(e, EXPRESSION_WORK) ||
	    expression_is_tried(e));
	expect(expression_parse(text, &tree, &err) == 0);
	tried = expression_try(tree, message, len, &steps);
	expect(found < 0 || tried < 0 || found == tried);
	expression_tree_free(tree);
	expression_free(e);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct modbus m;
	char list[256];
	uint8_t *message;
	size_t n, len;

	if (size == 0 || (n = data[0]) > size - 1)
		return 0;
	memcpy(list, data + 1, n);
	list[n] = '\0';
	/* Of its own size, so that a read behind its end is seen. */
	len = size - 1 - n;
	message = malloc(len);
	if (message == NULL)
		return 0;
	memcpy(message, data + 1 + n, len);
	filters(list, message, len);
	keys(message, len);
	tables(message, len);
	if (strlen(list) < 200)
		expressions(list, message, len);
	if (modbus_read(message, len, &m))
		modbus_answers(&m, &m);
	free(message);
	return 0;
}
