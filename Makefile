# ttybridge: `make help` says what there is.
#
# Each set of flags (FLAVOUR) builds in its own tree, build/FLAVOUR:
#   plain  as it is installed          san   address and undefined sanitizers
#   clang  plain, by clang             cov   gcov
#   fuzz   libFuzzer, by clang

VERSION = 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
BINDIR = $(DESTDIR)$(PREFIX)/bin
SBINDIR = $(DESTDIR)$(PREFIX)/sbin
MANDIR = $(DESTDIR)$(PREFIX)/share/man
FLAVOUR ?= plain
B = build/$(FLAVOUR)
PYTHON = /usr/bin/python3

# What Debian calls what we need.
DEPS_BUILD = gcc libc6-dev libevent-dev libserialport-dev libinih-dev \
	libsystemd-dev libjansson-dev libpcap-dev libtre-dev
DEPS_DEMO = simavr libsimavr-dev libelf-dev gcc-avr avr-libc \
	arduino-core-avr netcat-openbsd
DEPS_TEST = $(DEPS_DEMO) clang clang-format libcmocka-dev python3-pytest \
	python3-serial valgrind strace mandoc procps util-linux iproute2 mbpoll \
	libmodbus-dev python3-crcmod python3-nmea2 python3-pymodbus slirp tshark \
	libusb-1.0-0 libbluetooth3 libdbus-1-3
DEPS_VM = qemu-system-x86 busybox-static cpio python3 systemd

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wformat=2 $(if $(WERROR),-Werror)
LIBS = -levent_core -levent_extra -lserialport -linih -lsystemd -ljansson

SAN = -fsanitize=address,undefined
HARDEN = -fPIE -fstack-protector-strong -fstack-clash-protection \
	-fcf-protection -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
CFLAGS_plain = -O2 -g $(HARDEN)
LDFLAGS_plain = -pie -Wl,-z,relro,-z,now
CFLAGS_clang = -O2 -g -fPIE
LDFLAGS_clang = -pie
CFLAGS_san = -O1 -g $(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_san = $(SAN)
CFLAGS_cov = -O0 -g --coverage
LDFLAGS_cov = --coverage
CFLAGS_fuzz = -O1 -g -fsanitize=fuzzer-no-link $(SAN)
LDFLAGS_fuzz = $(SAN)
CC_clang = clang
CC_fuzz = clang
COMPILER = $(or $(CC_$(FLAVOUR)),$(CC))

ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS_$(FLAVOUR)) \
	-DVERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"' \
	$(addprefix -iquote ,$(wildcard src/*)) $(CPPFLAGS) $(CFLAGS)
ALL_LDFLAGS = $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS)

