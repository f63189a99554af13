// The functions of the WebAssembly module, as numbers in and out; layout.ts names the structs they fill.
// Order of use for one request: parseRequest, route, (filters), pick, writeUpstreamHead, parseResponse,
// writeDownstreamHead, record. No call keeps state between two requests except the counters and the state regions.

/** All offsets are bytes in the core's memory. */
export interface CoreFunctions {
  /**
   * Parses the request head at `offset` and fills REQ_*. `scanned` is how many of the `length` bytes were there at an
   * earlier call that returned 0 (0 at the first): only new bytes are searched for the end of the head then.
   * `listener` is an options record, `connection` a connection record or 0: path normalization, edge rules and the removal
   * of a forged x-forwarded-client-cert are applied here, before any decision.
   *
   * Returns the head's length (> 0), 0 when more bytes are needed, or -(HTTP status): 400, 426 (HTTP/1.0 where the listener
   * does not accept it), 431, 501, 505.
   * After a refusal the connection must be closed. PARSE_ERROR says why. Empty lines before the request line are skipped
   * and counted in the head.
   */
  parseRequest(offset: number, length: number, scanned: number, listener: number, connection: number): number;

  /**
   * Decides for the parsed request and fills ROUTE_*; returns ROUTE_ACTION_*. `routeConfigSlot` is
   * `tables.routeConfigSlot(name)`; an absent configuration gives ROUTE_ACTION_NONE. `random` is -1, or the ROUTE_RANDOM of
   * an earlier call for the same request, so that a weighted cluster is chosen once. `secure` is 1 when the client's
   * connection is TLS (the `:scheme`).
   */
  route(routeConfigSlot: number, random: number, secure: number): number;

  /**
   * Charges the rate limits of the listener, or those that the route or its virtual host has in their place; after route().
   * Returns 0 to go on, a status to answer with (ROUTE_LIMIT_POLICY is the policy of that answer), or CHARGE_NEEDS_BUCKET:
   * call again with a zeroed slot of `Core.connectionBuckets`, or with -1 where none is left, for the limit's own bucket.
   * Where limits are not enforced, writeUpstreamHead adds their headers.
   */
  chargeLimits(listener: number, connectionBucket: number, nowMs: number): number;

  /**
   * Throws the dice for the fault of the route, its virtual host or the listener's filter; after route(). Returns 1 where
   * the request is to be held back (ROUTE_FAULT_DELAY_MS), answered with an error (ROUTE_FAULT_ABORT_STATUS), or both.
   */
  decideFault(listener: number): number;

  /**
   * Decides by the CORS policy of the route or its virtual host; after route(). Returns CORS_*, and fills SHARE_* with what
   * the heads of the answer say (SHARE_POLICY is 0 where they say nothing).
   */
  decideCors(listener: number): number;

  /**
   * Charges the quotas of the listener's filters, after route(). `connection` is a connection record or 0, `secure` as in
   * route(). Returns 0 to go on or a status to answer with (QUOTA_REPLY_*). Buckets that were made are in QUOTA_MADE, so that
   * somebody may ask for their quota; a bucket in a place that had another means that the other is gone. Where quotas are not
   * enforced, writeUpstreamHead adds their headers. Of those let through QUOTA_TOLD says what is left, where a filter tells it.
   */
  chargeQuotas(listener: number, connection: number, secure: number, nowMs: number): number;

  /**
   * What the request is to the rate limit service of the listener's filter `index`, after route() where that says to forward:
   * how many descriptors there are (DESCRIPTORS; they point into the request, so read them at once), 0 where nothing is asked.
   */
  describeLimits(listener: number, index: number, connection: number, secure: number): number;

  /**
   * Checks access rules (a place of `Core.rbac`) for the parsed request, or for a connection (rules that were compiled for
   * those do not look at requests; `listener` is 0 then). The connection's record must have a peer. `secure` as in route().
   * Returns the place of the first policy that matches, RBAC_NO_MATCH, or RBAC_RULES_GONE: then nothing may pass.
   */
  checkRules(rules: number, serial: number, listener: number, connection: number, secure: number): number;

