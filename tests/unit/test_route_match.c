/* route_match: what is told of NMEA, MAVLink and Modbus messages. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "filter.h"

#define GGA "$GPGGA,123519,4807.038,N*47"

static bool
nmea(const char *list, const char *payload)
{
	return match_nmea(list, (const uint8_t *)payload, strlen(payload));
}

/* Bytes in hexadecimal; *len is how many. */
static const uint8_t *
hex(const char *text, size_t *len)
{
	static uint8_t out[4][600];
	static unsigned turn;
	uint8_t *buf = out[turn++ % 4];
	char pair[3] = { 0 };

	for (*len = 0; *text != '\0';) {
		if (*text == ' ') {
			text++;
			continue;
		}
		memcpy(pair, text, 2);
		buf[(*len)++] = (uint8_t)strtoul(pair, NULL, 16);
		text += 2;
	}
	return buf;
}

static struct ranges
numbers(const char *value, uint32_t max)
{
	struct ranges ranges;
	struct error err;

	if (ranges_parse(value, max, "number", &ranges, &err) != 0)
		fail_msg("%s: %s", value, err.text);
	return ranges;
}

static bool
mavlink(const char *ids, const char *payload)
{
	const struct ranges ranges = numbers(ids, 0xffffff);
	size_t len;
	const uint8_t *bytes = hex(payload, &len);

	return match_mavlink(&ranges, bytes, len);
}

static bool
unit(const char *units, const uint8_t *payload, size_t len)
{
	const struct ranges ranges = numbers(units, 255);

	return match_unit(&ranges, NULL, payload, len);
}

static void
sentences_pass_by_their_name(void **state)
{
	(void)state;
	assert_true(nmea("GPGGA", GGA));
	assert_true(nmea("gpgga", GGA));
	assert_true(nmea("GPRMC, GPGGA", GGA));
	assert_false(nmea("GPRMC", GGA));
	assert_false(nmea("GPGG", GGA));
	assert_false(nmea("GPGGAX", GGA));
	assert_true(nmea("AIVDM", "!AIVDM,1,1,,A,13u?etPv2;0n:dDPwUM1U1Cb0,0"));
	assert_true(nmea("PGRME", "$PGRME,15.0,M,45.0,M,25.0,M*1C"));
	assert_true(nmea("HETXT", "$HETXT*00"));
}

static void
stars_stand_for_any_characters(void **state)
{
	(void)state;
	assert_true(nmea("GP*", GGA));
	assert_true(nmea("*GGA", GGA));
	assert_true(nmea("*", GGA));
	assert_true(nmea("G*P*A*", GGA));
	assert_true(nmea("??GGA", GGA));
	assert_false(nmea("GL*", GGA));
	assert_false(nmea("*RMC", GGA));
	assert_false(nmea("?GGA", GGA));
	assert_false(nmea("G*P*A?", GGA));
}

static void
an_exclamation_mark_leaves_out(void **state)
{
	(void)state;
	assert_true(nmea("GPGGA,GP*,!GPGSV", GGA));
	assert_true(nmea("GPGGA,GP*,!GPGSV", "$GPRMC,1"));
	assert_false(nmea("GPGGA,GP*,!GPGSV", "$GPGSV,1"));
	assert_false(nmea("!GPGSV,GP*", "$GPGSV,1"));
	assert_false(nmea("GPGGA,GP*,!GPGSV", "$GLGSV,1"));
	assert_true(nmea("!GPGSV", GGA));
	assert_true(nmea("!GPGSV !*RMC", "$GLGSV,1"));
	assert_false(nmea("!GPGSV !*RMC", "$GNRMC,1"));
}

static void
sentences_are_told_inner_and_behind_tags(void **state)
{
	(void)state;
	assert_true(nmea("GPGGA", "GPGGA,123519,4807.038,N"));
	assert_true(nmea("GPGGA", "\\s:gps,c:1*00\\" GGA));
	assert_false(nmea("GPGGA", "\\s:GPGGA,c:1*00" GGA));
	assert_false(nmea("*", ""));
	assert_false(nmea("*", "$"));
	assert_false(nmea("*", "\\"));
	assert_false(nmea("*", "$GP GGA,1"));
	assert_false(nmea("*", ",GPGGA"));
	assert_true(nmea("!GPGSV", "no sentence at all"));
}

