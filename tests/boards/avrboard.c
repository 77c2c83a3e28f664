/*
 * avrboard: one emulated Arduino Uno whose serial port is a pty.
 *
 * The firmware runs on libsimavr in slices of half a millisecond; after each the
 * pty is served, then the board sleeps until the clock of the host has caught up.
 * A board that cannot keep up slips rather than race.
 *
 * Bytes travel as on a wire, one in each character time of the firmware's baud
 * rate, counted in cycles of the MCU:
 *
 *   firmware -> UDR0 -> leaving -(a character time)-> to_host -> pty
 *   pty -> from_host -(a character time)-> UDR0 -> firmware
 *
 * to_host and from_host are what the USB adapter of a board can hold.  While
 * from_host is full the pty is not read, so the host has to wait; while the host
 * does not read, to_host fills up and what comes then is lost.
 *
 * A pty has no DTR.  Either opening it is taken as DTR's rise, or tests/fault/uart.c
 * keeps the lines of the port in the program that opens it, and the board sees them.
 */
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <asm/termbits.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include <simavr/sim_avr.h>
#include <simavr/sim_elf.h>
#include <simavr/avr_uart.h>

#include "../fault/uart.h"

#define MCU "atmega328p"
#define FREQUENCY 16000000UL
#define MHZ 1000000
#define SLICE (FREQUENCY / 2000) /* cycles between looks at the pty */
#define STRETCH 100		 /* cycles simavr runs without a look around */
#define NSEC 1000000000ULL
#define SLIP (NSEC / 10) /* further behind: time is given up */
#define RING 1024	 /* a power of two */
#define BOOT_MIN 512	 /* sizes of a boot section */
#define BOOT_MAX 4096

struct ring {
	uint8_t data[RING];
	unsigned head, tail;
};

struct counts {
	unsigned long sent;	/* by the firmware, taken by the pty */
	unsigned long received; /* given to the firmware's UART */
	unsigned long lost;	/* by either, and never arrived */
	unsigned long early;	/* before the firmware listened, at its start */
	unsigned long unheard;	/* sent while nobody had the port open */
	unsigned long garbled;
	unsigned long resets;
};

struct board {
	avr_t *avr;
	avr_uart_t *uart;
	avr_irq_t *input;
	avr_io_t io;	  /* is told of resets */
	const char *link; /* NULL: none */
	int master;	  /* -1: unplugged */
	bool open;	  /* somebody has the slave open */
	bool dtr;
	bool reset_on_open;
	const char *boot;	 /* a boot loader; NULL: none */
	const char *flash;	 /* a file that shows the flash; NULL: none */
	struct uart_line *lines; /* of all ptys; NULL: they have none */
	struct uart_line *line;	 /* of this one */
	uint32_t rises;		 /* of its DTR, up to now */
	bool check_speed;
	struct ring leaving; /* in the UART, on its way out */
	struct ring to_host;
	struct ring from_host;
	struct counts counts;
	uint64_t start_ns;
	uint64_t epoch_ns; /* when cycle 0 would have been */
};

static uint64_t
now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * NSEC + ts.tv_nsec;
}

static unsigned
ring_used(const struct ring *r)
{
	return r->tail - r->head;
}

static bool
ring_put(struct ring *r, uint8_t byte)
{
	if (ring_used(r) == RING)
		return false;
	r->data[r->tail++ % RING] = byte;
	return true;
}

static uint8_t
ring_get(struct ring *r)
{
	return r->data[r->head++ % RING];
}

static unsigned
ring_clear(struct ring *r)
{
	unsigned used = ring_used(r);

	r->head = r->tail;
	return used;
}

/* --- the wire ------------------------------------------------------------ */

static unsigned
bit_cycles(const struct board *b)
{
	const avr_uart_t *u = b->uart;
	unsigned divisor = avr_regbit_get(b->avr, u->ubrrl) |
	    avr_regbit_get(b->avr, u->ubrrh) << 8;

	return (divisor + 1) * (avr_regbit_get(b->avr, u->u2x) ? 8 : 16);
}

/* simavr counts a parity bit whether there is one or not. */
static unsigned
char_cycles(const struct board *b)
{
	unsigned control = b->avr->data[b->uart->r_ucsrc];
	unsigned data = 5 + (control >> 1 & 3);
	unsigned parity = control >> 5 & 1;
	unsigned stop = 1 + (control >> 3 & 1);

	return bit_cycles(b) * (1 + data + parity + stop);
}

