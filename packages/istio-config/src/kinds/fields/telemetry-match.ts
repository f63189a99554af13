// Fields: what a part of Telemetry applies to, and who gets it.
import { list, message, required } from '../../declare/message.js';
import { choice, text } from '../../declare/scalars.js';

/** The sides of an exchange. */
export const WORKLOAD_MODES = ['CLIENT_AND_SERVER', 'CLIENT', 'SERVER'] as const;

/** Chooses a side. */
export const modeMatch = message('LoggingMatch', { mode: choice('Which side (default both).', WORKLOAD_MODES) });

/** Names of extension providers. */
export const providerReferences = list(
  message('ProviderRef', { name: required(text('Its name in MeshConfig.', { minLength: 1 })) }),
  'Who gets it: names of extension providers of MeshConfig.',
);
