/*
 * Messages that others publish: the first byte chooses the encoding, and a line that may
 * follow it is the user property with the origin; then comes the payload.  With the first byte
 * 255 the rest is the file with the sequences.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "mqtt_message.h"

int LLVMFuzzerTestOneInput(const uint8_t *, size_t);

static void
expect(bool right)
{
	if (!right)
		abort();
}

/* What was read is written as something that is read in the same way. */
static void
again(enum mqtt_encoding encoding, const struct mqtt_buffer *frame,
    const struct origin_name *name, bool named)
{
	struct origin origin = { .boot = name->boot,
		.sequence = name->sequence };
	struct mqtt_buffer text = { .data = NULL }, back = { .data = NULL };
	struct origin_name other;
	bool other_named;

	snprintf(
	    origin.endpoint, sizeof(origin.endpoint), "%s", name->endpoint);
	expect(mqtt_encode(encoding, frame->data, frame->len,
		   named ? &origin : NULL, name->host, &text) == 0);
	expect(mqtt_decode(encoding, text.data, text.len, &back, &other,
		   &other_named) == 0);
	expect(back.len == frame->len &&
	    memcmp(back.data, frame->data, frame->len) == 0);
	expect(other_named == (named && encoding == MQTT_JSON));
	if (other_named)
		expect(memcmp(&other, name, sizeof(other)) == 0);
	free(text.data);
	free(back.data);
}

static void
message(const uint8_t *data, size_t size)
{
	enum mqtt_encoding encoding = (enum mqtt_encoding)(data[0] % 4);
	const uint8_t *end = memchr(data + 1, '\n', size - 1);
	struct mqtt_buffer frame = { .data = NULL };
	struct origin_name name = { "", "", 0, 0 };
	char text[MQTT_ORIGIN_MAX + 64], printed[MQTT_ORIGIN_MAX];
	struct origin origin = { .boot = 0 };
	bool named;

	if (end != NULL && (size_t)(end - data) < sizeof(text)) {
		memcpy(text, data + 1, (size_t)(end - data - 1));
		text[end - data - 1] = '\0';
		if (mqtt_origin_parse(text, &name) == 0) {
			origin.boot = name.boot;
			origin.sequence = name.sequence;
			memcpy(origin.endpoint, name.endpoint,
			    sizeof(origin.endpoint));
			mqtt_origin_print(&origin, name.host, printed);
			expect(mqtt_origin_parse(printed, &name) == 0);
		}
		size -= (size_t)(end - data);
		data = end;
	}
	if (mqtt_decode(encoding, data + 1, size - 1, &frame, &name, &named) ==
	    0)
		again(encoding, &frame, &name, named);
	free(frame.data);
}

static void
file(const uint8_t *data, size_t size)
{
	static const struct origin_name name = { "boat", "gps", 7, 5 };
	char dir[] = "/tmp/fuzz_mqtt.XXXXXX", path[64];
	struct origin origin;
	struct origins *o;
	struct error err;
	FILE *f;

	expect(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/file", dir);
	expect((f = fopen(path, "w")) != NULL);
	fwrite(data, 1, size, f);
	fclose(f);
	expect(origins_open(dir, "file", &o, &err) == 0);
	origins_next(o, "gps", &origin);
	expect(origin.sequence > 0);
	origins_received(o, &name, false);
	expect(origins_received(o, &name, false) == ORIGIN_REPEATED);
	origins_close(o);
	unlink(path);
	rmdir(dir);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (size == 0)
		return 0;
	if (data[0] == 255)
		file(data + 1, size - 1);
	else
		message(data, size);
	return 0;
}
