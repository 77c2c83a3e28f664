/*
 * permission: who may read and write, over a list of links that are not connected.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "permission.h"
#include "tls.h"

#define CLIENTS 4

struct conf {
	int other;
	struct permission_conf permission;
};

static const struct endpoint_ops ops = {
	.type = "fake",
	.several = true,
	.permission = offsetof(struct conf, permission),
};

static struct conf conf;
static struct endpoint_conf section = { .ops = &ops, .type_conf = &conf };
static struct permission permission;
static struct endpoint ep;
static struct link client[CLIENTS];

/* A server without clients. */
static int
set_up(void **state)
{
	(void)state;
	memset(&conf, 0, sizeof(conf));
	memset(&permission, 0, sizeof(permission));
	memset(&ep, 0, sizeof(ep));
	memset(client, 0, sizeof(client));
	conf.permission.lease_time = NSEC_PER_SEC;
	ep.conf = &section;
	ep.permission = &permission;
	TAILQ_INIT(&ep.links);
	return 0;
}

static struct link *
join_as(unsigned i, unsigned number)
{
	struct link *link = &client[i];

	link->endpoint = &ep;
	link->up = true;
	link->number = number;
	snprintf(link->name, sizeof(link->name), "lan#%u", number);
	permission_join(link);
	TAILQ_INSERT_TAIL(&ep.links, link, entry);
	return link;
}

static void
join_all(unsigned n)
{
	for (unsigned i = 0; i < n; i++)
		join_as(i, i + 1);
}

static void
leave(struct link *link)
{
	link->up = false;
	permission_leave(link);
	TAILQ_REMOVE(&ep.links, link, entry);
}

static struct tls_session session;

static const struct tls_session *
fake_session(const struct link *link)
{
	(void)link;
	return &session;
}

/* A client with a certificate for these names, of which cn is the common name. */
static enum role
role_with(char *cn, char **dns, size_t ndns)
{
	static const struct link_ops with_tls = { .session = fake_session };

	session.common_name = cn;
	session.dns_names = dns;
	session.ndns = ndns;
	session.version = "TLSv1.3";
	client[0].endpoint = &ep;
	client[0].ops = &with_tls;
	client[0].carried = true;
	permission_join(&client[0]);
	return (enum role)client[0].role;
}

static void
all_may_write_by_default(void **state)
{
	struct error err;

	(void)state;
	assert_int_equal(permission_check(&conf.permission, &err), 0);
	join_all(2);
	assert_true(link_may_write(&client[0]) && link_may_write(&client[1]));
	assert_false(client[0].restricted || client[0].receive_only);
	assert_int_equal(link_right(&client[0], 0), RIGHT_YES);
	leave(&client[0]);
	assert_true(link_may_write(&client[1]));
}

static void
a_role_permits_one_direction(void **state)
{
	(void)state;
	conf.permission.role = ROLE_READ;
	join_as(0, 1);
	assert_false(link_may_write(&client[0]));
	assert_false(client[0].receive_only);
	assert_int_equal(link_right(&client[0], 0), RIGHT_NO);
	conf.permission.role = ROLE_WRITE;
	permission_change(&ep);
	assert_true(link_may_write(&client[0]));
	assert_true(client[0].receive_only);
	conf.permission.role = ROLE_ALL;
	permission_change(&ep);
	assert_true(link_may_write(&client[0]));
	assert_false(client[0].receive_only);
}

static void
the_first_one_that_sends_writes_until_it_leaves(void **state)
{
	(void)state;
	conf.permission.writer = WRITER_FIRST;
	join_all(3);
	assert_int_equal(link_right(&client[0], 0), RIGHT_FREE);
	assert_true(link_may_write(&client[1]));
	assert_int_equal(link_right(&client[1], 0), RIGHT_YES);
	assert_int_equal(link_right(&client[0], 0), RIGHT_NO);
	assert_false(link_may_write(&client[0]));
	leave(&client[0]);
	assert_false(link_may_write(&client[2]));
	leave(&client[1]);
	assert_int_equal(link_right(&client[2], 0), RIGHT_FREE);
	assert_true(link_may_write(&client[2]));
}

static void
the_newest_one_writes(void **state)
{
	(void)state;
	conf.permission.writer = WRITER_LAST;
	join_all(3);
	assert_ptr_equal(permission.writer, &client[2]);
	assert_false(link_may_write(&client[0]));
	assert_true(link_may_write(&client[2]));
	leave(&client[2]);
	assert_true(link_may_write(&client[1]));
	leave(&client[0]);
	assert_true(link_may_write(&client[1]));
	leave(&client[1]);
	assert_null(permission.writer);
}

