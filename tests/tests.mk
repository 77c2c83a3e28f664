# What the tests need, and the targets that run them.  Included by the Makefile.

PYTHON = /usr/bin/python3

# --- dependencies ------------------------------------------------------------

DEPS_DEMO = simavr libsimavr-dev libelf-dev gcc-avr avr-libc \
	arduino-core-avr netcat-openbsd
DEPS_TEST = $(DEPS_DEMO) clang clang-format libcmocka-dev python3-pytest \
	python3-pytest-xdist python3-serial valgrind strace mandoc procps util-linux iproute2 mbpoll \
	libmodbus-dev python3-crcmod python3-nmea2 python3-pymodbus slirp tshark \
	libusb-1.0-0 libbluetooth3 libdbus-1-3 avrdude openssl python3-cryptography \
	prometheus chromium chromium-driver python3-selenium tmux zsh fish \
	mosquitto mosquitto-clients nats-server git debhelper dpkg-dev lintian curl jq
DEPS_VM = qemu-system-x86 busybox-static cpio python3-pytest python3-serial systemd

deps-demo: deps-build
	$(call install_packages,$(DEPS_DEMO))

deps-vm: deps-build
	$(call install_packages,$(DEPS_VM))

# Of gpsd-clients only this program is unpacked: the package depends on GTK and SciPy, which
# take 400 MB.  The libraries that it is linked with are in DEPS_TEST.
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
	$(call install_packages,$(DEPS_TEST))

# --- what is run -------------------------------------------------------------

demo: deps-demo
	@$(MAKE) -s -j$(JOBS) all boards
	@tests/demo.sh build/plain/ttybridged build/boards

# The pictures in README.md: of a configuration, and of seven seconds of the demo.
picture: deps-demo
	@$(MAKE) -s -j$(JOBS) all boards
	$(PYTHON) tests/pictures/overview.py tests/pictures/overview.conf >man/overview.svg
	DEMO_SECONDS=7 $(PYTHON) tests/pictures/recording.py 'make demo' \
	    tests/demo.sh build/plain/ttybridged build/boards >man/demo.svg.new
	mv man/demo.svg.new man/demo.svg

check: deps
	$(MAKE) -j$(JOBS) all boards bench-tools
	$(MAKE) -j$(JOBS) FLAVOUR=clang all
	$(MAKE) -j$(JOBS) FLAVOUR=san all units replays faults
	tests/check.sh

# The service and the Debian package under a real systemd, in a container; skipped where
# there is none.
check-systemd: deps all faults deb
	tests/systemd/run.sh service
	tests/systemd/run.sh package

# Real serial drivers, and the service with udev, in emulated machines, in some minutes.
# VM_PULLS=50 takes longer.
check-vm: all deps-vm
	tests/vm/check.sh

lint: deps all
	tests/lint.sh

coverage: deps
	$(call install_packages,gcovr)
	$(MAKE) -j$(JOBS) boards faults
	$(MAKE) -j$(JOBS) FLAVOUR=cov all units replays
	tests/coverage.sh

# For T seconds, with FLAVOUR's build; SEED repeats a run, except for its timing.
soak: deps
	$(MAKE) -j$(JOBS) all
	TTYBRIDGED=$(B)/ttybridged $(PYTHON) tests/e2e/test_soak.py $(T) $(SEED)

# HOSTS daemons with PTYS pseudo-terminals each and one broker, for T seconds, without and with
# kills.
fleet: deps
	$(MAKE) -j$(JOBS) all
	for kill in "" --kill; do TTYBRIDGED=$(B)/ttybridged $(PYTHON) tests/fleet/fleet.py \
	    --seconds $(or $(T),60) $(if $(HOSTS),--hosts $(HOSTS)) $(if $(PTYS),--ptys $(PTYS)) \
	    $(if $(SEED),--seed $(SEED)) $$kill || exit 1; done

.PHONY: deps-demo deps-vm deps demo picture check check-systemd check-vm lint coverage soak fleet
