/*
 * mqtt_library: loads libmosquitto.
 */
#include <errno.h>
#include <pthread.h>

#include "library.h"
#include "mqtt_library.h"

#define LIBRARY "libmosquitto.so.1"

struct mqtt_library mqtt_library;

static const struct library_symbol symbols[] = {
#define SYMBOL(name) { "mosquitto_" #name, &mqtt_library.name },
	MQTT_FUNCTIONS(SYMBOL)
#undef SYMBOL
};

static int
load_library(struct error *err)
{
	struct error why;
	void *handle;
	int r = library_load(LIBRARY, symbols, NELEM(symbols), &handle, &why);

	if (r == -ENOENT)
		return error_fail(err, -ELIBACC,
		    "MQTT needs libmosquitto, which cannot be loaded (Debian:"
		    " apt install libmosquitto1): %.200s",
		    why.text);
	if (r < 0)
		return error_fail(err, -ELIBACC,
		    "MQTT needs libmosquitto 2.0 or newer: %.200s", why.text);
	mqtt_library.lib_init();
	return 0;
}

int
mqtt_load(struct error *err)
{
	static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
	int r = 0;

	pthread_mutex_lock(&mutex);
	if (mqtt_library.lib_init == NULL)
		r = load_library(err);
	pthread_mutex_unlock(&mutex);
	return r;
}