static void
the_newest_one_is_that_with_the_highest_number(void **state)
{
	(void)state;
	conf.permission.writer = WRITER_LAST;
	join_as(0, 7);
	join_as(1, 5);
	join_as(2, 6);
	assert_ptr_equal(permission.writer, &client[0]);
	leave(&client[0]);
	assert_ptr_equal(permission.writer, &client[2]);
	join_as(3, 4);
	leave(&client[2]);
	assert_ptr_equal(permission.writer, &client[1]);
}

static void
one_that_sends_no_more_leaves(void **state)
{
	(void)state;
	conf.permission.writer = WRITER_LAST;
	join_all(2);
	client[1].read_eof = true;
	permission_leave(&client[1]);
	assert_ptr_equal(permission.writer, &client[0]);
	client[0].read_eof = true;
	permission_leave(&client[0]);
	assert_null(permission.writer);
	assert_int_equal(link_right(&client[0], 0), RIGHT_NO);
}

static void
only_those_whose_role_permits_it_write(void **state)
{
	(void)state;
	conf.permission.writer = WRITER_LAST;
	join_all(1);
	conf.permission.role = ROLE_READ;
	join_as(1, 2);
	assert_ptr_equal(permission.writer, &client[0]);
	permission_change(&ep);
	assert_null(permission.writer);
	conf.permission.writer = WRITER_FIRST;
	assert_false(link_may_write(&client[0]));
	assert_null(permission.writer);
}

static void
a_lease_ends_after_silence(void **state)
{
	uint64_t end;

	(void)state;
	conf.permission.writer = WRITER_LEASE;
	join_all(2);
	assert_true(link_may_write(&client[0]));
	end = permission.used_ns + NSEC_PER_SEC;
	assert_int_equal(link_lease(&client[0], end - 1), 1);
	assert_int_equal(link_right(&client[0], end - 1), RIGHT_YES);
	assert_int_equal(link_right(&client[1], end - 1), RIGHT_NO);
	assert_int_equal(link_right(&client[0], end), RIGHT_FREE);
	assert_int_equal(link_right(&client[1], end), RIGHT_FREE);
	assert_int_equal(link_lease(&client[0], end), 0);
	assert_int_equal(link_lease(&client[1], end), 0);
	assert_false(link_may_write(&client[1]));
	permission.used_ns -= NSEC_PER_SEC;
	assert_true(link_may_write(&client[1]));
	assert_ptr_equal(permission.writer, &client[1]);
	/* Each time that it sends, it is renewed. */
	end = permission.used_ns -= NSEC_PER_SEC / 2;
	assert_true(link_may_write(&client[1]));
	assert_true(permission.used_ns > end);
	leave(&client[1]);
	assert_true(link_may_write(&client[0]));
}

static void
a_changed_section_keeps_the_right_where_it_can(void **state)
{
	(void)state;
	conf.permission.writer = WRITER_FIRST;
	join_all(2);
	assert_true(link_may_write(&client[0]));
	conf.permission.writer = WRITER_LEASE;
	permission_change(&ep);
	assert_ptr_equal(permission.writer, &client[0]);
	conf.permission.writer = WRITER_LAST;
	permission_change(&ep);
	assert_ptr_equal(permission.writer, &client[1]);
	conf.permission.writer = WRITER_ANY;
	permission_change(&ep);
	assert_true(link_may_write(&client[0]) && link_may_write(&client[1]));
	assert_null(permission.writer);
}

static void
the_right_is_handed_over(void **state)
{
	const uint64_t used = task_now() - 1;

	(void)state;
	conf.permission.writer = WRITER_LEASE;
	join_all(2);
	permission_restore(&client[1], used);
	assert_int_equal(permission.used_ns, used);
	assert_false(link_may_write(&client[0]));
	assert_true(link_may_write(&client[1]));
	/* It follows from the numbers... */
	conf.permission.writer = WRITER_LAST;
	permission_change(&ep);
	permission_restore(&client[0], task_now());
	assert_ptr_equal(permission.writer, &client[1]);
	/* ...or is no longer possible. */
	conf.permission.writer = WRITER_FIRST;
	conf.permission.role = ROLE_READ;
	permission_change(&ep);
	permission_restore(&client[0], task_now());
	assert_null(permission.writer);
}

