/*
 * serial_tty: termios and ioctl operations on a serial line.
 *
 * The kernel's termios2 is used instead of the C library's termios: it supports any
 * speed, and one call sets the speed together with the flags, so that the line never
 * runs with half of its settings and a later call cannot reset a non-standard speed to
 * a standard one.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <asm/termbits.h>
#include <linux/serial.h>

#include "log.h"
#include "serial_tty.h"

/* The major device numbers of pty slaves (Unix 98 and BSD). */
#define PTY_MAJOR_FIRST 136
#define PTY_MAJOR_LAST 143
#define PTY_MAJOR_BSD 3

#define FORMAT_FLAGS (CSIZE | CSTOPB | PARENB | PARODD | CMSPAR)

/*
 * Programs that read the settings with the C library recognize the standard speeds only
 * by these codes.
 */
static const struct {
	unsigned baud;
	tcflag_t code;
} speeds[] = { { 50, B50 }, { 75, B75 }, { 110, B110 }, { 134, B134 },
	{ 150, B150 }, { 200, B200 }, { 300, B300 }, { 600, B600 },
	{ 1200, B1200 }, { 1800, B1800 }, { 2400, B2400 }, { 4800, B4800 },
	{ 9600, B9600 }, { 19200, B19200 }, { 38400, B38400 },
	{ 57600, B57600 }, { 115200, B115200 }, { 230400, B230400 },
	{ 460800, B460800 }, { 500000, B500000 }, { 576000, B576000 },
	{ 921600, B921600 }, { 1000000, B1000000 }, { 1152000, B1152000 },
	{ 1500000, B1500000 }, { 2000000, B2000000 }, { 2500000, B2500000 },
	{ 3000000, B3000000 }, { 3500000, B3500000 }, { 4000000, B4000000 } };

static tcflag_t
speed_code(uint64_t baud)
{
	for (size_t i = 0; i < NELEM(speeds); i++)
		if (speeds[i].baud == baud)
			return speeds[i].code;
	return BOTHER;
}

bool
serial_tty_is_pty(int fd)
{
	struct stat st;
	unsigned n;

	if (fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode))
		return false;
	n = major(st.st_rdev);
	return n == PTY_MAJOR_BSD ||
	    (n >= PTY_MAJOR_FIRST && n <= PTY_MAJOR_LAST);
}

/* --- the line ------------------------------------------------------------ */

/*
 * Without IGNBRK a break would be read as a NUL byte; the driver counts it in either
 * case.
 */
static void
make_raw(struct termios2 *t)
{
	t->c_iflag = IGNBRK;
	t->c_oflag = 0;
	t->c_lflag = 0;
	t->c_cflag |= CREAD | CLOCAL;
	t->c_cc[VMIN] = 1;
	t->c_cc[VTIME] = 0;
	t->c_cc[VSTART] = 0x11;
	t->c_cc[VSTOP] = 0x13;
}

int
serial_tty_raw(int fd)
{
	struct termios2 t;
	bool cooked;

	if (ioctl(fd, TCGETS2, &t) < 0)
		return -errno;
	cooked = t.c_lflag & (ICANON | ECHO);
	make_raw(&t);
	t.c_cflag = (t.c_cflag & ~FORMAT_FLAGS) | CS8;
	if (ioctl(fd, TCSETS2, &t) < 0)
		return -errno;
	if ((cooked || !serial_tty_is_pty(fd)) &&
	    ioctl(fd, TCFLSH, TCIFLUSH) < 0)
		return -errno;
	return 0;
}

static const tcflag_t bits[] = { CS5, CS6, CS7, CS8 };
static const struct {
	char letter;
	tcflag_t flags;
} parity[] = { { 'N', 0 }, { 'E', PARENB }, { 'O', PARENB | PARODD },
	{ 'M', PARENB | PARODD | CMSPAR }, { 'S', PARENB | CMSPAR } };

