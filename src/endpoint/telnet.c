/*
 * telnet: options, commands, and the escaping of data.
 *
 * Without BINARY, data is that of the network virtual terminal: CR is followed by LF, or
 * by NUL if it stands alone.  CR LF is passed on as it is, in both directions.
 */
#include <string.h>

#include "scan.h"
#include "telnet.h"

/* States of the decoder. */
enum {
	AT_DATA,
	AT_IAC,	   /* after IAC */
	AT_OPTION, /* after IAC and telnet->command */
	AT_SUB,	   /* in a subnegotiation */
	AT_SUB_IAC /* after IAC in it */
};
#define PARSER_LAST AT_SUB_IAC

void
telnet_init(struct telnet *telnet, const struct telnet_option *options,
    unsigned n, void (*send)(void *, const uint8_t *, size_t), void *arg)
{
	memset(telnet, 0, sizeof(*telnet));
	telnet->options = options;
	telnet->noptions = MIN(n, (unsigned)TELNET_OPTIONS_MAX);
	telnet->send = send;
	telnet->arg = arg;
}

/* --- options --------------------------------------------------------------- */

static void
request(struct telnet *telnet, uint8_t command, uint8_t option)
{
	const uint8_t bytes[] = { TELNET_IAC, command, option };

	telnet->send(telnet->arg, bytes, sizeof(bytes));
}

/* The index of an option, -1: it is not known. */
static int
option_index(const struct telnet *telnet, uint8_t code)
{
	for (unsigned i = 0; i < telnet->noptions; i++)
		if (telnet->options[i].code == code)
			return (int)i;
	return -1;
}

bool
telnet_has(const struct telnet *telnet, uint8_t code, bool us)
{
	int i = option_index(telnet, code);

	return i >= 0 && (us ? telnet->us[i] : telnet->him[i]) == TELNET_YES;
}

static void
update_binary(struct telnet *telnet)
{
	int i = option_index(telnet, TELNET_BINARY);

	/* The other side that has received our offer takes what follows as binary. */
	telnet->binary_out = i >= 0 && telnet->us[i] != TELNET_NO;
	telnet->binary_in = telnet_has(telnet, TELNET_BINARY, false);
	telnet->cr = telnet->cr && !telnet->binary_in;
}

void
telnet_offer(struct telnet *telnet)
{
	for (unsigned i = 0; i < telnet->noptions; i++) {
		const struct telnet_option *option = &telnet->options[i];

		if (option->offer_us) {
			telnet->us[i] = TELNET_WANT_YES;
			request(telnet, TELNET_WILL, option->code);
		}
		if (option->offer_him) {
			telnet->him[i] = TELNET_WANT_YES;
			request(telnet, TELNET_DO, option->code);
		}
	}
	update_binary(telnet);
}

void
telnet_assume(struct telnet *telnet)
{
	for (unsigned i = 0; i < telnet->noptions; i++) {
		telnet->us[i] =
		    telnet->options[i].offer_us ? TELNET_YES : TELNET_NO;
		telnet->him[i] =
		    telnet->options[i].offer_him ? TELNET_YES : TELNET_NO;
	}
	update_binary(telnet);
}

/* The commands that agree to an option, and refuse it, for each side. */
static uint8_t
answer_command(bool us, bool agree)
{
	if (us)
		return agree ? TELNET_WILL : TELNET_WONT;
	return agree ? TELNET_DO : TELNET_DONT;
}

/* An option command was received. */
static void
option_received(struct telnet *telnet, uint8_t command, uint8_t code)
{
	bool us = command == TELNET_DO || command == TELNET_DONT;
	bool asks = command == TELNET_DO || command == TELNET_WILL;
	int i = option_index(telnet, code);
	const struct telnet_option *option;
	uint8_t *state, old;

	telnet->option = code;
	telnet->option_us = us;
	if (i < 0) {
		if (asks)
			request(telnet, answer_command(us, false), code);
		return;
	}
	option = &telnet->options[i];
	state = us ? &telnet->us[i] : &telnet->him[i];
	old = *state;
	if (!asks)
		*state = TELNET_NO;
	else if (old == TELNET_WANT_YES ||
	    (us ? option->accept_us : option->accept_him))
		*state = TELNET_YES;
	/* What was asked for is not answered, and neither is what was already so. */
	if (old == TELNET_NO ? asks : old == TELNET_YES && !asks)
		request(telnet, answer_command(us, *state == TELNET_YES), code);
	update_binary(telnet);
}

