/*
 * Ping, 9600 baud, lines: sends "ping N got M" and awaits "pong N".  M is
 * how many of the N - 1 pings before were answered; " odd K" follows once
 * answers came that were wrong, late or doubled.  Nothing is sent twice, so
 * each lost message shows.
 *
 * Begins with "hello" until a "hello" comes back: before that the other
 * board may not be there yet.
 */
const unsigned long PATIENCE = 2000;  // ms

static unsigned long count, got, odd;
static char line[32];

static bool readLine() {
  static byte used;

  while (Serial.available()) {
    char c = Serial.read();
    if (c == '\n') {
      line[used] = '\0';
      used = 0;
      return true;
    }
    if (c != '\r' && used < sizeof line - 1)
      line[used++] = c;
  }
  return false;
}

static bool hear(const char *wanted, unsigned long patience) {
  unsigned long start = millis();

  while (millis() - start < patience) {
    if (!readLine())
      continue;
    if (strcmp(line, wanted) == 0)
      return true;
    if (strcmp(line, "hello") != 0)
      odd++;
  }
  return false;
}

void setup() {
  Serial.begin(9600);
  do {
    Serial.println(F("hello"));
  } while (!hear("hello", 250));
  odd = 0;
}

void loop() {
  char pong[16];

  count++;
  Serial.print(F("ping "));
  Serial.print(count);
  Serial.print(F(" got "));
  Serial.print(got);
  if (odd > 0) {
    Serial.print(F(" odd "));
    Serial.print(odd);
  }
  Serial.println();

  snprintf(pong, sizeof pong, "pong %lu", count);
  if (hear(pong, PATIENCE))
    got++;
}