static void
mavlink_messages_pass_by_their_id(void **state)
{
	static const char v1[] = "fe 09 4e 01 01 00 00000000 02 03 51 04 03"
				 "1c7f";
	static const char v2[] = "fd 09 00 00 4e 01 01 000000 00000000 02 03 51"
				 "04 03 72e4";
	static const char far[] = "fd 01 00 00 00 01 01 563412 aa 0000";

	(void)state;
	assert_true(mavlink("0", v1));
	assert_true(mavlink("0,30-33", v2));
	assert_false(mavlink("1-300", v1));
	assert_false(mavlink("1-300", v2));
	assert_true(mavlink("0x123456", far));
	assert_true(mavlink("1193045-1193047", far));
	assert_false(mavlink("86", far));
}

static void
mavlink_messages_are_told_inner_and_signed(void **state)
{
	(void)state;
	assert_true(mavlink("30", "02 4e 01 01 1e aaaa"));
	assert_false(mavlink("0", "02 4e 01 01 1e aaaa"));
	assert_true(mavlink("31", "02 00 00 4e 01 01 1f0000 aaaa"));
	assert_true(mavlink("31",
	    "02 01 00 4e 01 01 1f0000 aaaa"
	    "01020304050607080910111213"));
	assert_true(mavlink("31",
	    "fd 02 01 00 4e 01 01 1f0000 aaaa 0000"
	    "01020304050607080910111213"));
	/* Without the signature that it speaks of, or with half of it. */
	assert_false(mavlink("31",
	    "fd 02 01 00 4e 01 01 1f0000 aaaa 0000"
	    "010203"));
	/* And with bytes behind it that no flag speaks of, which version 1 lacks. */
	assert_false(mavlink("30",
	    "02 4f 01 01 1e aaaa"
	    "01020304050607080910111213"));
	assert_false(mavlink("30",
	    "fe 02 4f 01 01 1e aaaa 0000"
	    "01020304050607080910111213"));
	assert_false(mavlink("31",
	    "02 00 00 4e 01 01 1f0000 aaaa"
	    "01020304050607080910111213"));
	assert_false(mavlink("31",
	    "fd 02 00 00 4e 01 01 1f0000 aaaa 0000"
	    "01020304050607080910111213"));
	assert_false(mavlink("0-255", "02 4e 01"));
	assert_false(mavlink("0-255", ""));
	assert_false(mavlink("0-255", "fe"));
	assert_false(mavlink("0-255", "fd 09 00"));
}

/* An inner v1 message of 254 bytes, whose number makes it look like a whole one. */
static void
an_inner_message_is_not_taken_for_a_whole_one(void **state)
{
	const struct ranges ftp = numbers("110", 0xffffff);
	uint8_t body[259] = { 0xfe, 251, 1, 1, 110 };

	(void)state;
	assert_true(match_mavlink(&ftp, body, sizeof(body)));
}

static void
units_are_told_in_rtu_and_ascii(void **state)
{
	static const char text[] = ":01030000000AF2";
	static const uint8_t fifty_eight[] = { 58, '0', '1', '0', '3', '0',
		'0' };
	const uint8_t rtu[] = { 3, 3, 0, 0, 0, 10, 0xc5, 0xcd };

	(void)state;
	assert_true(unit("1-5", rtu, sizeof(rtu)));
	assert_true(unit("3", rtu, 6));
	assert_false(unit("1,2,4-255", rtu, sizeof(rtu)));
	assert_true(unit("1", (const uint8_t *)text, 15));
	assert_false(unit("58", (const uint8_t *)text, 15));
	/* The text of a message that is none: the sum is wrong. */
	assert_true(unit("58", fifty_eight, sizeof(fifty_eight)));
	assert_false(unit("0-255", rtu, 1));
	assert_false(unit("0-255", rtu, 0));
}

static bool
unit_of(const char *units, const char *text)
{
	size_t len;
	const uint8_t *bytes = hex(text, &len);

	return unit(units, bytes, len);
}