/* --- input ----------------------------------------------------------------- */

/* Whether the command is followed by an option. */
static bool
has_option(uint8_t command)
{
	return command >= TELNET_WILL && command <= TELNET_DONT;
}

static enum telnet_event
after_iac(struct telnet *telnet, uint8_t c)
{
	telnet->parser = AT_DATA;
	telnet->command = c;
	if (has_option(c)) {
		telnet->parser = AT_OPTION;
	} else if (c == TELNET_SB) {
		telnet->parser = AT_SUB;
		telnet->sub_len = 0;
		telnet->sub_long = false;
	} else if (c >= TELNET_NOP)
		return TELNET_COMMAND;
	return TELNET_NOTHING;
}

static void
sub_add(struct telnet *telnet, uint8_t c)
{
	if (telnet->sub_len < TELNET_SUB_MAX)
		telnet->sub[telnet->sub_len++] = c;
	else
		telnet->sub_long = true;
}

/* A subnegotiation ends with IAC SE; another command in it ends it, too. */
static enum telnet_event
after_sub_iac(struct telnet *telnet, uint8_t c)
{
	if (c == TELNET_IAC) {
		telnet->parser = AT_SUB;
		sub_add(telnet, c);
		return TELNET_NOTHING;
	}
	if (c == TELNET_SE && telnet->sub_len > 0 && !telnet->sub_long) {
		telnet->parser = AT_DATA;
		return TELNET_SUBNEGOTIATION;
	}
	telnet->malformed++;
	return after_iac(telnet, c);
}

/* Decodes one byte that is not data. */
static enum telnet_event
decode_byte(struct telnet *telnet, uint8_t c)
{
	switch (telnet->parser) {
	case AT_IAC:
		return after_iac(telnet, c);
	case AT_OPTION:
		telnet->parser = AT_DATA;
		option_received(telnet, telnet->command, c);
		return TELNET_OPTION;
	case AT_SUB:
		if (c == TELNET_IAC)
			telnet->parser = AT_SUB_IAC;
		else
			sub_add(telnet, c);
		return TELNET_NOTHING;
	default:
		return after_sub_iac(telnet, c);
	}
}

/* Removes the NUL after a CR; returns the number of bytes left. */
static size_t
decode_nvt(struct telnet *telnet, uint8_t *data, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; i < len; i++) {
		uint8_t c = data[i];

		if (c == '\0' && telnet->cr) {
			telnet->cr = false;
			continue;
		}
		telnet->cr = c == '\r';
		data[n++] = c;
	}
	return n;
}

/* Decodes data up to the next IAC that begins a command, or to stop. */
static void
decode_binary(uint8_t **out, const uint8_t **in, const uint8_t *stop)
{
	const uint8_t *iac;

	if (*out == *in) {
		iac = memchr(*in, TELNET_IAC, (size_t)(stop - *in));
		*in = iac != NULL ? iac : stop;
		*out += *in - *out;
	}
	for (;;) {
		scan_move(out, in, stop, TELNET_IAC);
		if (stop - *in < 2 || (*in)[1] != TELNET_IAC)
			break;
		*(*out)++ = TELNET_IAC;
		*in += 2;
	}
}

/* Decodes data up to the next IAC. */
static size_t
decode_data(
    struct telnet *telnet, uint8_t *out, const uint8_t **at, const uint8_t *end)
{
	const uint8_t *in = *at;
	uint8_t *to = out;

	if (telnet->binary_in) {
		decode_binary(&to, at, end);
		return (size_t)(to - out);
	}
	*at = memchr(in, TELNET_IAC, (size_t)(end - in));
	if (*at == NULL)
		*at = end;
	memmove(out, in, (size_t)(*at - in));
	return decode_nvt(telnet, out, (size_t)(*at - in));
}

