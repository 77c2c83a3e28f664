# Emulated Arduinos for the tests and the demo: avrboard, and each sketch with
# the Arduino core.  Included by the Makefile; all of it goes to build/boards.

ARDUINO ?= /usr/share/arduino/hardware/arduino/avr
BOARDS = build/boards
SKETCHES = Ping Pong PongCobs Echo Flood

AVR_CPPFLAGS = -mmcu=atmega328p -DF_CPU=16000000L -DARDUINO=10819 \
	-DARDUINO_AVR_UNO -DARDUINO_ARCH_AVR \
	-I$(ARDUINO)/cores/arduino -I$(ARDUINO)/variants/standard
# The core is not ours: no warnings of it.  C++11 mode lacks DECIMAL_DIG.
AVR_CFLAGS = -Os -g -w -flto -ffunction-sections -fdata-sections -std=gnu11
AVR_CXXFLAGS = -Os -g -w -flto -ffunction-sections -fdata-sections \
	-std=gnu++11 -fpermissive -fno-exceptions -fno-threadsafe-statics \
	-DDECIMAL_DIG=__DECIMAL_DIG__
AVR_LDFLAGS = -mmcu=atmega328p -Os -flto -fuse-linker-plugin -Wl,--gc-sections

AVR_SRC = $(wildcard $(addprefix $(ARDUINO)/cores/arduino/,*.c *.cpp *.S))
AVR_OBJ = $(AVR_SRC:$(ARDUINO)/cores/arduino/%=$(BOARDS)/core/%.o)

boards: $(BOARDS)/avrboard $(SKETCHES:%=$(BOARDS)/%.elf) $(BOARDS)/optiboot.bin

$(BOARDS)/avrboard: tests/boards/avrboard.c tests/fault/uart.h | $(BOARDS)/core
	$(CC) -O2 -g -std=gnu11 -D_GNU_SOURCE $(WARN) -o $@ $< -lsimavr

$(BOARDS)/%.elf: $(BOARDS)/%.o $(BOARDS)/core.a
	avr-gcc $(AVR_LDFLAGS) -o $@ $^ -lm

# Built for a boot section of 1 KB: Debian's optiboot_atmega328.hex is longer than the 512
# bytes that it is for.  It waits for 8 seconds rather than one, because a busy machine may
# take that long to start a program.
OPTIBOOT = $(ARDUINO)/bootloaders/optiboot

$(BOARDS)/optiboot.elf: $(OPTIBOOT)/optiboot.c tests/boards/boards.mk | $(BOARDS)/core
	sed 's/(WATCHDOG_1S)/(WATCHDOG_8S)/' $< | \
	avr-gcc -w -Os -fno-inline-small-functions -fno-split-wide-types -mshort-calls \
		-mmcu=atmega328p -DF_CPU=16000000L -DBAUD_RATE=115200 \
		-DLED_START_FLASHES=3 -I$(OPTIBOOT) -nostartfiles -nostdlib \
		-Wl,--relax -Wl,--section-start=.text=0x7c00 -o $@ -x c -

$(BOARDS)/optiboot.bin: $(BOARDS)/optiboot.elf
	avr-objcopy -O binary --gap-fill 0xff --pad-to 0x8000 $< $@

$(BOARDS)/core.a: $(AVR_OBJ)
	rm -f $@
	avr-gcc-ar rcs $@ $^

$(SKETCHES:%=$(BOARDS)/%.o): $(BOARDS)/%.o: | $(BOARDS)/core
	avr-g++ $(AVR_CPPFLAGS) $(AVR_CXXFLAGS) -include Arduino.h -x c++ -c \
		-o $@ tests/boards/$*/$*.ino
$(foreach s,$(SKETCHES),$(eval $(BOARDS)/$s.o: tests/boards/$s/$s.ino))

$(BOARDS)/core/%.c.o: $(ARDUINO)/cores/arduino/%.c | $(BOARDS)/core
	@avr-gcc $(AVR_CPPFLAGS) $(AVR_CFLAGS) -c -o $@ $<

$(BOARDS)/core/%.cpp.o: $(ARDUINO)/cores/arduino/%.cpp | $(BOARDS)/core
	@avr-g++ $(AVR_CPPFLAGS) $(AVR_CXXFLAGS) -c -o $@ $<

$(BOARDS)/core/%.S.o: $(ARDUINO)/cores/arduino/%.S | $(BOARDS)/core
	@avr-gcc $(AVR_CPPFLAGS) -x assembler-with-cpp -c -o $@ $<

$(BOARDS)/core:
	mkdir -p $@

.PHONY: boards
