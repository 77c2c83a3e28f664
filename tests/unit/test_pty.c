/*
 * pty: a symbolic link that programs open as a serial port.
 */
#include "endpoint_harness.h"

#include <sys/inotify.h>
#include <sys/syscall.h>

static struct endpoint *ep;

static struct endpoint *
open_pty(const char *path)
{
	const char *keys[] = { "link", path, NULL };

	ep = make_endpoint(&endpoint_pty, keys);
	endpoint_start(ep);
	return ep;
}

static int
user_opens(const char *path)
{
	int fd = open(path, O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC);

	assert_true(fd >= 0);
	return fd;
}

static void
endpoint_says(const char *text)
{
	assert_int_equal(
	    link_write(&ep->link, text, strlen(text)), strlen(text));
}

static void
user_gets(int user, const char *text)
{
	char buf[64];
	ssize_t r;

	UNTIL((r = read(user, buf, sizeof(buf))) > 0);
	assert_int_equal(r, strlen(text));
	assert_memory_equal(buf, text, strlen(text));
}

static void
test_waits_and_resumes(void **state)
{
	const char *path = in_directory("tty");
	int user;

	(void)state;
	open_pty(path);
	for (int i = 0; i < 3; i++) {
		struct task *task = task_find("ar1.open");
		char label[256];

		UNTIL(ep->state == ENDPOINT_WAITING);
		assert_non_null(task);
		assert_int_equal(task->state, TASK_WAITING);
		task->label(task, label, sizeof(label));
		assert_non_null(strstr(label, "somebody to open "));
		assert_non_null(strstr(label, path));
		user = user_opens(path);
		UNTIL(ep->state == ENDPOINT_UP);
		assert_int_equal(task->state, TASK_IDLE);
		assert_int_equal(write(user, "hello", 5), 5);
		UNTIL(got_len == 5);
		assert_memory_equal(got, "hello", 5);
		got_len = 0;
		endpoint_says("you");
		user_gets(user, "you");
		close(user);
	}
	UNTIL(ep->state == ENDPOINT_WAITING);
	endpoint_free(ep);
}

/* The system gives each user 128 of them or so; a daemon may have more ptys. */
static bool no_watches;

int
inotify_init1(int flags)
{
	if (!no_watches)
		return (int)syscall(SYS_inotify_init1, flags);
	errno = EMFILE;
	return -1;
}

static void
test_without_a_watch(void **state)
{
	const char *path = in_directory("tty");
	int user;

	(void)state;
	no_watches = true;
	open_pty(path);
	no_watches = false;
	for (int i = 0; i < 2; i++) {
		UNTIL(ep->state == ENDPOINT_WAITING);
		user = user_opens(path);
		UNTIL(ep->state == ENDPOINT_UP);
		assert_int_equal(write(user, "hello", 5), 5);
		close(user);
		UNTIL(got_len == 5);
		got_len = 0;
	}
	endpoint_free(ep);
}

/* The loop does not turn while the user is there. */
static void
test_short_visit(void **state)
{
	static uint8_t sent[3000];
	const char *path = in_directory("tty");
	int user;

	(void)state;
	for (size_t i = 0; i < sizeof(sent); i++)
		sent[i] = (uint8_t)i;
	open_pty(path);
	UNTIL(ep->state == ENDPOINT_WAITING);
	for (int i = 0; i < 5; i++) {
		user = user_opens(path);
		assert_int_equal(write(user, sent, sizeof(sent)), sizeof(sent));
		close(user);
		UNTIL(got_len == sizeof(sent));
		assert_memory_equal(got, sent, sizeof(sent));
		got_len = 0;
		UNTIL(ep->state == ENDPOINT_WAITING);
	}
	close(user_opens(path));
	turn();
	assert_int_equal(ep->state, ENDPOINT_WAITING);
	assert_int_equal(got_len, 0);
	endpoint_free(ep);
}