SRC = $(sort $(wildcard src/*/*.c))
OBJ = $(SRC:src/%.c=$(B)/%.o)
LIBOBJ = $(filter-out $(B)/daemon/main.o,$(OBJ))
UNIT = $(patsubst tests/unit/%.c,$(B)/unit/%,$(wildcard tests/unit/test_*.c))
FUZZ = $(patsubst tests/fuzz/%.c,%,$(wildcard tests/fuzz/fuzz_*.c))
REPLAY = $(FUZZ:%=$(B)/replay/%)
JOBS = $(shell nproc)

all: $(B)/ttybridged

# V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V),,@echo '  $(1) $@')

$(B)/ttybridged: $(OBJ)
	$(call say,LINK)
	$(Q)$(COMPILER) $(ALL_LDFLAGS) -o $@ $(OBJ) $(LIBS)

$(B)/%.o: src/%.c | deps-build
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

LINKED = $(LIBOBJ)
$(B)/unit/%: tests/unit/%.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) -MMD -MP $(ALL_LDFLAGS) -o $@ $< \
	    $(LINKED) -lcmocka $(LIBS)
# Commands need no control port.
$(B)/unit/test_call: private LINKED = $(filter-out $(B)/daemon/% \
	$(patsubst %,$(B)/control/%.o,lines ports replies session control),$(LIBOBJ))

# A fuzz target with a main() that replays files, for any compiler...
FUZZED = $(LIBOBJ)
$(B)/replay/%: tests/fuzz/%.c tests/fuzz/replay.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) $(ALL_LDFLAGS) -o $@ $< \
	    tests/fuzz/replay.c $(FUZZED) $(LIBS)

# ...and with libFuzzer.
build/fuzz/fuzzer/%: tests/fuzz/%.c $(LIBOBJ)
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)clang $(ALL_CFLAGS) -fsanitize=fuzzer $(SAN) -o $@ $< \
	    $(FUZZED) $(LIBS)

# The framings, compiled to count what they do.  libFuzzer has a function of the name that
# compilers give to the one they call.
WORK = $(patsubst src/%.c,$(B)/work/%.o,$(wildcard src/framing/*.c) src/base/checksum.c)
$(B)/work/%.o: src/%.c tests/fuzz/work.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) -fsanitize-coverage=trace-pc \
	    -include tests/fuzz/work.h -MMD -MP -c -o $@ $<
	$(Q)objcopy --redefine-sym __sanitizer_cov_trace_pc=work_block $@
$(B)/replay/fuzz_work build/fuzz/fuzzer/fuzz_work: $(WORK)
$(B)/replay/fuzz_work build/fuzz/fuzzer/fuzz_work: private FUZZED = $(WORK) \
	$(filter-out $(WORK:$(B)/work/%=$(B)/%),$(LIBOBJ))

-include $(wildcard build/*/unit/*.d build/*/*/*.d build/*/work/*/*.d)
include tests/boards/boards.mk
include tests/bench/bench.mk
include tests/mutants/mutants.mk

# Preloaded into a daemon of any flavour.
build/fault.so: tests/fault/fault.c tests/fault/uart.c tests/fault/uart.h
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(CC) -std=gnu11 -D_GNU_SOURCE $(WARN) -O1 -g -fPIC -fno-builtin -shared \
	    -o $@ $(filter %.c,$^)

units: $(UNIT)
replays: $(REPLAY)
faults: build/fault.so
fuzzers: $(FUZZ:%=build/fuzz/fuzzer/%)

# --- dependencies ------------------------------------------------------------

SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# $(call install,PACKAGES): installs those that are missing, where apt exists and may be
# used without a password.
define install
@missing=$$(for p in $(1); do \
	    dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | \
	    grep -q '^ii' || echo $$p; done); \
	if [ -z "$$missing" ]; then :; \
	elif ! command -v apt-get >/dev/null; then \
	    echo "please install what Debian calls:" $$missing; \
	elif [ -n "$(SUDO)" ] && ! sudo -n true 2>/dev/null; then \
	    echo "packages are missing; install them and run make again:"; \
	    echo "    sudo apt-get install --no-install-recommends" $$missing; \
	    exit 1; \
	else \
	    echo "installing:" $$missing; \
	    $(SUDO) apt-get update -qq && \
	    $(SUDO) env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y \
	        --no-install-recommends $$missing >/dev/null; \
	fi
endef

# Without dpkg there is nothing to ask: the compiler will say what is missing.
HAVE_DPKG = $(shell command -v dpkg-query)

deps-build:
	$(if $(HAVE_DPKG),$(call install,$(DEPS_BUILD)))

deps-demo: deps-build
	$(if $(HAVE_DPKG),$(call install,$(DEPS_DEMO)))

deps-vm: deps-build
	$(if $(HAVE_DPKG),$(call install,$(DEPS_VM)))

# One program of gpsd-clients, which would bring GTK and SciPy along, 400 MB; what it
# links to is in DEPS_TEST.
GPSDECODE = $(if $(shell command -v gpsdecode >/dev/null || command -v apt-get), \
	build/gpsd/usr/bin/gpsdecode)
DOWNLOAD = apt-get download -qq -o APT::Sandbox::User=root gpsd-clients

build/gpsd/usr/bin/gpsdecode:
	@mkdir -p build/gpsd
	$(call say,GET)
	$(Q)cd build/gpsd && { $(DOWNLOAD) 2>/dev/null || \
	    { $(SUDO) apt-get update -qq && $(DOWNLOAD); }; } && \
	    dpkg-deb --fsys-tarfile gpsd-clients_*.deb | \
	    tar -x --touch ./usr/bin/gpsdecode && rm gpsd-clients_*.deb

deps: deps-build $(GPSDECODE)
	$(if $(HAVE_DPKG),$(call install,$(DEPS_TEST)))

# --- demo and tests ----------------------------------------------------------

demo: deps-demo
	@$(MAKE) -s -j$(JOBS) all boards
	@tests/demo.sh build/plain/ttybridged build/boards

check: deps
	$(MAKE) -j$(JOBS) all boards bench-tools
	$(MAKE) -j$(JOBS) FLAVOUR=clang all
	$(MAKE) -j$(JOBS) FLAVOUR=san all units replays faults
	tests/check.sh

lint: deps all
	tests/lint.sh

# Seconds for each fuzz target; FRAMING=NAME, or each.
T = 60
fuzz: deps
	$(MAKE) -j$(JOBS) FLAVOUR=fuzz fuzzers
	tests/fuzz.sh $(T)

# For T seconds, with FLAVOUR's build; SEED makes it the same again, nearly.
soak: deps
	$(MAKE) -j$(JOBS) all
	TTYBRIDGED=$(B)/ttybridged $(PYTHON) tests/e2e/test_soak.py $(T) $(SEED)

coverage: deps
	$(if $(HAVE_DPKG),$(call install,gcovr))
	$(MAKE) -j$(JOBS) boards faults
	$(MAKE) -j$(JOBS) FLAVOUR=cov all units replays
	tests/coverage.sh

# The service under a real systemd, in a container; skipped where there is none.
check-systemd: all
	tests/systemd/run.sh

# Real serial drivers, and the service with udev, in emulated machines, in some minutes.
# VM_PULLS=50 takes longer.
check-vm: all deps-vm
	tests/vm/check.sh

# --- install -----------------------------------------------------------------

install: all
	install -d $(BINDIR) $(SBINDIR) $(MANDIR)/man5 $(MANDIR)/man7 $(MANDIR)/man8 \
	    $(DESTDIR)$(UNITDIR) $(DESTDIR)$(SYSCONFDIR)/ttybridge
	install -m 755 build/plain/ttybridged $(BINDIR)
	[ $(BINDIR) -ef $(SBINDIR) ] || \
	    ln -sf ../bin/ttybridged $(SBINDIR)/ttybridged
	install -m 644 man/ttybridged.8 $(MANDIR)/man8
	install -m 644 man/ttybridge.conf.5 $(MANDIR)/man5
	install -m 644 man/ttybridge-control.7 $(MANDIR)/man7
	for unit in ttybridge.service ttybridge@.service ttybridge.socket; do \
	    sed 's,/usr\(/s\?bin/ttybridged\),$(PREFIX)\1,g; s,/etc/ttybridge,$(SYSCONFDIR)/ttybridge,g' \
	        systemd/$$unit >$(DESTDIR)$(UNITDIR)/$$unit; done
	install -D -m 644 systemd/ttybridge.sysusers \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d/ttybridge.conf
	install -D -m 644 systemd/ttybridge.tmpfiles \
	    $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/ttybridge.conf
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/ttybridge/examples \
	    systemd/network.conf systemd/90-ttybridge.rules
	install -D -m 644 conf/ttybridged.bash-completion \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ttybridged
	install -D -m 644 -t $(DESTDIR)$(PREFIX)/share/doc/ttybridge/examples \
	    conf/examples/*.conf
	[ -e $(DESTDIR)$(SYSCONFDIR)/ttybridge/ttybridge.conf ] || \
	    install -m 644 conf/ttybridge.conf \
	    $(DESTDIR)$(SYSCONFDIR)/ttybridge/ttybridge.conf

uninstall:
	rm -f $(BINDIR)/ttybridged $(SBINDIR)/ttybridged $(MANDIR)/man8/ttybridged.8 \
	    $(MANDIR)/man5/ttybridge.conf.5 $(MANDIR)/man7/ttybridge-control.7 \
	    $(DESTDIR)$(UNITDIR)/ttybridge.service \
	    $(DESTDIR)$(UNITDIR)/ttybridge@.service \
	    $(DESTDIR)$(UNITDIR)/ttybridge.socket \
	    $(DESTDIR)$(PREFIX)/lib/sysusers.d/ttybridge.conf \
	    $(DESTDIR)$(PREFIX)/lib/tmpfiles.d/ttybridge.conf \
	    $(DESTDIR)$(PREFIX)/share/bash-completion/completions/ttybridged
	rm -rf $(DESTDIR)$(PREFIX)/share/doc/ttybridge

deb: deps-build
	$(if $(HAVE_DPKG),$(call install,binutils dpkg-dev))
	rm -rf build/deb
	$(MAKE) install DESTDIR=build/deb/root PREFIX=/usr SYSCONFDIR=/etc
	systemd/deb/build.sh $(VERSION) build/deb

dist:
	@mkdir -p build
	git archive --prefix=ttybridge-$(VERSION)/ \
	    -o build/ttybridge-$(VERSION).tar.gz HEAD

clean:
	rm -rf build

help:
	@echo 'make           build the daemon: build/plain/ttybridged'
	@echo 'make demo      two emulated Arduinos bridged, for 15 seconds'
	@echo 'make check     all tests'
	@echo 'make check-systemd  the service under systemd, in a container (root)'
	@echo 'make check-vm  real serial drivers, udev and systemd, in a virtual machine'
	@echo 'make bench     beside a hand-written loop and others (SUITES=, ROUNDS=)'
	@echo 'make mutants   plant faults; the tests named for each must detect it (ONLY=WORD)'
	@echo 'make lint      layers, dependency cycles, headers, formatting, manual pages'
	@echo 'make fuzz T=60 each fuzz target, for T seconds (FRAMING=NAME, each)'
	@echo 'make soak T=1800  everything at once, for a long time (SEED=, FLAVOUR=san)'
	@echo 'make coverage  what the tests reach'
	@echo 'make deb, dist a Debian package, a source archive, in build/'
	@echo 'make install   (DESTDIR, PREFIX, SYSCONFDIR, UNITDIR); uninstall'
	@echo 'make deps      the Debian packages; runs by itself'
	@echo 'make clean     removes build/'

.PHONY: all units replays fuzzers faults deps-build deps-demo deps demo check check-systemd \
	check-vm deps-vm lint \
	fuzz soak coverage install uninstall deb dist clean help
.SECONDARY:
