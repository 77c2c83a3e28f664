/*
 * terminal: the terminal of the user.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "daemon_connection.h"
#include "terminal.h"

static struct termios saved;
static bool changed;

static void
on_signal(int number)
{
	connection_stop = number;
}

void
terminal_signals(void)
{
	static const int numbers[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT };
	/* Without SA_RESTART, so that a read or poll ends. */
	struct sigaction sa = { .sa_handler = on_signal };

	for (size_t i = 0; i < NELEM(numbers); i++)
		sigaction(numbers[i], &sa, NULL);
	sa.sa_handler = SIG_IGN;
	sigaction(SIGPIPE, &sa, NULL);
}

void
terminal_restore(void)
{
	if (changed)
		tcsetattr(STDIN_FILENO, TCSADRAIN, &saved);
	changed = false;
}

int
terminal_keys(void)
{
	static bool registered;
	struct termios t;

	if (tcgetattr(STDIN_FILENO, &saved) < 0)
		return -errno;
	t = saved;
	t.c_iflag &= ~(tcflag_t)(IGNBRK | BRKINT | PARMRK | ISTRIP | INLCR |
	    IGNCR | ICRNL | IXON);
	t.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG | IEXTEN);
	t.c_cc[VMIN] = 1;
	t.c_cc[VTIME] = 0;
	if (!registered && atexit(terminal_restore) != 0)
		return -ENOMEM;
	registered = true;
	if (tcsetattr(STDIN_FILENO, TCSADRAIN, &t) < 0)
		return -errno;
	changed = true;
	return 0;
}

void
terminal_raise(void)
{
	int number = connection_stop;

	terminal_restore();
	if (number == 0)
		return;
	signal(number, SIG_DFL);
	raise(number);
}
