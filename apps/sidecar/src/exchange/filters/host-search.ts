// Exchange: finds out where a request goes whose cluster leaves that to the request: at once, or when DNS has answered.

import type { DataPath } from '../../transport/data-path.js';
import { Endpoint } from '../../upstream/endpoint.js';
import type { FoundHost } from '../../upstream/requested/forward-hosts.js';
import type { AskedHost } from '../../upstream/requested/requested-endpoints.js';
import { type LocalReply, NO_HEALTHY_UPSTREAM } from '../local-reply.js';

/** The request that asks. */
export interface SearchingRequest {
  onHostFound(endpoint: Endpoint): void;
  onNoHost(reply: LocalReply): void;
}

/** One for each exchange that ever needed it, used again and again. */
export class HostSearch {
  /** Of the search under way: what an older one finds concerns nobody any more. */
  private current = 0;

  constructor(
    private readonly path: DataPath,
    private readonly request: SearchingRequest,
  ) {}

  begin(clusterSlot: number, asked: AskedHost): void {
    const search = ++this.current;
    const found = this.path.forwardHosts[clusterSlot]?.find(asked) ?? NO_HEALTHY_UPSTREAM;
    if (!(found instanceof Promise)) {
      this.end(found);
      return;
    }
    found.then((host) => {
      if (search === this.current) this.end(host);
    });
  }

  /** Nobody waits for the answer any more. */
  cancel(): void {
    this.current++;
  }

  private end(found: FoundHost): void {
    this.current++;
    this.path.clock.tick();
    if (found instanceof Endpoint) this.request.onHostFound(found);
    else this.request.onNoHost(found);
  }
}
