/*
 * Echo, 115200 baud: each byte comes back.
 */
void setup() {
  Serial.begin(115200);
}

void loop() {
  while (Serial.available())
    Serial.write(Serial.read());
}
