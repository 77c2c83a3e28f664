/*
 * mqtt_library: the functions of libmosquitto, which is loaded when the first [mqtt] section is
 * read, so that it costs nothing without one.
 */
#ifndef MQTT_LIBRARY_H
#define MQTT_LIBRARY_H

#include <mosquitto.h>
#include <mqtt_protocol.h>

#include "error.h"

#define MQTT_FUNCTIONS(FUNCTION)             \
	FUNCTION(lib_init)                   \
	FUNCTION(new)                        \
	FUNCTION(destroy)                    \
	FUNCTION(int_option)                 \
	FUNCTION(void_option)                \
	FUNCTION(username_pw_set)            \
	FUNCTION(will_set)                   \
	FUNCTION(connect_bind_v5)            \
	FUNCTION(disconnect)                 \
	FUNCTION(publish_v5)                 \
	FUNCTION(subscribe_v5)               \
	FUNCTION(socket)                     \
	FUNCTION(want_write)                 \
	FUNCTION(loop_read)                  \
	FUNCTION(loop_write)                 \
	FUNCTION(loop_misc)                  \
	FUNCTION(connect_v5_callback_set)    \
	FUNCTION(disconnect_v5_callback_set) \
	FUNCTION(publish_v5_callback_set)    \
	FUNCTION(message_v5_callback_set)    \
	FUNCTION(subscribe_v5_callback_set)  \
	FUNCTION(log_callback_set)           \
	FUNCTION(strerror)                   \
	FUNCTION(reason_string)              \
	FUNCTION(connack_string)             \
	FUNCTION(property_add_int32)         \
	FUNCTION(property_add_string_pair)   \
	FUNCTION(property_read_int16)        \
	FUNCTION(property_read_int32)        \
	FUNCTION(property_read_string_pair)  \
	FUNCTION(property_free_all)          \
	FUNCTION(pub_topic_check2)           \
	FUNCTION(sub_topic_check2)

struct mqtt_library {
#define MEMBER(name) __typeof__(mosquitto_##name) *name;
	MQTT_FUNCTIONS(MEMBER)
#undef MEMBER
};

/* Its members are NULL until mqtt_load() has succeeded. */
extern struct mqtt_library mqtt_library;

/* Loads the library, once; may be called in a thread.  -ELIBACC and err. */
int mqtt_load(struct error *err);

#endif
