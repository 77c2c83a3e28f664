# `make help` lists the targets.  The targets for testing are in tests/tests.mk and in
# tests/*/*.mk.

VERSION = 0.1.0
PREFIX ?= /usr/local
SYSCONFDIR ?= /etc
UNITDIR ?= /lib/systemd/system
# Where Wireshark looks for programs that capture.
EXTCAPDIR ?= /usr/lib/$(shell $(CC) -print-multiarch)/wireshark/extcap
# The compiler and its flags, see below.  The files go to build/FLAVOUR.
FLAVOUR ?= plain
B = build/$(FLAVOUR)

# TLS=no builds without OpenSSL: sections with tls = yes are then an error.
TLS ?= yes
COMPLETION = $(if $(filter plain,$(FLAVOUR)),$(addprefix $(B)/completion.,bash zsh fish))
TLS_OBJECT = $(if $(filter yes,$(TLS)),$(B)/ttybridge-tls.so)

all: $(B)/ttybridged $(B)/ttybridgectl $(TLS_OBJECT) $(COMPLETION)

# --- flavours ----------------------------------------------------------------

# plain  what is installed          san   address and undefined-behaviour sanitizers
# clang  plain, compiled by clang   cov   gcov
# fuzz   libFuzzer, by clang

# Indirect jumps, as far as the processor can check them.  The compiler is asked when the
# first file is compiled, since only then it is certain to be installed.
MACHINE = $(eval MACHINE := $(firstword $(subst -, ,$(shell $(CC) -dumpmachine))))$(MACHINE)
BRANCHES = $(if $(filter x86_64 i386 i486 i586 i686,$(MACHINE)),-fcf-protection) \
	$(if $(filter aarch64,$(MACHINE)),-mbranch-protection=standard)
HARDEN = -fPIE -fstack-protector-strong -fstack-clash-protection $(BRANCHES) \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=3
SAN = -fsanitize=address,undefined,float-cast-overflow

CFLAGS_plain = -O2 -g $(HARDEN)
LDFLAGS_plain = -pie -Wl,-z,relro,-z,now
CC_clang = clang
CFLAGS_clang = -O2 -g -fPIE
LDFLAGS_clang = -pie
CFLAGS_san = -O1 -g $(SAN) -fno-sanitize-recover=all -fno-omit-frame-pointer
LDFLAGS_san = $(SAN)
CFLAGS_cov = -O0 -g --coverage
LDFLAGS_cov = --coverage
CC_fuzz = clang
CFLAGS_fuzz = -O1 -g -fsanitize=fuzzer-no-link $(SAN)
LDFLAGS_fuzz = $(SAN)

WARN = -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes \
	-Wformat=2 $(if $(WERROR),-Werror)
COMPILER = $(or $(CC_$(FLAVOUR)),$(CC))
ALL_CFLAGS = -std=gnu11 -D_GNU_SOURCE $(WARN) $(CFLAGS_$(FLAVOUR)) \
	-DVERSION='"$(VERSION)"' -DSYSCONFDIR='"$(SYSCONFDIR)"' \
	$(addprefix -iquote ,$(patsubst %/,%,$(wildcard src/*/))) $(CPPFLAGS) $(CFLAGS) $(PIC)
ALL_LDFLAGS = $(LDFLAGS_$(FLAVOUR)) $(LDFLAGS)
LIBS = -levent_core -lserialport -linih -lsystemd -ljansson \
	-lpthread

# --- the daemon --------------------------------------------------------------

TLS_SRC = $(wildcard src/tls/*.c)
CTL_SRC = $(wildcard src/ctl/*.c)
SRC = $(sort $(filter-out $(TLS_SRC) $(CTL_SRC),$(wildcard src/*/*.c)))
OBJ = $(SRC:src/%.c=$(B)/%.o)
# What the tests link with, in place of main().
LIBOBJ = $(filter-out $(B)/daemon/main.o,$(OBJ))
JOBS = $(shell nproc)

