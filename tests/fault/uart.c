/*
 * uart: pseudo-terminals with the modem lines and the calls of a serial port.
 *
 *	FAULT_UART=FILE		all slaves of pseudo-terminals are serial ports; the
 *				file has a struct uart_line of each, by its number, for
 *				the test to read and to write
 *
 * As with a real one, opening raises DTR and RTS, the last close drops them if HUPCL is
 * set, and libserialport takes it.  What is missing: a bit rate, output that takes its
 * time, of which the test says how much there is, and the exclusive mode, which outlives
 * the last close of a pseudo-terminal: the test says whether another program has it.
 */
#include "uart.h"

#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define PTY_MAJOR 136
#define PTY_MAJORS 8
#define SERIAL_MAJOR 4
#define SERIAL_MINOR 64
#define SYS_NAME "/sys/class/tty/pts/"

/* TCGETS2, and the words that it fills. */
#define GET_SETTINGS 0x802c542a
enum { IFLAG = 0, CFLAG = 2, SPEED = 10 };

static struct uart_line *lines;

void
uart_start(void)
{
	const char *file = getenv("FAULT_UART");
	size_t size = UART_LINES * sizeof(struct uart_line);
	int fd;

	if (file == NULL)
		return;
	fd = (int)syscall(
	    SYS_openat, AT_FDCWD, file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fd < 0 || syscall(SYS_ftruncate, fd, size) < 0)
		abort();
	lines = (struct uart_line *)syscall(
	    SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	syscall(SYS_close, fd);
}

static bool
is_slave(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && major(st->st_rdev) >= PTY_MAJOR &&
	    major(st->st_rdev) < PTY_MAJOR + PTY_MAJORS &&
	    minor(st->st_rdev) < UART_LINES;
}

void
uart_stat(struct stat *st)
{
	if (lines != NULL && is_slave(st))
		st->st_rdev =
		    makedev(SERIAL_MAJOR, SERIAL_MINOR + minor(st->st_rdev));
}

static struct uart_line *
line_of(int fd)
{
	struct stat st;

	if (lines == NULL || syscall(SYS_fstat, fd, &st) < 0 || !is_slave(&st))
		return NULL;
	return &lines[minor(st.st_rdev)];
}

bool
uart_in_sys(const char *path)
{
	return lines != NULL && strncmp(path, SYS_NAME, strlen(SYS_NAME)) == 0;
}

static void
set_modem(struct uart_line *line, uint32_t modem)
{
	if (modem & ~line->modem & TIOCM_DTR)
		line->rises++;
	line->modem = modem;
}

void
uart_opened(int fd)
{
	struct uart_line *line = fd >= 0 ? line_of(fd) : NULL;

	if (line == NULL)
		return;
	if (line->opens++ == 0)
		set_modem(line, line->modem | TIOCM_DTR | TIOCM_RTS);
}

void
uart_closes(int fd)
{
	struct uart_line *line = line_of(fd);
	uint32_t flags[16];

	if (line == NULL || --line->opens > 0)
		return;
	if (syscall(SYS_ioctl, fd, TCGETS, flags) == 0 && flags[CFLAG] & HUPCL)
		set_modem(line, line->modem & ~(TIOCM_DTR | TIOCM_RTS));
}

static int
count_errors(const struct uart_line *line, struct serial_icounter_struct *c)
{
	memset(c, 0, sizeof(*c));
	c->frame = (int)line->counts[0];
	c->parity = (int)line->counts[1];
	c->overrun = (int)line->counts[2];
	c->brk = (int)line->counts[3];
	return 0;
}

static int
change_modem(struct uart_line *line, unsigned long request, int *bits)
{
	const uint32_t ours = TIOCM_DTR | TIOCM_RTS;
	uint32_t given = (uint32_t)*bits;

	if (request == TIOCMGET) {
		*bits = (int)line->modem;
		return 0;
	}
	if (request == TIOCMBIS)
		set_modem(line, line->modem | given);
	else if (request == TIOCMBIC)
		set_modem(line, line->modem & ~given);
	else
		set_modem(line, (line->modem & ~ours) | (given & ours));
	line->changes[line->nchanges % UART_CHANGES] = line->modem;
	line->nchanges++;
	return 0;
}

static int
latency(struct uart_line *line, unsigned long request, struct serial_struct *ss)
{
	if (request == TIOCSSERIAL)
		line->latency = (uint32_t)ss->flags;
	else
		*ss = (struct serial_struct){ .flags = (int)line->latency };
	return 0;
}

static int
rs485(struct uart_line *line, unsigned long request, struct serial_rs485 *rs)
{
	if (request == TIOCSRS485)
		line->rs485 = *rs;
	if (line->lacks & NO_DELAYS)
		line->rs485.delay_rts_before_send = 0;
	*rs = line->rs485;
	return 0;
}

static int
set_break(struct uart_line *line, bool on)
{
	line->breaks += on;
	line->breaking = on;
	return 0;
}

/* Those that the driver has really taken. */
static int
settings(int fd, const struct uart_line *line, uint32_t *words)
{
	if (syscall(SYS_ioctl, fd, GET_SETTINGS, words) < 0)
		return -1;
	if (line->lacks & NO_RTSCTS)
		words[CFLAG] &= ~(uint32_t)CRTSCTS;
	if (line->lacks & NO_XONXOFF)
		words[IFLAG] &= ~(uint32_t)(IXON | IXOFF);
	if (line->lacks & NO_SPEED)
		words[SPEED] = 9600;
	return 0;
}

/* Of output; input is the pseudo-terminal's. */
static void
discard(struct uart_line *line)
{
	line->flushed += line->unsent;
	line->unsent = 0;
}

static uint32_t
needed(unsigned long request)
{
	switch (request) {
	case TIOCMGET:
	case TIOCMBIS:
	case TIOCMBIC:
	case TIOCMSET:
		return NO_MODEM;
	case TIOCGICOUNT:
		return NO_COUNTS;
	case TIOCGRS485:
	case TIOCSRS485:
		return NO_RS485;
	case TIOCGSERIAL:
	case TIOCSSERIAL:
		return NO_LATENCY;
	default:
		return 0;
	}
}

bool
uart_ioctl(int fd, unsigned long request, void *arg, int *ret)
{
	struct uart_line *line = line_of(fd);

	if (line == NULL)
		return false;
	if (line->lacks & needed(request)) {
		errno = ENOTTY;
		*ret = -1;
		return true;
	}
	*ret = 0;
	if (needed(request) == NO_MODEM)
		*ret = change_modem(line, request, arg);
	else if (needed(request) == NO_LATENCY)
		*ret = latency(line, request, arg);
	else if (needed(request) == NO_RS485)
		*ret = rs485(line, request, arg);
	else if (request == TIOCGICOUNT)
		*ret = count_errors(line, arg);
	else if (request == TIOCSBRK || request == TIOCCBRK)
		*ret = set_break(line, request == TIOCSBRK);
	else if (request == GET_SETTINGS)
		*ret = settings(fd, line, arg);
	else if (request == TIOCGEXCL)
		*(int *)arg = (int)line->exclusive;
	else if (request == TIOCEXCL || request == TIOCNXCL)
		*ret = 0;
	else if (request == TIOCOUTQ)
		*(int *)arg = (int)line->unsent;
	else if (request == TCFLSH && (intptr_t)arg == TCOFLUSH)
		discard(line);
	else
		return false;
	return true;
}
