/*
 * Flood, 115200 baud, lines: numbers its lines from 1 and never rests:
 * "flood 1", "flood 2", and so on.  A number that is missing was lost.
 */
static unsigned long count;

void setup() {
  Serial.begin(115200);
}

void loop() {
  Serial.print(F("flood "));
  Serial.println(++count);
}
