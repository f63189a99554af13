// HTTP/2 codec: PINGs, by which a connection whose peer is gone is noticed (connection_keepalive).

import type { Timer } from '../../transport/timer-wheel.js';
import { FRAME_PING, NO_ERROR } from './frames.js';
import type { Http2Session } from './http2-session.js';

const PAYLOAD = Buffer.from('lateen..');

export class Keepalive {
  private waiting = false;

  constructor(
    private readonly session: Http2Session,
    private readonly timer: Timer,
  ) {}

  start(): void {
    const { keepaliveIntervalMs: intervalMs, keepaliveJitter } = this.session.settings;
    if (intervalMs === 0) return;
    this.session.path.wheel.schedule(this.timer, intervalMs * (1 + Math.random() * keepaliveJitter));
  }

  stop(): void {
    this.session.path.wheel.cancel(this.timer);
  }

  /** Sends one out of turn. */
  ping(): void {
    this.session.output.frame(FRAME_PING, 0, 0, PAYLOAD);
  }

  /** Any frame shows that the peer is there, as in Envoy. */
  onActivity(): void {
    const { settings, path } = this.session;
    if (this.waiting) path.wheel.schedule(this.timer, settings.keepaliveTimeoutMs);
  }

  onAnswered(): void {
    if (!this.waiting) return;
    this.waiting = false;
    this.start();
  }

  /** It is time for a PING, or the answer to one is overdue. */
  onTimer(): void {
    const { settings, path } = this.session;
    if (this.waiting) {
      this.session.fail(NO_ERROR, 'keepalive: the peer does not answer');
      return;
    }
    this.waiting = true;
    this.ping();
    path.wheel.schedule(this.timer, settings.keepaliveTimeoutMs);
  }
}