static tcflag_t
format_flags(const struct serial_mode *mode)
{
	tcflag_t flags = bits[mode->bits - 5];

	for (size_t i = 0; i < NELEM(parity); i++)
		if (parity[i].letter == mode->parity)
			flags |= parity[i].flags;
	return flags | (mode->stop == 2 ? CSTOPB : 0);
}

static void
make_line(struct termios2 *t, const struct line_settings *line, bool hangup)
{
	make_raw(t);
	if (line->mode.parity != 'N')
		t->c_iflag |= INPCK;
	if (line->flow == FLOW_XONXOFF)
		t->c_iflag |= IXON | IXOFF;
	t->c_cflag &=
	    ~(FORMAT_FLAGS | CRTSCTS | HUPCL | CBAUD | (CBAUD << IBSHIFT));
	t->c_cflag |= format_flags(&line->mode);
	if (line->flow == FLOW_RTSCTS)
		t->c_cflag |= CRTSCTS;
	if (hangup)
		t->c_cflag |= HUPCL;
	t->c_cflag |= speed_code(line->baud);
	t->c_ispeed = t->c_ospeed = (speed_t)line->baud;
}

/* "8N1" of flags; 'M' and 'S' are mark and space parity. */
static const char *
mode_text(tcflag_t flags, char buf[4])
{
	tcflag_t size = flags & CSIZE;
	bool odd = flags & PARODD;

	buf[0] = size == CS5 ? '5'
	    : size == CS6    ? '6'
	    : size == CS7    ? '7'
			     : '8';
	if (!(flags & PARENB))
		buf[1] = 'N';
	else if (flags & CMSPAR)
		buf[1] = odd ? 'M' : 'S';
	else
		buf[1] = odd ? 'O' : 'E';
	buf[2] = flags & CSTOPB ? '2' : '1';
	buf[3] = '\0';
	return buf;
}

/* Describes the settings that the driver did not accept; "" when it accepted all. */
static void
difference(int fd, const struct termios2 *want, char *buf, size_t size)
{
	struct termios2 t;
	char wanted[4], has[4];

	buf[0] = '\0';
	if (ioctl(fd, TCGETS2, &t) < 0)
		return;
	if ((t.c_cflag ^ want->c_cflag) & CRTSCTS)
		append(buf, size, "the driver has no RTS/CTS flow control");
	if ((t.c_iflag ^ want->c_iflag) & (IXON | IXOFF))
		append(buf, size, "%sthe driver has no XON/XOFF flow control",
		    buf[0] != '\0' ? "; " : "");
	if ((t.c_cflag ^ want->c_cflag) & FORMAT_FLAGS)
		append(buf, size,
		    "%sthe driver does not do mode %s (bits, parity, stop):"
		    " the line runs at %s",
		    buf[0] != '\0' ? "; " : "",
		    mode_text(want->c_cflag, wanted),
		    mode_text(t.c_cflag, has));
	if (!line_baud_matches(want->c_ospeed, t.c_ospeed))
		append(buf, size, "%sthe line runs at %u baud instead of %u",
		    buf[0] != '\0' ? "; " : "", t.c_ospeed, want->c_ospeed);
}

static int
no_dtrdsr(struct error *err)
{
	return error_fail(err, -EOPNOTSUPP,
	    "Linux has no DTR/DSR flow control; flow = rtscts,"
	    " xonxoff or none would do");
}

int
serial_tty_line(int fd, const char *name, const struct line_settings *line,
    bool hangup, bool strict, struct error *err)
{
	struct termios2 old, t;
	char words[256];
	int r;

	if (line->flow == FLOW_DTRDSR)
		return no_dtrdsr(err);
	if (ioctl(fd, TCGETS2, &old) < 0)
		goto fail;
	t = old;
	make_line(&t, line, hangup);
	/* Some drivers disturb the line even when the settings do not change. */
	if (memcmp(&t, &old, sizeof(t)) != 0 && ioctl(fd, TCSETS2, &t) < 0)
		goto fail;
	difference(fd, &t, words, sizeof(words));
	if (words[0] == '\0')
		return 0;
	if (!strict) {
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name, "%s", words);
		return 0;
	}
	error_set(err, "%s", words);
	/* What a pty does not do makes no difference to its data. */
	if (serial_tty_is_pty(fd))
		return 0;
	ioctl(fd, TCSETS2, &old);
	return -EOPNOTSUPP;
