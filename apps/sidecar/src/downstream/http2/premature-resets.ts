// Downstream: notices clients that open streams only to reset them (CVE-2023-44487), by Envoy's measure.

/** Envoy's overload.premature_reset_total_stream_count. */
const STREAM_COUNT = 500;

export class PrematureResets {
  private closed = 0;
  private premature = 0;

  onStreamClosed(): void {
    this.closed++;
  }

  /** One was reset by the client within a second, before its response began. True where it was one too many. */
  onPrematureReset(): boolean {
    this.premature++;
    // Before so many streams have ended, only where even good ones from here on could not make up for it.
    return this.premature * 2 >= Math.max(this.closed, STREAM_COUNT);
  }
}
