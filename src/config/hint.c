/*
 * hint: keys and types used by other programs.
 *
 * The first row that contains the word and whose key the section has is used: for
 * example, `port` means the device of a serial port, and the address of a server.
 */
#include <ctype.h>
#include <string.h>

#include "framing.h"
#include "hint.h"

#define WORD_MAX 24

/* These precede the others, in sections that also have the second key. */
static const struct {
	struct hint hint;
	const char *with;
} paths[] = {
	{ { "path socket socketpath file sock", "connect", "192.168.1.7:5011" },
	    "connect_timeout" },
	{ { "path socket socketpath file sock", "connect",
	      "/run/ttybridge/bus.sock" },
	    "connect" },
	{ { "path socket socketpath file sock", "listen",
	      "/run/ttybridge/bus.sock" },
	    "group" },
};

static const struct hint keys[] = {
	{ "baudrate bitrate bps speed rate", "baud", "9600" },
	{ "parity bits databits stopbits stop bytesize charsize framebits "
	  "wordlength"
	  " line format serialmode settings params",
	    "mode", "8E1" },
	{ "flowcontrol handshake handshaking hardwareflow rtscts crtscts "
	  "xonxoff"
	  " dsrdtr",
	    "flow", "rtscts" },
	{ "port tty path dev file name serial serialport com comport node "
	  "address"
	  " location",
	    "device", "/dev/ttyACM0" },
	{ "vid pid vendor product vidpid usbid serialnumber", "usb",
	    "2341:0043" },
	{ "hupcl hangup reset resetonopen", "hangup_on_close", "no" },
	{ "lock locking exclusiveaccess tiocexcl", "exclusive", "yes" },
	{ "latency lowlatency", "low_latency", "yes" },
	{ "symlink device path name file slave tty", "link",
	    "/run/ttybridge/modem" },
	{ "banner motd welcome onconnect onaccept onopen", "greeting",
	    "hello\\r\\n" },
	{ "banner greeting onconnect onup init initstring startup welcome",
	    "on_open", "\\r" },
	{ "ondisconnect ondown exit exitstring goodbye", "on_close", "\\r" },
	{ "host hostname server remote target destination address peer ip url "
	  "port"
	  " connectto",
	    "connect", "192.168.1.7:5011" },
	{ "port bind address host local localport ip interface socket path file"
	  " listenon accept",
	    "listen", "127.0.0.1:5011" },
	{ "destination remote target peer dest sendaddress", "send_to",
	    "192.168.1.7:5011" },
	{ "allowed allowfrom acl networks network hosts trusted whitelist "
	  "permit",
	    "allow", "192.168.1.0/24" },
	{ "maxconnections maxconn connections clients maxsessions limit max",
	    "max_clients", "16" },
	{ "permissions perm perms permission chmod umask", "mode", "0660" },
	{ "gid owner user grp", "group", "dialout" },
	{ "readonly rw permission role rights", "access", "read" },
	{ "description desc comment title text", "label",
	    "the weather station" },
	{ "maxlength maxlen maxsize mtu maxframesize framelimit", "max_frame",
	    "4096" },
	{ "buffer buffersize queuesize bufsize backlog", "queue", "64K" },
	{ "timeout framegap partialtimeout", "frame_timeout", "500ms" },
	{ "retry reconnect reopen reconnectdelay retryinterval retrydelay"
	  " reconnectinterval",
	    "reopen_min", "250ms" },
	{ "onfull policy dropping fullpolicy", "overflow", "drop-oldest" },
	{ "framer codec encoding frames mode type", "framing", "line" },
	{ "crc fcs parity sum", "checksum", "crc16-modbus" },
	{ "separator terminator delim end endofframe eof", "delimiter",
	    "\\x03" },
	{ "eol lineend lineending newline terminator crlf", "eol", "crlf" },
	{ "framelength length size framelen", "frame_size", "16" },
	{ "silence gap intercharactertimeout", "idle", "3.5" },
	{ "endpoints endpoint ports devices members bidirectional join link "
	  "connect"
	  " pair",
	    "between", "ar1 ar2" },
	{ "source src input sources sender", "from", "ar1" },
	{ "destination dst dest sink output target targets sinks receiver",
	    "to", "ar2" },
	{ "filter regex pattern include grep accept only", "match", "^\\$GP" },
	{ "exclude ignore block deny not drop", "reject", "^DEBUG" },
	{ "maxrate ratelimit throttle limit", "rate", "10/s" },
	{ "unit units unitid unitids slave slaves slaveid slaveids address"
	  " station deviceid",
	    "match_unit", "1-5" },
	{ "function functioncode functioncodes fc matchfunctions",
	    "match_function", "3,4" },
	{ "readonly rw access writable permission permissions role rights",
	    "functions", "read" },
	{ "gateway mode protocol type shared bus", "exchange", "modbus" },
	{ "timeout responsetimeout replytimeout readtimeout", "answer_timeout",
	    "500ms" },
	{ "delay gap interval pause silence turnaround wait", "min_gap",
	    "20ms" },
	{ "retry tries repeat attempts retrycount maxretries", "retries", "2" },
	{ "offset slaveidoffset unitidoffset addressoffset shift",
	    "unit_offset", "-100" },
	{ "prio priorities", "priority", "panel" },
	{ "parallel pipelining concurrency inflight maxinflight", "window",
	    "4" },
	{ "loglevel verbosity verbose debug level log", "log_level", "debug" },
	{ "statedir datadir folder directory dir", "state_dir",
	    "/var/lib/ttybridge" },
	{ "drain shutdowntimeout stoptimeout", "drain_timeout", "2s" },
};