# V=1 shows the commands.
Q = $(if $(V),,@)
say = $(if $(V),,@echo '  $(1) $@')

$(B)/ttybridged: $(OBJ)
	$(call say,LINK)
	$(Q)$(COMPILER) $(ALL_LDFLAGS) -o $@ $(OBJ) $(LIBS)

# --- the control client ------------------------------------------------------

# Of the daemon's modules it may use base and net, and is linked with those that it needs.
CTL_OBJ = $(CTL_SRC:src/%.c=$(B)/%.o)
CTL_LIBS = -Wl,--as-needed -levent_core -lsystemd -ljansson -lncursesw -ltinfo -lpthread

$(B)/common.a: $(filter $(B)/base/%.o $(B)/net/%.o,$(OBJ))
	$(call say,AR)
	$(Q)rm -f $@; ar rcs $@ $^

$(B)/ttybridgectl: $(CTL_OBJ) $(B)/common.a
	$(call say,LINK)
	$(Q)$(COMPILER) $(ALL_LDFLAGS) -o $@ $^ $(CTL_LIBS)

# Made of the tables of commands of both programs.
build/plain/completion.%: conf/completions.awk build/plain/ttybridged build/plain/ttybridgectl
	$(call say,AWK)
	$(Q){ build/plain/ttybridgectl --list-commands; build/plain/ttybridged --list-commands; } | \
	    awk -v shell=$* -f $< >$@.new && mv $@.new $@

# Made of the tables of keys and commands.
man-tables: build/plain/ttybridged
	$(Q)for page in man/ttybridge.conf.5 man/ttybridge-control.7; do \
	    { $< --list-keys; $< --list-commands; } | \
	    awk -f conf/man-tables.awk - $$page >build/page && cp build/page $$page || exit; \
	done

# --- TLS ---------------------------------------------------------------------

# Loaded by both programs when it is needed.
$(B)/ttybridge-tls.so: $(TLS_SRC:src/%.c=$(B)/%.o)
	$(call say,LINK)
	$(Q)$(COMPILER) $(filter-out -pie,$(ALL_LDFLAGS)) -shared -o $@ $^ \
	    -levent_openssl -levent_core -lssl -lcrypto

$(B)/tls/%.o: private PIC = -fPIC -fvisibility=hidden

# The page is compiled in, with the hashes of what is between the tags, see page.c.
PAGE = src/http/page.html
page_hash = $$({ echo; sed -n '/^<$(1)>$$/,/^<\/$(1)>$$/{//!p}' $(PAGE); } | \
	sha256sum | cut -c 1-64 | tr a-f A-F | basenc --base16 -d | base64)
$(B)/http/page.o: $(PAGE) $(B)/http/page_hash.h
$(B)/http/page.o: private CPPFLAGS += -iquote $(B)/http
$(B)/http/page_hash.h: $(PAGE)
	@mkdir -p $(@D)
	$(Q){ echo "#define PAGE_SCRIPT_HASH \"'sha256-$(call page_hash,script)'\""; \
	    echo "#define PAGE_STYLE_HASH \"'sha256-$(call page_hash,style)'\""; } >$@

$(B)/%.o: src/%.c | deps-build
	@mkdir -p $(@D)
	$(call say,CC)
	$(Q)$(COMPILER) $(ALL_CFLAGS) -MMD -MP -c -o $@ $<

-include $(wildcard build/*/*/*.d build/*/work/*/*.d)

# --- dependencies ------------------------------------------------------------

# The names are Debian's.
DEPS_BUILD = gcc libc6-dev libevent-dev libserialport-dev libinih-dev \
	libsystemd-dev libjansson-dev libncurses-dev libpcap-dev libtre-dev \
	libmosquitto-dev libyaml-dev \
	$(if $(filter yes,$(TLS)),libssl-dev)

