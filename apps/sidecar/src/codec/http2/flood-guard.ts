// HTTP/2 codec: counts what only an attacker sends in such numbers; each limit is Envoy's, by the same name.

import type { Http2Settings } from './http2-settings.js';

/** Which limit was passed; the names are those of Envoy's statistics under `http2.`. */
export type Flood =
  | 'outbound_flood'
  | 'outbound_control_flood'
  | 'inbound_empty_frames_flood'
  | 'inbound_priority_frames_flood'
  | 'inbound_window_update_frames_flood'
  | 'inbound_continuation_flood';

/** More CONTINUATION frames than this belong to no honest header block of at most 64 KiB (nghttp2 has the same limit). */
const MAX_CONTINUATIONS = 8;

export class FloodGuard {
  private emptyFrames = 0;
  private priorityFrames = 0;
  private windowUpdates = 0;
  private openedStreams = 0;
  private outboundData = 0;
  private outbound = 0;
  private outboundControl = 0;
  private continuations = 0;

  constructor(private readonly settings: Http2Settings) {}

  onStreamOpened(): void {
    this.openedStreams++;
  }

  onDataSent(): void {
    this.outboundData++;
    this.outbound++;
  }

  /** Everything that was sent is with the kernel. */
  onSettled(): void {
    this.outbound = 0;
    this.outboundControl = 0;
  }

  /** Answers to PING and SETTINGS, and RST_STREAM: the peer makes us send them. */
  controlSent(): Flood | null {
    this.outboundControl++;
    if (this.outboundControl > this.settings.maxOutboundControlFrames) return 'outbound_control_flood';
    return this.frameSent();
  }

  frameSent(): Flood | null {
    this.outbound++;
    return this.outbound > this.settings.maxOutboundFrames ? 'outbound_flood' : null;
  }

  /** HEADERS, CONTINUATION and DATA. */
  payload(length: number, endStream: boolean): Flood | null {
    if (length > 0 || endStream) {
      this.emptyFrames = 0;
      return null;
    }
    this.emptyFrames++;
    return this.emptyFrames > this.settings.maxConsecutiveEmptyFrames ? 'inbound_empty_frames_flood' : null;
  }

  headersBegan(): void {
    this.continuations = 0;
  }

  continuation(): Flood | null {
    this.continuations++;
    return this.continuations > MAX_CONTINUATIONS ? 'inbound_continuation_flood' : null;
  }

  priority(): Flood | null {
    this.priorityFrames++;
    const limit = this.settings.maxPriorityFramesPerStream * (1 + this.openedStreams);
    return this.priorityFrames > limit ? 'inbound_priority_frames_flood' : null;
  }

  windowUpdate(): Flood | null {
    this.windowUpdates++;
    const limit = 5 + 2 * (this.openedStreams + this.settings.maxWindowUpdatesPerDataFrame * this.outboundData);
    return this.windowUpdates > limit ? 'inbound_window_update_frames_flood' : null;
  }
}