static const struct {
	const char *words;
	const char *type;
} types[] = {
	{ "tty uart com comport usb port device serialport rs232 rs485 ttys",
	    "serial" },
	{ "virtual pts ptmx pseudoterminal pseudo virtualport", "pty" },
	{ "tcp socket net network telnet server listen tcplisten tcpl listener"
	  " inet",
	    "tcp-server" },
	{ "client connect tcpconnect remote", "tcp-client" },
	{ "unix unixsocket local unixlisten unixl uds", "unix-server" },
	{ "unixclient unixconnect unixc", "unix-client" },
	{ "datagram udplisten udpserver udpclient", "udp" },
	{ "loopback loop test", "echo" },
	{ "bridge link forward connection connections routes join pair filter"
	  " gateway proxy exchange",
	    "route" },
	{ "global general default defaults settings main ttybridge ttybridged "
	  "log"
	  " logging options server",
	    "daemon" },
	{ "admin monitor console cli", "control" },
	{ "api web metrics prometheus exporter https page dashboard", "http" },
};

/* Converts to lower case, and removes the separators between parts of a word. */
static void
simplify(const char *word, char *buf)
{
	size_t n = 0;

	for (; *word != '\0' && n + 1 < WORD_MAX; word++)
		if (*word != '_' && *word != '-')
			buf[n++] = (char)tolower((unsigned char)*word);
	buf[*word == '\0' ? n : 0] = '\0';
}

/* Whether the word is in the list, which is separated by blanks. */
static bool
is_one_of(const char *words, const char *word)
{
	size_t len = strlen(word), n;

	for (; *words != '\0'; words += n) {
		words += strspn(words, " ");
		n = strcspn(words, " ");
		if (n == len && memcmp(words, word, len) == 0)
			return true;
	}
	return false;
}

const struct hint *
hint_key(const char *word, bool (*has)(const void *arg, const char *key),
    const void *arg)
{
	char simple[WORD_MAX];

	simplify(word, simple);
	for (size_t i = 0; *simple != '\0' && i < NELEM(paths); i++)
		if (is_one_of(paths[i].hint.words, simple) &&
		    has(arg, paths[i].hint.key) && has(arg, paths[i].with))
			return &paths[i].hint;
	for (size_t i = 0; *simple != '\0' && i < NELEM(keys); i++)
		if (is_one_of(keys[i].words, simple) && has(arg, keys[i].key))
			return &keys[i];
	return NULL;
}

const char *
hint_framing(const char *word)
{
	const char *names[64];
	size_t n = 0;

	for (; framings[n] != NULL && n < NELEM(names) - 1; n++)
		names[n] = framings[n]->name;
	names[n] = NULL;
	return key_meant(word, names);
}

const char *
hint_type(const char *word, const char *const *among)
{
	char simple[WORD_MAX];

	simplify(word, simple);
	for (size_t i = 0; *simple != '\0' && i < NELEM(types); i++) {
		if (!is_one_of(types[i].words, simple))
			continue;
		for (size_t j = 0; among[j] != NULL; j++)
			if (strcmp(among[j], types[i].type) == 0)
				return among[j];
	}
	return NULL;
}