/* One goes and the next comes before the loop turns: nothing is stuck. */
static void
test_quick_change(void **state)
{
	const char *path = in_directory("tty");
	int user;

	(void)state;
	open_pty(path);
	UNTIL(ep->state == ENDPOINT_WAITING);
	user = user_opens(path);
	UNTIL(ep->state == ENDPOINT_UP);
	for (int i = 0; i < 20; i++) {
		assert_int_equal(write(user, "a", 1), 1);
		close(user);
		user = user_opens(path);
		assert_int_equal(write(user, "b", 1), 1);
		UNTIL(got_len == 2);
		assert_memory_equal(got, "ab", 2);
		got_len = 0;
	}
	UNTIL(ep->state == ENDPOINT_UP);
	close(user);
	UNTIL(ep->state == ENDPOINT_WAITING);
	endpoint_free(ep);
}

/* The next one is there when the hang-up of the last one is dealt with. */
static void
test_comes_while_hanging_up(void **state)
{
	const char *path = in_directory("tty");
	int user;

	(void)state;
	open_pty(path);
	user = user_opens(path);
	UNTIL(ep->state == ENDPOINT_UP);
	assert_true(ep->conf->ops->hangup(ep));
	assert_false(ep->link.up);
	UNTIL(ep->state == ENDPOINT_UP);
	assert_int_equal(write(user, "hello", 5), 5);
	UNTIL(got_len == 5);
	endpoint_says("you");
	user_gets(user, "you");
	close(user);
	UNTIL(ep->state == ENDPOINT_WAITING);
	endpoint_free(ep);
}

/* Opened and written to by the next one, before the end of the last is dealt with. */
static const char *next_one;
static int next_user = -1;
static size_t got_at_the_end;

static void
read_and_let_the_next_come(struct link *link)
{
	size_t had = got_len;

	owner_readable(link);
	if (got_len > had || next_one == NULL)
		return;
	next_user = user_opens(next_one);
	assert_int_equal(write(next_user, "next", 4), 4);
	next_one = NULL;
}

static void
read_at_the_end(struct link *link, const char *why)
{
	size_t had = got_len;

	(void)why;
	owner_readable(link);
	got_at_the_end += got_len - had;
}

static void
test_what_the_next_one_says_is_not_the_last_ones(void **state)
{
	static const struct endpoint_owner watchful = {
		.up = owner_up,
		.down = read_at_the_end,
		.readable = read_and_let_the_next_come,
		.writable = owner_writable,
		.closing = owner_closing,
		.cut = owner_cut,
		.line = owner_line,
		.progress = owner_progress,
		.label = owner_label,
		.state = owner_state,
	};
	const char *path = in_directory("tty");
	int user;

	(void)state;
	open_pty(path);
	ep->owner = &watchful;
	user = user_opens(path);
	UNTIL(ep->state == ENDPOINT_UP);
	assert_int_equal(write(user, "last", 4), 4);
	UNTIL(got_len == 4);
	next_one = path;
	close(user);
	UNTIL(got_len == 8);
	assert_memory_equal(got, "lastnext", 8);
	assert_int_equal(got_at_the_end, 0);
	assert_int_equal(ep->state, ENDPOINT_UP);
	close(next_user);
	UNTIL(ep->state == ENDPOINT_WAITING);
	endpoint_free(ep);
}

static void
test_unread_is_not_for_the_next(void **state)
{
	const char *path = in_directory("tty");
	int user;

	(void)state;
	open_pty(path);
	UNTIL(ep->state == ENDPOINT_WAITING);
	user = user_opens(path);
	UNTIL(ep->state == ENDPOINT_UP);
	endpoint_says("half of a fra");
	close(user);
	UNTIL(ep->state == ENDPOINT_WAITING);
	user = user_opens(path);
	UNTIL(ep->state == ENDPOINT_UP);
	endpoint_says("new");
	user_gets(user, "new");
	close(user);
	endpoint_free(ep);
}

