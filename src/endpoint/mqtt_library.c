/*
 * mqtt_library: loads libmosquitto.
 */
#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <string.h>

#include "mqtt_library.h"

#define LIBRARY "libmosquitto.so.1"

struct mqtt_library mqtt_library;

static const struct {
	const char *name;
	size_t offset;
} symbols[] = {
#define SYMBOL(name) \
	{ "mosquitto_" #name, offsetof(struct mqtt_library, name) },
	MQTT_FUNCTIONS(SYMBOL)
#undef SYMBOL
};

static int
load_library(struct error *err)
{
	struct mqtt_library library;
	void *handle = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL), *symbol;

	if (handle == NULL)
		return error_fail(err, -ELIBACC,
		    "MQTT needs libmosquitto, which cannot be loaded (Debian:"
		    " apt install libmosquitto1): %.200s",
		    dlerror());
	for (size_t i = 0; i < NELEM(symbols); i++) {
		if ((symbol = dlsym(handle, symbols[i].name)) == NULL) {
			error_set(err,
			    "MQTT needs libmosquitto 2.0 or newer: %.200s",
			    dlerror());
			dlclose(handle);
			return -ELIBACC;
		}
		memcpy((char *)&library + symbols[i].offset, &symbol,
		    sizeof(symbol));
	}
	library.lib_init();
	mqtt_library = library;
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