static void
units_are_told_in_tcp(void **state)
{
	(void)state;
	assert_true(unit_of("17", "0001 0000 0006 11 03 006b 0003"));
	assert_true(unit_of("0", "0001 0000 0006 00 06 006b 0003"));
	assert_true(unit_of("255", "0300 0000 0002 ff 07"));
	/* No such header: the length, the protocol. */
	assert_true(unit_of("1", "0103 0000 0007 11 03 006b 0003"));
	assert_true(unit_of("1", "0103 0100 0006 11 03 006b 0003"));
}

/* What is sent to a unit must not go elsewhere because it looks like a header. */
static void
serial_messages_are_not_taken_for_those_of_tcp(void **state)
{
	(void)state;
	/* Two registers from 0 on, with the CRC and without. */
	assert_true(unit_of("1", "01 03 0000 0002 c40b"));
	assert_true(unit_of("1", "01 03 0000 0002"));
	/* One register is set to 2; two coils, and four with a CRC. */
	assert_true(unit_of("1", "01 06 0000 0002 080b"));
	assert_true(unit_of("5", "05 0f 0000 0002 01 03"));
	assert_true(unit_of("1", "01 0f 0000 0004 01 0f 7e92"));
	/* Seven registers are read and one is written. */
	assert_true(unit_of("5", "05 17 0000 0007 0064 0001 02 1234"));
	/* The same transaction, and a function that is none of these. */
	assert_true(unit_of("6", "0517 0000 0007 06 03 04 0002 0001"));
	assert_true(unit_of("6", "050f 0000 0002 06 07"));
}

static void
wrong_lists_are_refused_with_their_word(void **state)
{
	static const char *const wrong[] = { "", ",", "x", "1-", "-1", "5-3",
		"1 2 256", "1--2", "1-2-3" };
	struct ranges ranges = { .n = 7 };
	struct error err;
	char many[1000] = "";

	(void)state;
	for (size_t i = 0; i < NELEM(wrong); i++) {
		assert_int_not_equal(
		    ranges_parse(wrong[i], 255, "unit", &ranges, &err), 0);
		assert_non_null(strstr(err.text, "unit"));
	}
	for (int i = 0; i <= RANGES_MAX; i++)
		append(many, sizeof(many), "%d,", i);
	assert_int_not_equal(ranges_parse(many, 255, "unit", &ranges, &err), 0);
	assert_int_equal(ranges.n, 7);
	assert_int_not_equal(nmea_list_check("$GPGGA", &err), 0);
	assert_non_null(strstr(err.text, "'$GPGGA'"));
	assert_int_not_equal(nmea_list_check("GPGGA,!", &err), 0);
	assert_int_not_equal(nmea_list_check(" ", &err), 0);
	assert_int_equal(nmea_list_check("GP*,!GPGSV", &err), 0);
}

static struct rate
rate_of(const char *value)
{
	struct rate rate = { 0 };
	struct error err;

	if (rate_parse(value, &rate, &err) != 0)
		fail_msg("%s: %s", value, err.text);
	return rate;
}

static void
rates_are_frames_in_a_time(void **state)
{
	static const char *const wrong[] = { "", "5", "/s", "0/s", "5/", "5/0s",
		"s/5", "5/x", "-1/s", "1.5/s", "5/s/s" };
	struct rate rate;
	struct error err;

	(void)state;
	assert_int_equal(rate_of("5/s").n, 5);
	assert_int_equal(rate_of("5/s").per_ns, NSEC_PER_SEC);
	assert_int_equal(rate_of("10/m").per_ns, 60 * NSEC_PER_SEC);
	assert_int_equal(rate_of("1/5s").per_ns, 5 * NSEC_PER_SEC);
	assert_int_equal(rate_of("3/100ms").per_ns, 100 * NSEC_PER_MSEC);
	for (size_t i = 0; i < NELEM(wrong); i++)
		if (rate_parse(wrong[i], &rate, &err) == 0)
			fail_msg("'%s' was taken for a rate", wrong[i]);
}

