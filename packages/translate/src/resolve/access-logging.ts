// Resolve: where a proxy writes its access log, from Telemetry and MeshConfig.

import type { ConfigObject, MeshConfig, TelemetrySpec } from '@lateen/istio-config';
import type { Problem, StringMap } from '../model.js';
import { compareText } from '../stable-hash.js';
import { type AuditLog, resolveAuditLog } from './lateen/audit-logs.js';
import type { WorkloadMode } from './telemetry.js';

/** One file access log. */
export interface FileAccessLog {
  readonly path: string;
  readonly format: { readonly text: string } | { readonly json: StringMap };
  /** Values that are not there leave nothing behind, neither `-` nor a key. */
  readonly omitsEmptyValues?: true;
}

export type EffectiveAccessLog = FileAccessLog | AuditLog;
export type AccessLogsByMode = Readonly<Record<WorkloadMode, readonly EffectiveAccessLog[]>>;

/** Istio's text format, one line. */
export const TEXT_FORMAT =
  '[%START_TIME%] "%REQ(:METHOD)% %REQ(X-ENVOY-ORIGINAL-PATH?:PATH)% %PROTOCOL%" %RESPONSE_CODE% %RESPONSE_FLAGS% ' +
  '%RESPONSE_CODE_DETAILS% %CONNECTION_TERMINATION_DETAILS% "%UPSTREAM_TRANSPORT_FAILURE_REASON%" %BYTES_RECEIVED% ' +
  '%BYTES_SENT% %DURATION% %RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)% "%REQ(X-FORWARDED-FOR)%" "%REQ(USER-AGENT)%" ' +
  '"%REQ(X-REQUEST-ID)%" "%REQ(:AUTHORITY)%" "%UPSTREAM_HOST%" %UPSTREAM_CLUSTER_RAW% %UPSTREAM_LOCAL_ADDRESS% ' +
  '%DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_REMOTE_ADDRESS% %REQUESTED_SERVER_NAME% %ROUTE_NAME%\n';

/** Istio's JSON format: the same values under its 24 keys. */
export const JSON_FORMAT: StringMap = {
  authority: '%REQ(:AUTHORITY)%',
  bytes_received: '%BYTES_RECEIVED%',
  bytes_sent: '%BYTES_SENT%',
  connection_termination_details: '%CONNECTION_TERMINATION_DETAILS%',
  downstream_local_address: '%DOWNSTREAM_LOCAL_ADDRESS%',
  downstream_remote_address: '%DOWNSTREAM_REMOTE_ADDRESS%',
  duration: '%DURATION%',
  method: '%REQ(:METHOD)%',
  path: '%REQ(X-ENVOY-ORIGINAL-PATH?:PATH)%',
  protocol: '%PROTOCOL%',
  request_id: '%REQ(X-REQUEST-ID)%',
  requested_server_name: '%REQUESTED_SERVER_NAME%',
  response_code: '%RESPONSE_CODE%',
  response_code_details: '%RESPONSE_CODE_DETAILS%',
  response_flags: '%RESPONSE_FLAGS%',
  route_name: '%ROUTE_NAME%',
  start_time: '%START_TIME%',
  upstream_cluster: '%UPSTREAM_CLUSTER_RAW%',
  upstream_host: '%UPSTREAM_HOST%',
  upstream_local_address: '%UPSTREAM_LOCAL_ADDRESS%',
  upstream_service_time: '%RESP(X-ENVOY-UPSTREAM-SERVICE-TIME)%',
  upstream_transport_failure_reason: '%UPSTREAM_TRANSPORT_FAILURE_REASON%',
  user_agent: '%REQ(USER-AGENT)%',
  x_forwarded_for: '%REQ(X-FORWARDED-FOR)%',
};

/** Istio ends every text line itself. */
function textFormat(format: string | undefined): { readonly text: string } {
  if (!format) return { text: TEXT_FORMAT };
  return { text: format.endsWith('\n') ? format : `${format}\n` };
}

function meshAccessLog(meshConfig: MeshConfig): readonly FileAccessLog[] {
  if (!meshConfig.accessLogFile) return [];
  if (meshConfig.accessLogEncoding !== 'JSON') {
    return [{ path: meshConfig.accessLogFile, format: textFormat(meshConfig.accessLogFormat) }];
  }
  const custom = meshConfig.accessLogFormat ? parseJsonFormat(meshConfig.accessLogFormat) : undefined;
  return [{ path: meshConfig.accessLogFile, format: { json: custom ?? JSON_FORMAT } }];
}