SUDO = $(shell [ "$$(id -u)" = 0 ] || echo sudo)
# $(call install_packages,NAMES) installs the packages that are missing, if apt-get exists
# and may be used without a password.  Without dpkg it does nothing, and the compiler will
# report what is missing.
define install_packages
@command -v dpkg-query >/dev/null || exit 0; \
	missing=$$(for p in $(1); do \
	    dpkg-query -W -f '$${db:Status-Abbrev}' $$p 2>/dev/null | \
	    grep -q '^ii' || echo $$p; done); \
	if [ -z "$$missing" ]; then :; \
	elif ! command -v apt-get >/dev/null; then \
	    echo "please install the packages that Debian calls:" $$missing; \
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

deps-build:
	$(call install_packages,$(DEPS_BUILD))

# --- tests -------------------------------------------------------------------

include tests/tests.mk
include tests/unit/unit.mk
include tests/fuzz/fuzz.mk
include tests/fault/fault.mk
include tests/boards/boards.mk
include tests/bench/bench.mk
include tests/mutants/mutants.mk

# --- installation ------------------------------------------------------------

BINDIR = $(DESTDIR)$(PREFIX)/bin
SBINDIR = $(DESTDIR)$(PREFIX)/sbin
# Where the program looks for it, relative to BINDIR.
LIBDIR = $(DESTDIR)$(PREFIX)/lib/ttybridge
MANDIR = $(DESTDIR)$(PREFIX)/share/man
DOCDIR = $(DESTDIR)$(PREFIX)/share/doc/ttybridge
COMPLETIONS = $(DESTDIR)$(PREFIX)/share/bash-completion/completions
# Where the zsh of Debian looks for it.
ZSHDIR = $(DESTDIR)$(PREFIX)/share/zsh/$(if $(filter /usr,$(PREFIX)),vendor-completions,site-functions)
FISHDIR = $(DESTDIR)$(PREFIX)/share/fish/vendor_completions.d
SYSUSERS = $(DESTDIR)$(PREFIX)/lib/sysusers.d
TMPFILES = $(DESTDIR)$(PREFIX)/lib/tmpfiles.d
UNITS = $(DESTDIR)$(UNITDIR)
CONFDIR = $(DESTDIR)$(SYSCONFDIR)/ttybridge