fail:
	r = -errno;
	return error_fail(err, r, "cannot set the line: %s",
	    r == -EIO ? "no hardware after this device" : strerror(-r));
}

int
serial_tty_settings(int fd, struct line_settings *ret)
{
	struct serial_mode *mode = &ret->mode;
	struct termios2 t;

	if (ioctl(fd, TCGETS2, &t) < 0)
		return -errno;
	ret->baud = t.c_ospeed;
	for (size_t i = 0; i < NELEM(bits); i++)
		if ((t.c_cflag & CSIZE) == bits[i])
			mode->bits = 5 + (int)i;
	mode->parity = 'N';
	for (size_t i = 0; t.c_cflag & PARENB && i < NELEM(parity); i++)
		if ((t.c_cflag & (PARENB | PARODD | CMSPAR)) == parity[i].flags)
			mode->parity = parity[i].letter;
	mode->stop = t.c_cflag & CSTOPB ? 2 : 1;
	ret->flow = t.c_cflag & CRTSCTS	 ? FLOW_RTSCTS
	    : t.c_iflag & (IXON | IXOFF) ? FLOW_XONXOFF
					 : FLOW_NONE;
	return 0;
}

/* --- signals and special drivers ----------------------------------------- */

static int
set_signal(int fd, int bit, int how)
{
	int now;

	if (how == LINE_KEEP ||
	    (ioctl(fd, TIOCMGET, &now) == 0 &&
		!(now & bit) == (how == LINE_OFF)))
		return 0;
	return ioctl(fd, how == LINE_ON ? TIOCMBIS : TIOCMBIC, &bit) < 0
	    ? -errno
	    : 0;
}

int
serial_tty_signals(int fd, const struct serial_conf *conf, struct error *err)
{
	const struct {
		const char *name;
		int bit, how;
	} lines[] = { { "DTR", TIOCM_DTR, conf->dtr.line },
		{ "RTS", TIOCM_RTS, conf->rts } };

	for (int i = 0; i < 2; i++) {
		int n = i ^ conf->dtr.after_rts;
		int r = set_signal(fd, lines[n].bit, lines[n].how);

		if (r < 0)
			return error_fail(err, r, "cannot set %s: %s",
			    lines[n].name,
			    serial_tty_is_pty(fd)
				? "a pseudo-terminal has no modem lines"
				: strerror(-r));
	}
	return 0;
}

static bool
same_rs485(const struct serial_rs485 *a, const struct serial_rs485 *b)
{
	return ((a->flags ^ b->flags) & 0x1f) == 0 &&
	    a->delay_rts_before_send == b->delay_rts_before_send &&
	    a->delay_rts_after_send == b->delay_rts_after_send;
}