static unsigned
board_baud(const struct board *b)
{
	return FREQUENCY / bit_cycles(b);
}

/* What a receiver makes of a byte when the host's speed is over 4 % off. */
static uint8_t
over_the_wire(struct board *b, uint8_t byte)
{
	struct termios2 t;
	uint64_t baud = board_baud(b);

	if (!b->check_speed || ioctl(b->master, TCGETS2, &t) == -1)
		return byte;
	if (t.c_ospeed * 100ULL >= baud * 96 &&
	    t.c_ospeed * 100ULL <= baud * 104)
		return byte;
	b->counts.garbled++;
	return byte * 5 + 0x5b;
}

/* A byte's stop bit has passed. */
static avr_cycle_count_t
on_byte_out(avr_t *avr, avr_cycle_count_t when, void *arg)
{
	struct board *b = arg;
	uint8_t byte = ring_get(&b->leaving);

	(void)avr;
	if (!b->open)
		b->counts.unheard++;
	else if (!ring_put(&b->to_host, over_the_wire(b, byte)))
		b->counts.lost++;
	return ring_used(&b->leaving) > 0 ? when + char_cycles(b) : 0;
}

/* The firmware has written to UDR0. */
static void
on_output(struct avr_irq_t *irq, uint32_t byte, void *arg)
{
	struct board *b = arg;

	(void)irq;
	b->uart->cycles_per_byte = char_cycles(b);
	if (ring_used(&b->leaving) == 0)
		avr_cycle_timer_register(
		    b->avr, char_cycles(b), on_byte_out, b);
	if (!ring_put(&b->leaving, byte))
		b->counts.lost++;
}

/*
 * A byte for the firmware begins, ready or not; simavr shows it to the firmware
 * one character time later.  Runs once more behind the last one, while that is
 * on its way.
 */
static avr_cycle_count_t
on_byte_in(avr_t *avr, avr_cycle_count_t when, void *arg)
{
	struct board *b = arg;
	uint8_t byte;

	if (ring_used(&b->from_host) == 0)
		return 0;
	byte = ring_get(&b->from_host);
	b->uart->cycles_per_byte = char_cycles(b);
	if (!avr_regbit_get(avr, b->uart->rxen)) {
		b->counts.early++;
	} else {
		avr_raise_irq(b->input, over_the_wire(b, byte));
		if (avr_regbit_get(avr, b->uart->dor))
			b->counts.lost++;
		else
			b->counts.received++;
	}
	return when + char_cycles(b);
}

/* --- the pty ------------------------------------------------------------- */

/*
 * Raw, so that nothing is echoed to the board before the host has set it up; and
 * with HUPCL, as a serial port comes up.
 */
static int
pty_setup(const char *name)
{
	struct termios2 t;
	int fd, error = 0;

	if ((fd = open(name, O_RDWR | O_NOCTTY | O_CLOEXEC)) == -1)
		return -errno;
	if (ioctl(fd, TCGETS2, &t) == -1) {
		error = -errno;
	} else {
		t.c_iflag = t.c_oflag = t.c_lflag = 0;
		t.c_cflag |= CS8 | CREAD | HUPCL;
		t.c_cc[VMIN] = 1;
		t.c_cc[VTIME] = 0;
		if (ioctl(fd, TCSETS2, &t) == -1)
			error = -errno;
	}
	close(fd);
	return error;
}

/* Points the link at the pty, in one step for whoever looks. */
static int
link_make(const char *link, const char *name)
{
	char temporary[PATH_MAX];
	int n = snprintf(temporary, sizeof temporary, "%s.new", link);

	if (n < 0 || (size_t)n >= sizeof temporary)
		return -ENAMETOOLONG;
	unlink(temporary);
	if (symlink(name, temporary) == -1 || rename(temporary, link) == -1)
		return -errno;
	return 0;
}

static struct uart_line *
line_of(const struct board *b, const char *pty)
{
	struct stat st;

	if (stat(pty, &st) == -1)
		err(1, "%s", pty);
	if (minor(st.st_rdev) >= UART_LINES)
		errx(1, "%s: there are lines of %d ptys only", pty, UART_LINES);
	return &b->lines[minor(st.st_rdev)];
}

