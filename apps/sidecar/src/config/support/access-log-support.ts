// Support table: access loggers: files, streams, and collectors of audits.

import type { SupportTable } from './support-types.js';

const HTTP_GRPC_LOG = 'envoy.extensions.access_loggers.grpc.v3.HttpGrpcAccessLogConfig';
const TCP_GRPC_LOG = 'envoy.extensions.access_loggers.grpc.v3.TcpGrpcAccessLogConfig';
const OPEN_TELEMETRY_LOG = 'envoy.extensions.access_loggers.open_telemetry.v3.OpenTelemetryAccessLogConfig';
const TAG = 'envoy.type.tracing.v3.CustomTag';
const OF_AUDITS = 'for audits alone (loggers named lateen.audit)';
const NO_HEADERS = 'use custom_tags';
const NO_DEFAULT = 'what is not there is left out';

export const ACCESS_LOG_SUPPORT: SupportTable = {
  'envoy.config.accesslog.v3.AccessLog': {
    acted: ['name', 'typed_config'],
    refused: { filter: 'every exchange is logged' },
    anyOf: {
      typed_config: [
        'envoy.extensions.access_loggers.file.v3.FileAccessLog',
        'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog',
        'envoy.extensions.access_loggers.stream.v3.StderrAccessLog',
        HTTP_GRPC_LOG,
        TCP_GRPC_LOG,
        OPEN_TELEMETRY_LOG,
      ],
    },
  },
  'envoy.extensions.access_loggers.file.v3.FileAccessLog': {
    acted: ['path', 'format', 'json_format', 'typed_json_format', 'log_format'],
  },
  'envoy.extensions.access_loggers.stream.v3.StdoutAccessLog': { acted: ['log_format'] },
  'envoy.extensions.access_loggers.stream.v3.StderrAccessLog': { acted: ['log_format'] },
  'envoy.config.core.v3.SubstitutionFormatString': {
    acted: ['text_format', 'text_format_source', 'json_format', 'omit_empty_values', 'json_format_options'],
    inert: { content_type: 'a log line has no content type' },
  },
  'envoy.config.core.v3.JsonFormatOptions': { acted: ['sort_properties'] },
  [HTTP_GRPC_LOG]: {
    acted: ['common_config'],
    refused: {
      additional_request_headers_to_log: NO_HEADERS,
      additional_response_headers_to_log: 'entries have none',
      additional_response_trailers_to_log: 'entries have none',
    },
    notes: { common_config: OF_AUDITS },
  },
  [TCP_GRPC_LOG]: { acted: ['common_config'], notes: { common_config: OF_AUDITS } },
  'envoy.extensions.access_loggers.grpc.v3.CommonGrpcAccessLogConfig': {
    acted: ['log_name', 'grpc_service', 'custom_tags'],
    only: { transport_api_version: ['V3'] },
    inert: {
      buffer_flush_interval: 'an audit is handed over within a second',
      buffer_size_bytes: 'an audit is handed over when 64 KiB wait, or within a second',
    },
    refused: {
      filter_state_objects_to_log: 'no filter state is kept',
      grpc_stream_retry_policy: 'what was not taken is sent again anyway',
    },
    notes: {
      grpc_service: 'a call has three seconds; each is a stream of one message, whose status says whether it was taken',
    },
  },
  [OPEN_TELEMETRY_LOG]: {
    acted: ['common_config', 'attributes'],
    refused: {
      body: "the body is the audit's record",
      resource_attributes: 'use attributes',
      disable_builtin_labels: 'they are always there',
      formatters: 'formatters are not supported',
    },
    inert: { stat_prefix: 'what is dropped is counted under the name of the cluster' },
    notes: { common_config: OF_AUDITS },
  },
  'opentelemetry.proto.common.v1.KeyValueList': { acted: ['values'] },
  'opentelemetry.proto.common.v1.KeyValue': { acted: ['key', 'value'] },
  'opentelemetry.proto.common.v1.AnyValue': { acted: ['string_value'] },
  [TAG]: { acted: ['tag', 'literal', 'environment', 'request_header', 'metadata'] },
  [`${TAG}.Literal`]: { acted: ['value'] },
  [`${TAG}.Environment`]: { acted: ['name'], refused: { default_value: NO_DEFAULT } },
  [`${TAG}.Header`]: { acted: ['name'], refused: { default_value: NO_DEFAULT } },
  [`${TAG}.Metadata`]: { acted: ['kind', 'metadata_key'], refused: { default_value: NO_DEFAULT } },
  'envoy.type.metadata.v3.MetadataKind': { acted: ['request'] },
  'envoy.type.metadata.v3.MetadataKind.Request': { acted: [] },
};