  /** Whether all of the bytes match the compiled expression (REGEX_*) at `regex`: 1 or 0. */
  matchesRegex(regex: number, offset: number, length: number): number;

  /**
   * Hashes the parsed request as the hash policies of its route say (after route(); listener options and connection record, or 0), for the next
   * pick(). Returns 0 where there is nothing to hash, else 1, and one bit left of it for each hash policy that makes a
   * cookie: what SET_COOKIES takes. PICK_HASH and PICK_HASH_SET may be kept and set again for a retry.
   */
  hashRequest(listener: number, connection: number): number;
  /** XXH64 of bytes, to HASH64_RESULT. */
  hash64(offset: number, length: number, seed: number): void;

  /**
   * Chooses an endpoint: its slot (>= 0), or PICK_*. `triedCount` slots in PICK_TRIED (see Core.pickTried) are avoided
   * where another healthy one exists; `attempts` bounds the search (a ring or Maglev table is asked so many times again, and
   * then gives what it gives). The endpoint's active count is not changed here:
   * call `endpointBegin` when the request is bound to a connection, and `endpointEnd` once for each.
   */
  pick(clusterSlot: number, triedCount: number, attempts: number): number;
  /**
   * The priorities that `triedCount` slots in PICK_TRIED belong to, in the form of PICK_EXCLUDED; 0 where nobody would be
   * left that is healthy.
   */
  triedPriorities(clusterSlot: number, triedCount: number): number;
  endpointBegin(endpointSlot: number): void;
  endpointEnd(endpointSlot: number): void;

  /** Takes one unit of LIMIT_* at the cluster; 1, or 0 where its circuit breaker is full (counted as overflow). */
  acquire(clusterSlot: number, kind: number): number;
  release(clusterSlot: number, kind: number): void;

  /**
   * Writes the head for the upstream: request line, kept headers, mutations of the route, its virtual host and
   * configuration, and what the listener options say. Must follow parseRequest and route with no other request between.
   * `connection` is a connection record or 0. `cluster` is the slot chosen (peer headers are not sent to external ones).
   * Returns the length, 0 where `capacity` is too small, or -1 where tables changed since route(): call route() again.
   * May be called again for the same request. Where POLICY_FLAG_ATTEMPT_COUNT_IN_REQUEST is set, the attempt count is the
   * last header and `setAttemptCount` can change it in a kept copy.
   */
  writeUpstreamHead(out: number, capacity: number, listener: number, connection: number, cluster: number): number;

  /** Changes the x-envoy-attempt-count of a head made by writeUpstreamHead; returns the new length (it may grow by 2). */
  setAttemptCount(head: number, length: number, attempt: number): number;

  /**
   * Parses the response head at `offset` and fills RESP_*. `scanned` as in parseRequest. `method` is METHOD_* of the
   * request (HEAD and CONNECT change the framing); `context` is RESPONSE_TO_* bits.
   * Returns the head's length, 0 for more, or -502 (then answer with UPE and close the upstream connection).
   * A 1xx other than 101 has RESPONSE_INFORMATIONAL: skip it and parse again; it is not forwarded.
   */
  parseResponse(
    offset: number,
    length: number,
    scanned: number,
    method: number,
    context: number,
    listener: number,
  ): number;

  /**
   * Writes the head for the client from RESP_*. `policy` is ROUTE_POLICY of the exchange (0 = none). `flags` are
   * DOWNSTREAM_*. `serviceTimeMs` goes to x-envoy-upstream-service-time (-1 = omit), `attempts` to
   * x-envoy-attempt-count where the policy says so. With BODY_UNTIL_CLOSE, `connection: close` is written: close after
   * the body. To an HTTP/1.0 client a chunked body must be sent in CHUNK_MODE_DATA and the connection closed
   * (`connection: close` is written). Returns the length, or 0 where `capacity` is too small.
   */
  writeDownstreamHead(
    out: number,
    capacity: number,
    listener: number,
    policy: number,
    flags: number,
    serviceTimeMs: number,
    attempts: number,
  ): number;