static void
a_rate_lets_that_many_pass_and_no_more(void **state)
{
	const struct rate rate = rate_of("5/s");
	const uint64_t start = 1000 * NSEC_PER_SEC;
	uint64_t until = 0;
	unsigned passed = 0;

	(void)state;
	for (int i = 0; i < 20; i++)
		passed += rate_allows(&rate, &until, start);
	assert_int_equal(passed, 5);
	/* Ten seconds of frames every millisecond. */
	for (uint64_t ms = 1; ms <= 10000; ms++)
		passed +=
		    rate_allows(&rate, &until, start + ms * NSEC_PER_MSEC);
	assert_int_equal(passed, 55);
	/* Slower frames are not touched, and do not add up to more than 5. */
	for (uint64_t s = 20; s < 40; s++)
		assert_true(
		    rate_allows(&rate, &until, start + s * NSEC_PER_SEC));
	passed = 0;
	for (int i = 0; i < 20; i++)
		passed +=
		    rate_allows(&rate, &until, start + 100 * NSEC_PER_SEC);
	assert_int_equal(passed, 5);
}

/* Whether the one would take the other's place. */
static bool
replaces(
    enum latest kind, const char *a, size_t alen, const char *b, size_t blen)
{
	struct bytes x, y;

	return latest_key(kind, (const uint8_t *)a, alen, &x) &&
	    latest_key(kind, (const uint8_t *)b, blen, &y) && x.len == y.len &&
	    memcmp(x.b, y.b, x.len) == 0;
}

static bool
same_sentence(const char *a, const char *b)
{
	return replaces(LATEST_NMEA, a, strlen(a), b, strlen(b));
}

static void
sentences_of_a_name_replace_each_other(void **state)
{
	(void)state;
	assert_true(same_sentence("$GPGGA,1*00", "$GPGGA,2,long*00"));
	assert_true(same_sentence("$GPGGA,1*00", "\\s:x*00\\$GPGGA,2*00"));
	assert_false(same_sentence("$GPGGA,1*00", "$GNGGA,1*00"));
	assert_false(same_sentence("$GPGGA,1*00", "$GPRMC,1*00"));
	assert_false(same_sentence("", ""));
	assert_false(same_sentence("no sentence", "no sentence"));
}

static void
sentences_that_belong_together_do_not(void **state)
{
	(void)state;
	assert_true(same_sentence("$GPGSV,3,1,11,a*00", "$GPGSV,3,1,12,b*00"));
	assert_false(same_sentence("$GPGSV,3,1,11,a*00", "$GPGSV,3,2,11,b*00"));
	assert_false(same_sentence("$GPGSV,3", "$GPGSV,3"));
	assert_false(same_sentence("$PUBX,00,1", "$PUBX,03,1"));
	assert_true(same_sentence("$PUBX,00,1", "$PUBX,00,2"));
	assert_false(
	    same_sentence("$YXXDR,A,5.2,D,PITCH*00", "$YXXDR,A,5.2,D,ROLL*00"));
	assert_true(same_sentence(
	    "$YXXDR,A,5.2,D,PITCH*00", "$YXXDR,A,7.3,D,PITCH*00"));
	assert_false(same_sentence(
	    "!AIVDM,1,1,,A,13u?,0*24", "!AIVDM,1,1,,A,13u?,0*24"));
}

static bool
same_packet(const char *a, const char *b)
{
	size_t alen, blen;
	const uint8_t *x = hex(a, &alen), *y = hex(b, &blen);

	return replaces(
	    LATEST_MAVLINK, (const char *)x, alen, (const char *)y, blen);
}

static void
packets_of_an_id_and_sender_replace_each_other(void **state)
{
	(void)state;
	assert_true(same_packet(
	    "fe 02 4e 01 01 1e aaaa 0000", "fe 02 4f 01 01 1e bbbb 0000"));
	/* A longer one; the same in version 2; without its envelope. */
	assert_true(same_packet(
	    "fe 02 4e 01 01 1e aaaa 0000", "fe 03 4f 01 01 1e bbbbbb 0000"));
	assert_true(same_packet("fe 02 4e 01 01 1e aaaa 0000",
	    "fd 02 00 00 4f 01 01 1e0000 aaaa 0000"));
	assert_true(
	    same_packet("fe 02 4e 01 01 1e aaaa 0000", "02 4e 01 01 1e aaaa"));
	assert_false(same_packet(
	    "fe 02 4e 01 01 1e aaaa 0000", "fe 02 4e 01 01 1f aaaa 0000"));
	assert_false(same_packet(
	    "fe 02 4e 01 01 1e aaaa 0000", "fe 02 4e 02 01 1e aaaa 0000"));
	assert_false(same_packet(
	    "fe 02 4e 01 01 1e aaaa 0000", "fe 02 4e 01 02 1e aaaa 0000"));
	assert_false(same_packet("00", "00"));
}