static void
test_is_raw_for_everyone(void **state)
{
	const char *path = in_directory("tty");
	struct termios t;
	uint8_t all[256], back[256];
	size_t n = 0;
	int user;

	(void)state;
	for (size_t i = 0; i < sizeof(all); i++)
		all[i] = (uint8_t)i;
	open_pty(path);
	for (int i = 0; i < 2; i++) {
		UNTIL(ep->state == ENDPOINT_WAITING);
		user = user_opens(path);
		assert_int_equal(tcgetattr(user, &t), 0);
		assert_int_equal(t.c_lflag & (ICANON | ECHO | ISIG), 0);
		assert_int_equal(t.c_iflag & (IXON | IXOFF | ICRNL), 0);
		assert_int_equal(t.c_oflag & OPOST, 0);
		UNTIL(ep->state == ENDPOINT_UP);
		assert_int_equal(write(user, all, sizeof(all)), sizeof(all));
		UNTIL(got_len == sizeof(all));
		assert_memory_equal(got, all, sizeof(all));
		link_hand(&ep->link, all, sizeof(all));
		for (n = 0; n < sizeof(all);) {
			ssize_t r;

			UNTIL((r = read(user, back + n, sizeof(back) - n)) > 0);
			n += (size_t)r;
		}
		assert_memory_equal(back, all, sizeof(all));
		got_len = 0;
		/* The next one does not get this one's settings. */
		t.c_lflag |= ICANON | ECHO;
		t.c_oflag |= OPOST | ONLCR;
		assert_int_equal(tcsetattr(user, TCSANOW, &t), 0);
		close(user);
	}
	endpoint_free(ep);
}

static void
test_link_comes_and_goes(void **state)
{
	const char *path = in_directory("tty");
	char target[64];
	struct stat st;

	(void)state;
	assert_int_equal(symlink("/dev/pts/987654", path), 0);
	open_pty(path);
	UNTIL(ep->state == ENDPOINT_WAITING);
	assert_int_equal(lstat(path, &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISCHR(st.st_mode));
	assert_non_null(strstr(ep->address, path));
	assert_non_null(strstr(ep->address, " -> /dev/pts/"));
	endpoint_free(ep);
	assert_int_equal(lstat(path, &st), -1);

	open_pty(path);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(symlink("/nowhere", path), 0);
	endpoint_free(ep);
	assert_int_equal(readlink(path, target, sizeof(target)), 8);
	target[8] = '\0';
	assert_string_equal(target, "/nowhere");
}

static void
test_spares_what_is_not_its_own(void **state)
{
	const char *path = in_directory("tty"), *link = in_directory("link");
	struct stat st;
	int fd;

	(void)state;
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	assert_int_equal(write(fd, "x", 1), 1);
	close(fd);
	open_pty(path);
	assert_int_equal(ep->state, ENDPOINT_LOST);
	assert_non_null(strstr(ep->error.text, "is no symbolic link"));
	/* It is tried again, and there is room now. */
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_size, 1);
	assert_int_equal(rename(path, in_directory("saved")), 0);
	UNTIL(ep->state == ENDPOINT_WAITING);
	endpoint_free(ep);

	assert_int_equal(symlink("/etc/passwd", link), 0);
	open_pty(link);
	assert_int_equal(ep->state, ENDPOINT_LOST);
	assert_non_null(strstr(ep->error.text, "a link to /etc/passwd"));
	endpoint_free(ep);

	open_pty(in_directory("no/such/directory"));
	assert_int_equal(ep->state, ENDPOINT_LOST);
	endpoint_free(ep);
}

static void
test_mode_and_group(void **state)
{
	const char *path = in_directory("tty");
	const char *keys[] = { "link", path, "mode", "0640", NULL };
	const char *nobody[] = { "link", path, "group", "no-such-group", NULL };
	struct stat st;

	(void)state;
	ep = make_endpoint(&endpoint_pty, keys);
	endpoint_start(ep);
	assert_int_equal(stat(path, &st), 0);
	assert_int_equal(st.st_mode & 0777, 0640);
	endpoint_free(ep);
	ep = make_endpoint(&endpoint_pty, nobody);
	endpoint_start(ep);
	assert_string_equal(
	    ep->error.text, "there is no group 'no-such-group'");
	endpoint_free(ep);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(
		    test_waits_and_resumes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_without_a_watch, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_short_visit, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_quick_change, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_comes_while_hanging_up, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_what_the_next_one_says_is_not_the_last_ones, set_up,
		    tear_down),
		cmocka_unit_test_setup_teardown(
		    test_unread_is_not_for_the_next, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_is_raw_for_everyone, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_link_comes_and_goes, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_spares_what_is_not_its_own, set_up, tear_down),
		cmocka_unit_test_setup_teardown(
		    test_mode_and_group, set_up, tear_down),
	};

	return cmocka_run_group_tests_name("pty", tests, NULL, NULL);
}