  /**
   * Writes a complete local answer (head and body): `status` with its reason, text/plain body copied from `body` (length 0
   * = none), `location` for redirects (length 0 = none), server and date headers, response mutations of `policy` (0 =
   * none). `flags` are DOWNSTREAM_*. With DOWNSTREAM_GRPC the answer is 200 with grpc-status and grpc-message (the body) in
   * its head and no body; RESP_GRPC_STATUS is the status, -1 for others. Returns the length, or 0 where `capacity` is too
   * small.
   */
  writeLocalReply(
    out: number,
    capacity: number,
    listener: number,
    policy: number,
    flags: number,
    status: number,
    body: number,
    bodyLength: number,
    location: number,
    locationLength: number,
  ): number;

  /** Makes a decoder (a slot of `Core.h2Decoders`) new: an empty table of H2_MAX_TABLE_SIZE, as a connection begins. */
  h2ResetDecoder(decoder: number): void;
  /**
   * Call it when the peer acknowledges a SETTINGS_HEADER_TABLE_SIZE other than H2_MAX_TABLE_SIZE, which is the most there
   * can be. A peer that has a larger table must then shrink it at once.
   */
  h2SetTableLimit(decoder: number, limit: number): void;
  /**
   * Decodes one whole header block (fragments of CONTINUATION joined, H2_MAX_BLOCK_BYTES at most) to a head in HTTP/1.1
   * form at `out`, which parseRequest or parseResponse then reads; fields are checked by RFC 9113, 8.2 and 8.3. `out` must
   * not overlap the block. `kind`: H2_REQUEST, H2_RESPONSE or H2_TRAILERS, with H2_END_STREAM, H2_ALLOW_PROTOCOL,
   * H2_UPGRADE as they apply.
   *
   * A request is `METHOD path HTTP/1.1`, `host: AUTHORITY` and its fields; crumbs of the cookie are joined. Where a body
   * follows whose length is not told, `transfer-encoding: chunked` is added: DATA has no chunk framing all the same. CONNECT
   * is `CONNECT authority`; an extended CONNECT `GET path` with `upgrade: PROTOCOL` and `connection: Upgrade`
   * (H2_DECODED_PROTOCOL is set). A response is `HTTP/1.1 200 ` and its fields; with H2_UPGRADE a 2xx becomes 101. A
   * response that H2_END_STREAM ends without a content-length has neither marker: tell parseResponse (RESPONSE_TO_ENDED).
   * Trailers are lines alone, with no empty line; 0 is the length of none; RESP_GRPC_STATUS is their grpc-status.
   * That DATA is as long as content-length says is for the caller to check; only a request that ends without its body is
   * refused here.
   *
   * Returns the length, or H2_ERROR_*. After H2_ERROR_MALFORMED and H2_ERROR_TOO_LARGE (more than MAX_HEADERS lines,
   * MAX_HEAD_BYTES or `capacity`) the decoder is in step and the connection goes on; not after the others.
   */
  h2DecodeHead(decoder: number, offset: number, length: number, kind: number, out: number, capacity: number): number;
  /**
   * Encodes a head in HTTP/1.1 form, as writeUpstreamHead, writeDownstreamHead and writeLocalReply make it, to a header
   * block at `out`, which must not overlap the head. `kind`: H2_REQUEST, H2_RESPONSE or H2_TRAILERS, with H2_HTTPS (the
   * scheme), H2_UPGRADE and H2_HUFFMAN. Names become lower case; host becomes `:authority`; transfer-encoding and what else means one
   * connection alone is left out. `te: trailers` is added to requests of gRPC. With H2_UPGRADE a request with an
   * upgrade line becomes an extended CONNECT: the peer must have sent SETTINGS_ENABLE_CONNECT_PROTOCOL. Status 101 becomes 200. Trailers are
   * lines, with or without an empty one at the end. There is no state: the dynamic table of the peer stays empty.
   * Returns the length, 0 where `capacity` is too small. H2_ENCODED_HEAD_LENGTH is what the head had with its empty line:
   * the body of a local reply begins there.
   */
  h2EncodeHead(head: number, length: number, kind: number, out: number, capacity: number): number;