size_t
telnet_decode(struct telnet *telnet, uint8_t *out, const uint8_t *in,
    size_t len, size_t *used, enum telnet_event *event)
{
	const uint8_t *at = in, *end = in + len;
	size_t n = 0;

	*event = TELNET_NOTHING;
	while (at < end && *event == TELNET_NOTHING) {
		if (telnet->parser == AT_DATA) {
			n += decode_data(telnet, out + n, &at, end);
			if (at == end)
				break;
			telnet->parser = AT_IAC;
			at++;
		} else if (telnet->parser == AT_IAC && *at == TELNET_IAC) {
			telnet->parser = AT_DATA;
			telnet->cr = false;
			out[n++] = *at++;
		} else
			*event = decode_byte(telnet, *at++);
	}
	*used = (size_t)(at - in);
	return n;
}

/* --- output ---------------------------------------------------------------- */

size_t
telnet_plain(const struct telnet *telnet, const uint8_t *data, size_t len)
{
	const uint8_t *p = memchr(data, TELNET_IAC, len);

	if (p != NULL)
		len = (size_t)(p - data);
	if (!telnet->binary_out && (p = memchr(data, '\r', len)) != NULL)
		len = (size_t)(p - data);
	return len;
}

size_t
telnet_encode(const struct telnet *telnet, const uint8_t *data, size_t len,
    uint8_t *out, size_t size, size_t *used)
{
	size_t n = 0, done = 0, run;
	bool alone;

	while (done < len && n < size) {
		run = MIN(
		    telnet_plain(telnet, data + done, len - done), size - n);
		memcpy(out + n, data + done, run);
		n += run;
		done += run;
		if (done == len || n == size)
			break;
		alone = data[done] == '\r' &&
		    (done + 1 == len || data[done + 1] != '\n');
		if (data[done] == '\r' && !alone) {
			out[n++] = data[done++];
			continue;
		}
		if (size - n < 2)
			break;
		out[n++] = data[done++];
		out[n++] = alone ? '\0' : TELNET_IAC;
	}
	*used = done;
	return n;
}

size_t
telnet_sub(uint8_t *out, uint8_t option, const uint8_t *data, size_t len)
{
	size_t n = 0;

	out[n++] = TELNET_IAC;
	out[n++] = TELNET_SB;
	out[n++] = option;
	for (size_t i = 0; i < len; i++) {
		out[n++] = data[i];
		if (data[i] == TELNET_IAC)
			out[n++] = TELNET_IAC;
	}
	out[n++] = TELNET_IAC;
	out[n++] = TELNET_SE;
	return n;
}

/* --- for the next process -------------------------------------------------- */

void
telnet_save(const struct telnet *telnet, struct pack *p)
{
	pack_number(p, telnet->noptions);
	for (unsigned i = 0; i < telnet->noptions; i++) {
		pack_number(p, telnet->options[i].code);
		pack_number(p, telnet->us[i]);
		pack_number(p, telnet->him[i]);
	}
	pack_number(p, telnet->parser);
	pack_number(p, telnet->cr);
	pack_number(p, telnet->command);
	pack_number(p, telnet->sub_long);
	pack_bytes(p, telnet->sub, telnet->sub_len);
}

void
telnet_restore(struct telnet *telnet, struct unpack *u)
{
	size_t n = unpack_count(u, 3 * sizeof(uint64_t));
	struct span sub;

	for (size_t j = 0; j < n; j++) {
		int i = option_index(
		    telnet, (uint8_t)unpack_number_to(u, UINT8_MAX));
		uint64_t us = unpack_number_to(u, TELNET_WANT_YES);
		uint64_t him = unpack_number_to(u, TELNET_WANT_YES);

		if (i < 0)
			continue;
		telnet->us[i] = (uint8_t)us;
		telnet->him[i] = (uint8_t)him;
	}
	telnet->parser = (uint8_t)unpack_number_to(u, PARSER_LAST);
	telnet->cr = unpack_bool(u);
	telnet->command = (uint8_t)unpack_number_to(u, UINT8_MAX);
	telnet->sub_long = unpack_bool(u);
	unpack_span(u, &sub);
	if (sub.len > sizeof(telnet->sub)) {
		u->failed = true;
		return;
	}
	if (sub.len > 0)
		memcpy(telnet->sub, sub.at, sub.len);
	telnet->sub_len = (unsigned)sub.len;
	update_binary(telnet);
}