static void
board_plug(struct board *b)
{
	char name[64];

	if (b->master != -1)
		return;
	b->master = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
	if (b->master == -1 || grantpt(b->master) == -1 ||
	    unlockpt(b->master) == -1 ||
	    ptsname_r(b->master, name, sizeof name) != 0)
		err(1, "no pty");
	if ((errno = -pty_setup(name)) != 0)
		err(1, "%s", name);
	b->open = b->dtr = false;
	if (b->lines != NULL) {
		b->line = line_of(b, name);
		b->rises = b->line->rises;
	}
	if (b->link != NULL && (errno = -link_make(b->link, name)) != 0)
		err(1, "%s", b->link);
	printf("plugged in as %s\n", b->link != NULL ? b->link : name);
}

static void
board_unplug(struct board *b)
{
	if (b->master == -1)
		return;
	if (b->link != NULL)
		unlink(b->link);
	close(b->master);
	b->master = -1;
	b->open = false;
	b->counts.lost += ring_clear(&b->to_host);
	b->counts.lost += ring_clear(&b->from_host);
	printf("unplugged\n");
}

/* The MCU has been reset, with all its timers, also by its watchdog. */
static void
on_reset(avr_io_t *io)
{
	struct board *b =
	    (struct board *)((char *)io - offsetof(struct board, io));

	b->counts.unheard += ring_clear(&b->leaving);
	if (ring_used(&b->from_host) > 0)
		avr_cycle_timer_register(b->avr, 1, on_byte_in, b);
}

/* By the reset pin. */
static void
board_reset(struct board *b)
{
	b->counts.early += ring_clear(&b->from_host);
	avr_reset(b->avr);
	avr_regbit_set(b->avr, b->avr->reset_flags.extrf);
	b->counts.resets++;
	printf("reset\n");
}

/*
 * Opening raises DTR; closing lets it fall only where HUPCL is set.  The board is
 * reset by the rise.
 */
static void
host_came_or_went(struct board *b, bool open)
{
	struct termios2 t;

	b->open = open;
	printf("%s\n", open ? "opened" : "closed");
	if (!open) {
		b->counts.unheard += ring_clear(&b->to_host);
		if (ioctl(b->master, TCGETS2, &t) == -1 || t.c_cflag & HUPCL)
			b->dtr = false;
	} else if (!b->dtr && b->line == NULL) {
		b->dtr = true;
		if (b->reset_on_open)
			board_reset(b);
	}
}

static void
host_read(struct board *b)
{
	uint8_t buf[RING];
	unsigned room = RING - ring_used(&b->from_host);
	ssize_t n = room > 0 ? read(b->master, buf, room) : 0;

	for (ssize_t i = 0; i < n; i++)
		ring_put(&b->from_host, buf[i]);
	if (n > 0 && avr_cycle_timer_status(b->avr, on_byte_in, b) == 0)
		avr_cycle_timer_register(b->avr, 1, on_byte_in, b);
}

static void
host_write(struct board *b)
{
	struct ring *r = &b->to_host;
	unsigned start = r->head % RING;
	unsigned len = ring_used(r);
	ssize_t n;

	if (len > RING - start)
		len = RING - start;
	if (len > 0 && (n = write(b->master, r->data + start, len)) > 0) {
		r->head += n;
		b->counts.sent += n;
	}
}

static void
serve_pty(struct board *b)
{
	struct pollfd pfd = { .fd = b->master, .events = POLLIN };
	bool open;

	if (b->master == -1 || poll(&pfd, 1, 0) == -1)
		return;
	open = !(pfd.revents & POLLHUP);
	if (open != b->open)
		host_came_or_went(b, open);
	if (b->line != NULL && b->line->rises != b->rises) {
		b->rises = b->line->rises;
		board_reset(b);
	}
	if (pfd.revents & POLLIN)
		host_read(b);
	if (b->open)
		host_write(b);
}

/* --- the board ----------------------------------------------------------- */

static avr_uart_t *
find_uart(avr_t *avr)
{
	for (avr_io_t *io = avr->io_port; io != NULL; io = io->next) {
		avr_uart_t *uart = (avr_uart_t *)io;

		if (strcmp(io->kind, "uart") == 0 && uart->name == '0')
			return uart;
	}
	return NULL;
}