/** A JSON object of strings; undefined where the text is not one (validation reports that). */
function parseJsonFormat(text: string): StringMap | undefined {
  try {
    return stringMembers(JSON.parse(text));
  } catch {
    return undefined;
  }
}

function stringMembers(value: unknown): StringMap | undefined {
  if (value === null || typeof value !== 'object') return undefined;
  return Object.fromEntries(Object.entries(value).filter(([, member]) => typeof member === 'string'));
}

function providerLog(name: string, meshConfig: MeshConfig, mode: WorkloadMode): EffectiveAccessLog | undefined {
  const declared = meshConfig.extensionProviders?.find((provider) => provider.name === name);
  if (declared?.lateenAudit !== undefined) {
    return resolveAuditLog(declared.lateenAudit, mode === 'SERVER' ? 'inbound' : 'outbound');
  }
  const file = declared?.envoyFileAccessLog ?? (declared === undefined && name === 'envoy' ? {} : undefined);
  if (file === undefined) return undefined;
  const labels = stringMembers(file.logFormat?.labels);
  const format = labels === undefined ? textFormat(file.logFormat?.text) : { json: labels };
  return { path: file.path || '/dev/stdout', format, ...(file.omitEmptyValues ? { omitsEmptyValues: true } : {}) };
}

type Logging = NonNullable<TelemetrySpec['accessLogging']>[number];

function appliesTo(entry: Logging, mode: WorkloadMode): boolean {
  const wanted = entry.match?.mode;
  return wanted === undefined || wanted === 'CLIENT_AND_SERVER' || wanted === mode;
}

function namesOf(entry: Logging): readonly string[] {
  return (entry.providers ?? []).map(({ name }) => name);
}

/** Provider names in force for a side, by Istio's merge: lower levels replace providers, `disabled` takes one away. */
function providersFor(levels: readonly (readonly Logging[])[], defaults: readonly string[], mode: WorkloadMode) {
  const lastNamed = levels.map((level) => level.flatMap(namesOf)).findLast((names) => names.length > 0);
  const inScope = new Set(lastNamed ?? defaults);
  const enabled = new Set<string>();
  let inherited = defaults;
  for (const entry of levels.flat()) {
    const named = namesOf(entry);
    if (named.length > 0) inherited = named;
    if (!appliesTo(entry, mode)) continue;
    for (const provider of inherited.filter((name) => inScope.has(name))) {
      if (entry.disabled === true) enabled.delete(provider);
      else enabled.add(provider);
    }
  }
  return [...enabled].sort(compareText);
}

/** The access logs of both sides of a proxy. Without Telemetry, and without default providers, MeshConfig decides. */
export function resolveAccessLogs(
  telemetries: readonly ConfigObject<'Telemetry'>[],
  meshConfig: MeshConfig,
): { readonly accessLogs: AccessLogsByMode; readonly problems: readonly Problem[] } {
  const logging = telemetries.filter(({ spec }) => (spec.accessLogging ?? []).length > 0);
  const defaults = meshConfig.defaultProviders?.accessLogging ?? [];
  if (logging.length === 0 && defaults.length === 0) {
    const mesh = meshAccessLog(meshConfig);
    return { accessLogs: { CLIENT: mesh, SERVER: mesh }, problems: [] };
  }
  const problems: Problem[] = [];
  for (const { spec, metadata } of logging) {
    const subject = `Telemetry/${metadata.namespace}/${metadata.name}`;
    for (const entry of spec.accessLogging ?? []) {
      for (const provider of namesOf(entry).filter((known) => providerLog(known, meshConfig, 'SERVER') === undefined)) {
        const message = `access log provider ${provider} is not a file access log; nothing is logged to it. Use envoy, or declare it in MeshConfig extensionProviders with envoyFileAccessLog or lateenAudit`;
        problems.push({ code: 'unsupported-access-log-provider', severity: 'warning', subject, message });
      }
      if (entry.filter?.expression) {
        const message = 'accessLogging filter expressions are not acted on yet; every request is logged';
        problems.push({ code: 'unsupported-access-log-filter', severity: 'warning', subject, message });
      }
    }
  }
  // Without Telemetry the default providers stand as if a Telemetry had turned them on.
  const levels = logging.length > 0 ? logging.map(({ spec }) => spec.accessLogging ?? []) : [[{}]];
  const logsFor = (mode: WorkloadMode) =>
    providersFor(levels, defaults, mode)
      .map((provider) => providerLog(provider, meshConfig, mode))
      .filter((log) => log !== undefined);
  return { accessLogs: { CLIENT: logsFor('CLIENT'), SERVER: logsFor('SERVER') }, problems };
}
