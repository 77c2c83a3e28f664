/*
 * line_control: the settings and signals of a serial line, for those who control it
 * without changing its section, such as clients of RFC 2217.
 */
#ifndef LINE_CONTROL_H
#define LINE_CONTROL_H

#include <stdbool.h>
#include <stdint.h>

struct endpoint;
struct error;

enum flow { FLOW_NONE, FLOW_RTSCTS, FLOW_XONXOFF, FLOW_DTRDSR };

/* "8N1": data bits, parity, stop bits. */
struct serial_mode {
	int bits;    /* 5 to 8 */
	char parity; /* N E O M S */
	int stop;    /* 1 or 2 */
};

struct line_settings {
	uint64_t baud;
	struct serial_mode mode;
	int flow; /* enum flow */
};

/* A receiver stays synchronized while the speeds of both ends differ by no more than this
 * percentage. */
#define LINE_BAUD_PERCENT 2

static inline bool
line_baud_matches(uint64_t wanted, uint64_t baud)
{
	uint64_t off = baud > wanted ? baud - wanted : wanted - baud;

	return off * 100 <= wanted * LINE_BAUD_PERCENT;
}

/* Functions of an endpoint that is a serial line.  They return -errno on failure;
 * -ENOTCONN: the line is not open. */
struct line_ops {
	/* Gets the settings that the line has now, which may differ from those that
	 * were requested; of a line that is not open, those with which it will be
	 * opened. */
	int (*get)(const struct endpoint *, struct line_settings *ret);
	/* Gets what the section says: the settings, and the levels (TIOCM_*) of those of
	 * DTR and RTS that it sets, which are in *ret_mask. */
	void (*section)(const struct endpoint *, struct line_settings *ret,
	    unsigned *ret_mask, unsigned *ret_levels);
	/*
	 * Changes the settings, and leaves the section as it is.  They last until the
	 * next call, or until a key of the line is set, also when the line is lost and
	 * reopened.  A line that is not open gets them when it is opened.  On failure
	 * err is set and nothing is changed.  On success err may be set, too: to what
	 * the line does otherwise.
	 */
	int (*set)(
	    struct endpoint *, const struct line_settings *, struct error *err);
	/* Whether get() knows the result of set(): a line of another machine answers
	 * later, or not at all, which is not waited for long.  NULL: always. */
	bool (*settled)(const struct endpoint *);
	/* Sets the signals of mask (TIOCM_DTR, TIOCM_RTS) to these levels: at once, and
	 * both at the same time. */
	int (*set_signals)(struct endpoint *, unsigned mask, unsigned levels);
	/* Gets the signals: TIOCM_DTR, RTS, CTS, DSR, RNG and CAR. */
	int (*signals)(const struct endpoint *, unsigned *ret);
	/* Starts or ends a break; a break of limited length ends, too. */
	int (*set_break)(struct endpoint *, bool on);
	/* Whether a break is in progress that set_break() has started. */
	bool (*in_break)(const struct endpoint *);
	/* Discards what the driver has received and this process has not read, or
	 * what it has not sent yet. */
	int (*purge)(struct endpoint *, bool input, bool output);
};

#endif