/* Errors alone: what libsimavr says while it loads is of no use here. */
static void
log_errors(avr_t *avr, const int level, const char *format, va_list ap)
{
	(void)avr;
	if (level <= LOG_ERROR)
		vfprintf(stderr, format, ap);
}

/* Time is kept by the slices alone. */
static void
no_sleep(avr_t *avr, avr_cycle_count_t cycles)
{
	(void)avr;
	(void)cycles;
}

/* The file is that of FAULT_UART, which the test has made. */
static void
map_lines(struct board *b, const char *path)
{
	size_t size = UART_LINES * sizeof(struct uart_line);
	struct stat st;
	int fd;

	if ((fd = open(path, O_RDONLY | O_CLOEXEC)) == -1 ||
	    fstat(fd, &st) == -1)
		err(1, "%s", path);
	if ((size_t)st.st_size < size)
		errx(1, "%s: too short for the lines of %d ptys", path,
		    UART_LINES);
	b->lines = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
	if (b->lines == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
}

/* The flash moves into a file, in which a test can watch it. */
static void
map_flash(avr_t *avr, const char *path)
{
	size_t size = avr->flashend + 4; /* as avr_init() allocates it */
	uint8_t *flash;
	int fd;

	if ((fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) == -1 ||
	    ftruncate(fd, size) == -1)
		err(1, "%s", path);
	flash = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (flash == MAP_FAILED)
		err(1, "%s", path);
	close(fd);
	memcpy(flash, avr->flash, size);
	free(avr->flash);
	avr->flash = flash;
}

/* The file fills the boot section, which is at the end of the flash. */
static void
load_boot(avr_t *avr, const char *path)
{
	uint8_t boot[BOOT_MAX + 1];
	size_t len;
	FILE *f;

	if ((f = fopen(path, "re")) == NULL)
		err(1, "%s", path);
	len = fread(boot, 1, sizeof boot, f);
	fclose(f);
	if (len < BOOT_MIN || len > BOOT_MAX || (len & (len - 1)) != 0)
		errx(1, "%s: not 512, 1024, 2048 or 4096 bytes", path);
	avr->reset_pc = avr->flashend + 1 - len;
	avr_loadcode(avr, boot, len, avr->reset_pc);
	avr->pc = avr->reset_pc;
}

static void
board_load(struct board *b, const char *path)
{
	elf_firmware_t firmware = { 0 };
	uint32_t no_flags = 0;
	avr_irq_t *output;

	avr_global_logger_set(log_errors);
	if (access(path, R_OK) == -1)
		err(1, "%s", path);
	if (elf_read_firmware(path, &firmware) == -1 || firmware.flashsize == 0)
		errx(1, "%s: not a firmware in ELF format", path);
	firmware.frequency = FREQUENCY;
	if ((b->avr = avr_make_mcu_by_name(MCU)) == NULL)
		errx(1, "libsimavr knows no %s", MCU);
	avr_init(b->avr);
	avr_load_firmware(b->avr, &firmware);
	if (b->flash != NULL)
		map_flash(b->avr, b->flash);
	if (b->boot != NULL)
		load_boot(b->avr, b->boot);
	b->io.kind = "board";
	b->io.reset = on_reset;
	avr_register_io(b->avr, &b->io);
	b->avr->sleep = no_sleep;
	if ((b->uart = find_uart(b->avr)) == NULL)
		errx(1, "%s has no UART", MCU);
	avr_ioctl(b->avr, AVR_IOCTL_UART_SET_FLAGS('0'), &no_flags);
	b->input = b->uart->io.irq + UART_IRQ_INPUT;
	output = b->uart->io.irq + UART_IRQ_OUTPUT;
	avr_irq_register_notify(output, on_output, b);
}

/* False when the firmware has ended or crashed. */
static bool
run_slice(struct board *b)
{
	avr_cycle_count_t end = b->avr->cycle + SLICE;
	int state;

	b->avr->run_cycle_limit = STRETCH;
	do {
		state = avr_run(b->avr);
		if (state == cpu_Done || state == cpu_Crashed) {
			warnx("the firmware has %s",
			    state == cpu_Done ? "ended" : "crashed");
			return false;
		}
	} while (b->avr->cycle < end);
	return true;
}

/* Sleeps until the host's clock has caught up; the signal that came, or -1. */
static int
pace(struct board *b, const sigset_t *signals)
{
	uint64_t now = now_ns();
	uint64_t due = b->epoch_ns + b->avr->cycle * 1000 / (FREQUENCY / MHZ);
	struct timespec rest = { 0 };

	if (now > due + SLIP)
		b->epoch_ns += now - due;
	else if (now < due)
		rest.tv_nsec = due - now < NSEC ? due - now : NSEC - 1;
	return sigtimedwait(signals, NULL, &rest);
}

/* Until a signal ends it, the time is up (0: never) or the firmware fails. */
static bool
board_run(struct board *b, const sigset_t *signals, double seconds)
{
	b->start_ns = b->epoch_ns = now_ns();
	while (run_slice(b)) {
		serve_pty(b);
		switch (pace(b, signals)) {
		case SIGUSR1:
			board_unplug(b);
			break;
		case SIGUSR2:
			board_plug(b);
			break;
		case SIGINT:
		case SIGTERM:
			return true;
		}
		if (seconds > 0 && now_ns() - b->start_ns > seconds * NSEC)
			return true;
	}
	return false;
}

static void
print_statistics(const struct board *b, const char *firmware)
{
	const struct counts *c = &b->counts;
	const char *slash = strrchr(firmware, '/');
	double seconds = (now_ns() - b->start_ns) / (double)NSEC;
	double cpu;
	struct rusage ru;

	getrusage(RUSAGE_SELF, &ru);
	cpu = ru.ru_utime.tv_sec + ru.ru_stime.tv_sec +
	    (ru.ru_utime.tv_usec + ru.ru_stime.tv_usec) / 1e6;
	printf("%s: sent %lu received %lu lost %lu early %lu unheard %lu "
	       "garbled %lu "
	       "resets %lu baud %u MHz %.2f cpu %.0f%% seconds %.1f\n",
	    slash != NULL ? slash + 1 : firmware, c->sent, c->received, c->lost,
	    c->early, c->unheard, c->garbled, c->resets, board_baud(b),
	    b->avr->cycle / seconds / MHZ, 100 * cpu / seconds, seconds);
}

static void
usage(void)
{
	fprintf(stderr,
	    "usage: avrboard [-br] [-B boot.bin] [-f flash] [-l link] [-t "
	    "seconds]\n"
	    "                [-u lines] firmware.elf\n"
	    "  -B  a boot loader, which a reset starts\n"
	    "  -b  garble bytes when the host's speed is over 4 %% off\n"
	    "  -f  a file that shows the flash\n"
	    "  -l  a symbolic link to the pty\n"
	    "  -r  reset the board when the port is opened\n"
	    "  -t  end after that time\n"
	    "  -u  the file of FAULT_UART: reset the board when DTR rises "
	    "there\n"
	    "USR1 unplugs, USR2 plugs in again, TERM prints statistics and "
	    "ends\n");
	exit(2);
}

static void
parse_options(struct board *b, int argc, char **argv, double *seconds)
{
	char *end;
	int c;

	while ((c = getopt(argc, argv, "B:bf:l:rt:u:")) != -1) {
		switch (c) {
		case 'B':
			b->boot = optarg;
			break;
		case 'b':
			b->check_speed = true;
			break;
		case 'f':
			b->flash = optarg;
			break;
		case 'l':
			b->link = optarg;
			break;
		case 'r':
			b->reset_on_open = true;
			break;
		case 't':
			*seconds = strtod(optarg, &end);
			if (end == optarg || *end != '\0' || *seconds <= 0)
				errx(2, "-t %s: not a time in seconds", optarg);
			break;
		case 'u':
			map_lines(b, optarg);
			break;
		default:
			usage();
		}
	}
	if (argc - optind != 1)
		usage();
}

int
main(int argc, char **argv)
{
	static struct board board = { .master = -1 };
	sigset_t signals;
	double seconds = 0;
	bool well;

	parse_options(&board, argc, argv, &seconds);
	setvbuf(stdout, NULL, _IOLBF, 0);
	sigemptyset(&signals);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGUSR1);
	sigaddset(&signals, SIGUSR2);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	board_load(&board, argv[optind]);
	board_plug(&board);
	well = board_run(&board, &signals, seconds);
	print_statistics(&board, argv[optind]);
	if (board.master != -1 && board.link != NULL)
		unlink(board.link);
	return well ? 0 : 1;
}
