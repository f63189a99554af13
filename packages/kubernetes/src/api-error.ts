// Errors of the API server, with what a program decides by: code and reason.
import type { Status } from './objects.js';

export class ApiError extends Error {
  override readonly name = 'ApiError';

  constructor(
    message: string,
    /** HTTP status. */
    readonly code: number,
    /** As the API server names it: `NotFound`, `Conflict`, `Expired`…; '' where it did not say. */
    readonly reason: string,
    /** How long the server asked to wait. */
    readonly retryAfterMs: number | undefined,
    readonly status: Status | undefined,
  ) {
    super(message);
  }

  /** @param what what was asked, for example `list VirtualService` */
  static fromResponse(what: string, code: number, body: string, retryAfter: string | undefined): ApiError {
    const status = parseStatus(body);
    const text = status?.message ?? (body.trim().slice(0, 300) || 'no reason given');
    const seconds = Number(retryAfter ?? status?.details?.retryAfterSeconds);
    const retryAfterMs = Number.isFinite(seconds) && seconds >= 0 ? seconds * 1_000 : undefined;
    return new ApiError(
      `${what}: ${text} (${code}${reasonSuffix(status)})`,
      code,
      status?.reason ?? '',
      retryAfterMs,
      status,
    );
  }

  /** Of the object of a watch's ERROR event. */
  static fromStatus(what: string, status: Status): ApiError {
    const { code = 500, reason = '', message = 'no reason given', details } = status;
    const seconds = details?.retryAfterSeconds;
    const retryAfterMs = seconds === undefined ? undefined : seconds * 1_000;
    return new ApiError(`${what}: ${message} (${code}${reasonSuffix(status)})`, code, reason, retryAfterMs, status);
  }
}

function reasonSuffix(status: Status | undefined): string {
  return status?.reason === undefined || status.reason === '' ? '' : ` ${status.reason}`;
}

function parseStatus(body: string): Status | undefined {
  try {
    const value: unknown = JSON.parse(body);
    const isStatus = typeof value === 'object' && value !== null && (value as Status).kind === 'Status';
    return isStatus ? (value as Status) : undefined;
  } catch {
    return undefined; // a proxy's page, or half an answer: its text is the message
  }
}

export function isNotFound(error: unknown): boolean {
  return error instanceof ApiError && error.code === 404;
}

/** Somebody else changed the object since it was read. */
export function isConflict(error: unknown): boolean {
  return error instanceof ApiError && error.code === 409 && error.reason !== 'AlreadyExists';
}

export function isAlreadyExists(error: unknown): boolean {
  return error instanceof ApiError && error.code === 409 && error.reason === 'AlreadyExists';
}

/** The version that was asked for is no longer kept. */
export function isGone(error: unknown): boolean {
  return error instanceof ApiError && (error.code === 410 || error.reason === 'Expired' || error.reason === 'Gone');
}