int
serial_tty_rs485(
    int fd, const char *name, const struct serial_conf *conf, struct error *err)
{
	struct serial_rs485 rs = { 0 }, got;
	int r;

	if (conf->rs485)
		rs.flags = SER_RS485_ENABLED;
	if (conf->rs485_rts_on_send)
		rs.flags |= SER_RS485_RTS_ON_SEND;
	if (conf->rs485_rts_after_send)
		rs.flags |= SER_RS485_RTS_AFTER_SEND;
	if (conf->rs485_rx_during_tx)
		rs.flags |= SER_RS485_RX_DURING_TX;
	rs.delay_rts_before_send =
	    (uint32_t)(conf->rs485_delay_before / NSEC_PER_MSEC);
	rs.delay_rts_after_send =
	    (uint32_t)(conf->rs485_delay_after / NSEC_PER_MSEC);
	if (ioctl(fd, TIOCGRS485, &got) == 0 && same_rs485(&got, &rs))
		return 0;
	got = rs;
	if (ioctl(fd, TIOCSRS485, &got) < 0) {
		r = -errno;
		return error_fail(err, r, "cannot set RS-485: %s",
		    r == -ENOTTY ? "the driver has no such mode; an adapter "
				   "that switches"
				   " by itself needs none"
				 : strerror(-r));
	}
	if (conf->rs485 && !same_rs485(&got, &rs))
		log_to(LOG_WARNING, ABOUT_ENDPOINT, name,
		    "the driver does RS-485 otherwise than asked:"
		    " RTS %s while sending, %s after it, delays %u and %u ms",
		    got.flags & SER_RS485_RTS_ON_SEND ? "on" : "off",
		    got.flags & SER_RS485_RTS_AFTER_SEND ? "on" : "off",
		    got.delay_rts_before_send, got.delay_rts_after_send);
	return 0;
}

int
serial_tty_low_latency(int fd, bool on, struct error *err)
{
	struct serial_struct ss;
	int r;

	if (ioctl(fd, TIOCGSERIAL, &ss) < 0)
		goto fail;
	if (!(ss.flags & ASYNC_LOW_LATENCY) == !on)
		return 0;
	ss.flags ^= ASYNC_LOW_LATENCY;
	if (ioctl(fd, TIOCSSERIAL, &ss) == 0)
		return 0;
fail:
	r = -errno;
	return error_fail(err, r, "cannot set low latency: %s",
	    r == -ENOTTY || r == -EINVAL ? "the driver has no such mode"
					 : strerror(-r));
}

int
serial_tty_set_signals(int fd, unsigned mask, unsigned levels)
{
	int on = (int)(mask & levels), off = (int)(mask & ~levels), now = 0;
	int r;

	if (on == 0)
		r = ioctl(fd, TIOCMBIC, &off);
	else if (off == 0)
		r = ioctl(fd, TIOCMBIS, &on);
	else if ((r = ioctl(fd, TIOCMGET, &now)) == 0) {
		now = (now & ~off) | on;
		r = ioctl(fd, TIOCMSET, &now);
	}
	return r < 0 ? -errno : 0;
}

int
serial_tty_get_signals(int fd, unsigned *ret)
{
	int now;

	if (ioctl(fd, TIOCMGET, &now) < 0)
		return -errno;
	*ret = (unsigned)now &
	    (TIOCM_DTR | TIOCM_RTS | TIOCM_CTS | TIOCM_DSR | TIOCM_RNG |
		TIOCM_CAR);
	return 0;
}

int
serial_tty_break(int fd, bool on)
{
	return ioctl(fd, on ? TIOCSBRK : TIOCCBRK) < 0 ? -errno : 0;
}

int
serial_tty_errors(int fd, struct line_errors *ret)
{
	struct serial_icounter_struct c;

	if (ioctl(fd, TIOCGICOUNT, &c) < 0)
		return -errno;
	ret->frame = (uint64_t)c.frame;
	ret->parity = (uint64_t)c.parity;
	ret->overrun = (uint64_t)(c.overrun + c.buf_overrun);
	ret->breaks = (uint64_t)c.brk;
	return 0;
}

unsigned
serial_tty_unsent(int fd)
{
	int n;

	if (serial_tty_is_pty(fd) || ioctl(fd, TIOCOUTQ, &n) < 0 || n < 0)
		return 0;
	return (unsigned)n;
}

void
serial_tty_discard(int fd)
{
	if (!serial_tty_is_pty(fd))
		ioctl(fd, TCFLSH, TCOFLUSH);
}

int
serial_tty_purge(int fd, bool input, bool output)
{
	if (input && ioctl(fd, TCFLSH, TCIFLUSH) < 0)
		return -errno;
	if (output)
		serial_tty_discard(fd);
	return 0;
}