  /** Prepares a chunk state (CHUNK_STATES slot) for the next message; `mode` is CHUNK_MODE_*. */
  resetChunks(state: number, mode: number): void;
  /**
   * Scans bytes of a chunked body. Returns how many of them belong to this message (the rest is the next message's), or
   * -400. Compacts in place: the first CHUNK_FORWARD bytes at `offset` are what to forward. The message has ended where
   * CHUNK_PHASE is CHUNK_PHASE_DONE. Works at every split point; strict; bounded.
   */
  scanChunks(state: number, offset: number, length: number): number;

  /**
   * Looks up interned peer metadata by the value at `offset` (x-envoy-peer-metadata); `hint` is the peer id seen last on
   * this connection (0 = none), compared first. Returns its id (> 0), or adds it. 0 = the table is full or the value
   * too long (both counted), or length is 0. `Core.peerMetadata(id)` gives the value; decode it at scrape, not here.
   */
  internPeer(offset: number, length: number, hint: number): number;

  /**
   * Counts one finished request in the series of the six-part key (see SERIES_*). Bytes are on the wire. Where the table of
   * series is full the request is counted in series 0, whose key is all zeros, and in `seriesOverflow`. `grpcStatus` is
   * -1 where the request is not gRPC, GRPC_STATUS_NONE where it is and has none. Returns the place of the series: messages of
   * gRPC are added there by the caller.
   */
  record(
    context: number,
    peer: number,
    connection: number,
    code: number,
    flags: number,
    grpcStatus: number,
    durationMs: number,
    requestBytes: number,
    responseBytes: number,
  ): number;
  seriesCount(): number;
  seriesOverflow(): number;
  peerCount(): number;
  peerOverflow(): number;

  /** Copies within the memory (9 ns for 1 KiB); ranges may overlap. Out of range throws. */
  copy(to: number, from: number, length: number): void;
  /**
   * 1 where the response status is in the policy's retriable codes, or RETRY_ON_5XX, gateway-error, retriable-4xx or a
   * condition of gRPC (RESP_GRPC_STATUS) asks for it.
   */
  isRetriableStatus(policy: number, status: number): number;
  /** The gRPC status for an HTTP one, where an answer to gRPC has none. */
  grpcStatusOf(status: number): number;
  /** Seeds the random numbers (request ids, weights, load balancing); not zero. */
  seed(low: number, high: number): void;
  /** Hash of a header name or host (ASCII case ignored), as the tables use it. */
  hashName(offset: number, length: number): number;
  /** Generation of the tables; changes at each swap. */
  generation(): number;
  setGeneration(value: number): void;
}

/** Flags of writeDownstreamHead and writeLocalReply. */
export const DOWNSTREAM_CLOSE = 1;
/** The client speaks HTTP/1.0. */
export const DOWNSTREAM_HTTP_10 = 2;
/** The request had peer metadata: answer with the listener's own. */
export const DOWNSTREAM_PEER_LINES = 4;
/** The request was HEAD: no body is written. */
export const DOWNSTREAM_HEAD = 8;
/** The client speaks HTTP/2: the head will be encoded by h2EncodeHead. */
export const DOWNSTREAM_HTTP_2 = 16;
/** The request was gRPC: a local answer is one that gRPC reads. */
export const DOWNSTREAM_GRPC = 32;
/** Its status, where it is not the one that belongs to the HTTP status: (status + 1) << DOWNSTREAM_GRPC_STATUS_SHIFT. */
export const DOWNSTREAM_GRPC_STATUS_SHIFT = 8;

/** For record(): gRPC that ended without a status, because its client went away. */
export const GRPC_STATUS_NONE = -2;