static void
roles_name_certificates(void **state)
{
	static char *dns[] = { "board.lan", "carol" };
	static char *empty[] = { "", "bob" };
	char roles[] = "alice:all, bob:write board.lan:write x:y:read";
	struct error err;

	(void)state;
	conf.permission.roles = roles;
	assert_int_equal(permission_check(&conf.permission, &err), 0);
	assert_int_equal(conf.permission.role, ROLE_READ);
	assert_int_equal(role_with("alice", NULL, 0), ROLE_ALL);
	assert_string_equal(link_certificate(&client[0]), "alice");
	assert_string_equal(link_tls_version(&client[0]), "TLSv1.3");
	assert_int_equal(role_with("bob", NULL, 0), ROLE_WRITE);
	assert_true(client[0].receive_only);
	assert_int_equal(role_with("x:y", NULL, 0), ROLE_READ);
	/* Names match as a whole. */
	assert_int_equal(role_with("alic", NULL, 0), ROLE_READ);
	assert_int_equal(role_with("alice2", NULL, 0), ROLE_READ);
	assert_int_equal(role_with("Alice", NULL, 0), ROLE_READ);
	assert_int_equal(role_with("alice:all", NULL, 0), ROLE_READ);
	/* The common name does not count beside DNS names. */
	assert_int_equal(role_with("alice", dns, 2), ROLE_WRITE);
	assert_string_equal(link_certificate(&client[0]), "board.lan");
	assert_int_equal(role_with("alice", dns + 1, 1), ROLE_READ);
	assert_int_equal(role_with(NULL, empty, 2), ROLE_WRITE);
	assert_int_equal(role_with("", NULL, 0), ROLE_READ);
	assert_int_equal(role_with(NULL, NULL, 0), ROLE_READ);
	assert_string_equal(link_certificate(&client[0]), "");
	conf.permission.role = ROLE_ALL;
	conf.permission.role_given = true;
	assert_int_equal(permission_check(&conf.permission, &err), 0);
	assert_int_equal(role_with("carol", NULL, 0), ROLE_ALL);
}

static void
wrong_roles_are_explained(void **state)
{
	static const struct {
		const char *roles, *why;
	} cases[] = {
		{ "alice", "'alice' is not NAME:ROLE" },
		{ "alice:", "'alice:' is not NAME:ROLE" },
		{ ":read", "':read' is not NAME:ROLE" },
		{ "a:read b:reed", "'b:reed' is not NAME:ROLE" },
		{ "a:read b:all a:write", "has a twice" },
		{ "a:read a:read", "has a twice" },
	};

	(void)state;
	for (size_t i = 0; i < NELEM(cases); i++) {
		char *roles = strdup(cases[i].roles);
		struct error err;

		conf.permission.roles = roles;
		assert_int_equal(
		    permission_check(&conf.permission, &err), -EINVAL);
		if (strstr(err.text, cases[i].why) == NULL)
			fail_msg("%s: %s", roles, err.text);
		free(roles);
	}
	conf.permission.roles = NULL;
}

static void
the_most_silent_one_is_replaced(void **state)
{
	(void)state;
	assert_null(permission_replaced(&ep));
	join_all(3);
	client[0].heard_ns = 30;
	client[1].heard_ns = 10;
	client[2].heard_ns = 20;
	assert_ptr_equal(permission_replaced(&ep), &client[1]);
	client[1].read_eof = true;
	assert_ptr_equal(permission_replaced(&ep), &client[2]);
	client[2].deferred = true;
	assert_ptr_equal(permission_replaced(&ep), &client[0]);
	client[0].deferred = true;
	assert_ptr_equal(permission_replaced(&ep), &client[1]);
}

#define TEST(name) cmocka_unit_test_setup(name, set_up)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_may_write_by_default),
		TEST(a_role_permits_one_direction),
		TEST(the_first_one_that_sends_writes_until_it_leaves),
		TEST(the_newest_one_writes),
		TEST(the_newest_one_is_that_with_the_highest_number),
		TEST(one_that_sends_no_more_leaves),
		TEST(only_those_whose_role_permits_it_write),
		TEST(a_lease_ends_after_silence),
		TEST(a_changed_section_keeps_the_right_where_it_can),
		TEST(the_right_is_handed_over),
		TEST(roles_name_certificates),
		TEST(wrong_roles_are_explained),
		TEST(the_most_silent_one_is_replaced),
	};

	log_set_level(LOG_ERR);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