static bool
answers(const char *request, const char *answer)
{
	struct modbus asked, said;
	size_t len;
	const uint8_t *bytes = hex(request, &len);

	assert_true(modbus_read(bytes, len, &asked));
	bytes = hex(answer, &len);
	return modbus_read(bytes, len, &said) && modbus_answers(&asked, &said);
}

static void
an_answer_fits_its_request(void **state)
{
	static const char read[] = "03 03 0064 0002 0000";

	(void)state;
	assert_true(answers(read, "03 03 04 00010002 0000"));
	assert_true(answers(read, "03 83 02 0000"));
	assert_false(answers(read, "04 03 04 00010002 0000"));
	assert_false(answers(read, "03 04 04 00010002 0000"));
	assert_false(answers(read, "03 84 02 0000"));
	assert_false(answers(read, "03 03 06 000100020003 0000"));
	assert_false(answers(read, "03 03"));
	assert_false(answers(read, "03"));
	assert_true(answers("01 01 0000 0009 0000", "01 01 02 0001 0000"));
	assert_false(answers("01 01 0000 0008 0000", "01 01 02 0001 0000"));
	assert_true(answers("01 06 0010 1234 0000", "01 06 0010 1234 0000"));
	assert_false(answers("01 06 0010 1234 0000", "01 06 0011 1234 0000"));
	assert_true(
	    answers("01 10 0010 0001 02 1234 0000", "01 10 0010 0001 0000"));
	assert_false(
	    answers("01 10 0010 0001 02 1234 0000", "01 10 0020 0001 0000"));
	/* A function that nothing more is known of. */
	assert_true(answers("01 2b 0e01 00 0000", "01 2b ffffff 0000"));
	assert_true(answers("01 07 0000", "01 07 6d 0000"));
}

static void
an_answer_in_text_fits_a_request_in_rtu(void **state)
{
	static const char text[] = ":0303040001000201F1";
	struct modbus asked, said;
	size_t len;
	const uint8_t *bytes = hex("03 03 0064 0002", &len);

	(void)state;
	assert_true(modbus_read(bytes, len, &asked));
	/* Its sum is wrong: bytes like any others, of unit 58. */
	assert_true(modbus_read((const uint8_t *)text, 19, &said));
	assert_int_equal(said.unit, 58);
	assert_true(
	    modbus_read((const uint8_t *)":03030400010002F3", 17, &said));
	assert_int_equal(said.unit, 3);
	assert_true(modbus_answers(&asked, &said));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sentences_pass_by_their_name),
		cmocka_unit_test(stars_stand_for_any_characters),
		cmocka_unit_test(an_exclamation_mark_leaves_out),
		cmocka_unit_test(sentences_are_told_inner_and_behind_tags),
		cmocka_unit_test(mavlink_messages_pass_by_their_id),
		cmocka_unit_test(mavlink_messages_are_told_inner_and_signed),
		cmocka_unit_test(an_inner_message_is_not_taken_for_a_whole_one),
		cmocka_unit_test(units_are_told_in_rtu_and_ascii),
		cmocka_unit_test(units_are_told_in_tcp),
		cmocka_unit_test(
		    serial_messages_are_not_taken_for_those_of_tcp),
		cmocka_unit_test(wrong_lists_are_refused_with_their_word),
		cmocka_unit_test(rates_are_frames_in_a_time),
		cmocka_unit_test(a_rate_lets_that_many_pass_and_no_more),
		cmocka_unit_test(sentences_of_a_name_replace_each_other),
		cmocka_unit_test(sentences_that_belong_together_do_not),
		cmocka_unit_test(
		    packets_of_an_id_and_sender_replace_each_other),
		cmocka_unit_test(an_answer_fits_its_request),
		cmocka_unit_test(an_answer_in_text_fits_a_request_in_rtu),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
