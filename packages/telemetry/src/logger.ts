// Logging: one JSON object a line on standard error, the same shape in every process.

import { destination, type Logger, pino, stdTimeFunctions } from 'pino';

export type { Logger };

export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/**
 * Creates a process's logger. Lines are written synchronously, so that none is lost when the process ends.
 * @param component name of the process, for example "pilot"
 */
export function createLogger(component: string, level: LogLevel = 'info'): Logger {
  return pino(
    {
      level,
      base: { component },
      timestamp: stdTimeFunctions.isoTime,
      messageKey: 'message',
      errorKey: 'error',
      formatters: { level: (label) => ({ level: label }) },
    },
    destination({ fd: 2, sync: true }),
  );
}