# Units and scripts of earlier versions expect the program in sbin.  A configuration that
# exists is kept.
install: all
	install -d $(BINDIR) $(SBINDIR) $(UNITS) $(CONFDIR)
	install -m 755 build/plain/ttybridged build/plain/ttybridgectl $(BINDIR)
	$(if $(TLS_OBJECT),install -D -m 644 -t $(LIBDIR) \
	    build/plain/ttybridge-tls.so)
	[ $(BINDIR) -ef $(SBINDIR) ] || \
	    ln -sf ../bin/ttybridged $(SBINDIR)/ttybridged
	install -d $(DESTDIR)$(EXTCAPDIR)
	ln -sf $(PREFIX)/bin/ttybridgectl $(DESTDIR)$(EXTCAPDIR)/ttybridge-extcap
	install -D -m 644 -t $(MANDIR)/man1 man/ttybridgectl.1
	install -D -m 644 -t $(MANDIR)/man5 man/ttybridge.conf.5
	install -D -m 644 -t $(MANDIR)/man7 man/ttybridge-control.7 \
	    man/ttybridge-http.7
	install -D -m 644 -t $(MANDIR)/man8 man/ttybridged.8
	for unit in ttybridge.service ttybridge@.service ttybridge.socket; do \
	    sed 's,/usr\(/s\?bin/ttybridged\|/lib/ttybridge\),$(PREFIX)\1,g; s,/etc/ttybridge,$(SYSCONFDIR)/ttybridge,g' \
	        systemd/$$unit >$(UNITS)/$$unit; done
	install -D -m 644 systemd/ttybridge.sysusers $(SYSUSERS)/ttybridge.conf
	install -D -m 644 systemd/ttybridge.tmpfiles $(TMPFILES)/ttybridge.conf
	install -D -m 644 conf/ttybridged.bash-completion $(COMPLETIONS)/ttybridged
	install -D -m 644 build/plain/completion.bash $(COMPLETIONS)/ttybridgectl
	install -D -m 644 build/plain/completion.zsh $(ZSHDIR)/_ttybridgectl
	install -D -m 644 build/plain/completion.fish $(FISHDIR)/ttybridgectl.fish
	install -D -m 644 -t $(DOCDIR)/examples conf/examples/* \
	    systemd/network.conf systemd/90-ttybridge.rules
	[ -e $(CONFDIR)/ttybridge.conf ] || \
	    install -m 644 conf/ttybridge.conf $(CONFDIR)

uninstall:
	rm -f $(BINDIR)/ttybridged $(SBINDIR)/ttybridged $(BINDIR)/ttybridgectl \
	    $(MANDIR)/man1/ttybridgectl.1 $(COMPLETIONS)/ttybridgectl \
	    $(ZSHDIR)/_ttybridgectl $(FISHDIR)/ttybridgectl.fish \
	    $(DESTDIR)$(EXTCAPDIR)/ttybridge-extcap \
	    $(MANDIR)/man5/ttybridge.conf.5 $(MANDIR)/man7/ttybridge-control.7 \
	    $(MANDIR)/man7/ttybridge-http.7 \
	    $(MANDIR)/man8/ttybridged.8 $(UNITS)/ttybridge.service \
	    $(UNITS)/ttybridge@.service $(UNITS)/ttybridge.socket \
	    $(SYSUSERS)/ttybridge.conf $(TMPFILES)/ttybridge.conf \
	    $(COMPLETIONS)/ttybridged
	rm -rf $(DOCDIR) $(LIBDIR)

# --- packages ----------------------------------------------------------------

# Both are made of the last commit, or, in an unpacked source archive, of the files there.
DEPS_DEB = build-essential debhelper libcmocka-dev

dist:
	conf/dist.sh ttybridge-$(VERSION)

deb: deps-build dist
	$(call install_packages,$(DEPS_DEB))
	conf/deb/build.sh $(VERSION)

# --- the rest ----------------------------------------------------------------

clean:
	rm -rf build

help:
	@echo 'make               build the daemon and its client, in build/plain (TLS=no)'
	@echo 'make demo          two emulated Arduinos bridged, for 15 seconds'
	@echo 'make check         all tests'
	@echo 'make picture       draw the pictures in README.md again, one of them by running the demo'
	@echo 'make check-systemd the service under systemd, in a container (root)'
	@echo 'make check-vm      real serial drivers, udev and systemd, in a virtual machine'
	@echo 'make lint          layers, dependency cycles, headers, formatting, manual pages'
	@echo 'make coverage      what the tests reach'
	@echo 'make bench         compare with a hand-written loop and others (SUITES=, ROUNDS=)'
	@echo 'make mutants       plant faults; the tests named for each must detect it (ONLY=WORD)'
	@echo 'make fuzz T=60     each fuzz target, for T seconds (FRAMING=NAME, each)'
	@echo 'make soak T=1800   everything at once, for a long time (SEED=, FLAVOUR=san)'
	@echo 'make fleet T=60    many daemons and a broker that is stopped (HOSTS=, PTYS=, SEED=)'
	@echo 'make man-tables    write the tables of keys and commands into the manual pages'
	@echo 'make install       (DESTDIR=, PREFIX=, SYSCONFDIR=, UNITDIR=, EXTCAPDIR=); uninstall'
	@echo 'make deb, dist     a Debian package with its source, a source archive, in build/'
	@echo 'make deps          install the Debian packages; make check does it by itself'
	@echo 'make clean         remove build/'

.PHONY: all man-tables deps-build install uninstall deb dist clean help
.SECONDARY:
