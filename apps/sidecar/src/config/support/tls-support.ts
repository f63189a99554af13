// Support table: TLS contexts, certificates and secrets.

import type { SupportTable } from './support-types.js';

const TLS = 'envoy.extensions.transport_sockets.tls.v3';
const WATCHED = 'the files are read again when they change; in Envoy only where the secret comes by SDS';

export const TLS_SUPPORT: SupportTable = {
  [`${TLS}.DownstreamTlsContext`]: {
    acted: ['common_tls_context', 'require_client_certificate'],
    inert: {
      disable_stateless_session_resumption: 'every handshake, resumed or not, is verified again',
      disable_stateful_session_resumption: 'every handshake, resumed or not, is verified again',
      session_timeout: 'every handshake, resumed or not, is verified again',
    },
    only: { require_sni: ['false'], ocsp_staple_policy: ['LENIENT_STAPLING'] },
    refused: {
      session_ticket_keys: 'ticket keys are made by the process and change with the trust bundle',
      session_ticket_keys_sds_secret_config: 'ticket keys are made by the process and change with the trust bundle',
    },
  },
  [`${TLS}.UpstreamTlsContext`]: {
    acted: ['common_tls_context', 'sni'],
    inert: {
      max_session_keys: 'every handshake, resumed or not, is verified again',
      enforce_rsa_key_usage: 'key usages are always checked',
    },
    only: { allow_renegotiation: ['false'] },
  },
  [`${TLS}.CommonTlsContext`]: {
    acted: [
      'tls_params',
      'tls_certificates',
      'tls_certificate_sds_secret_configs',
      'validation_context',
      'validation_context_sds_secret_config',
      'combined_validation_context',
      'alpn_protocols',
    ],
  },
  [`${TLS}.CommonTlsContext.CombinedCertificateValidationContext`]: {
    acted: ['default_validation_context', 'validation_context_sds_secret_config'],
  },
  [`${TLS}.TlsParameters`]: {
    acted: ['cipher_suites', 'ecdh_curves'],
    only: {
      tls_minimum_protocol_version: ['TLS_AUTO', 'TLSv1_0', 'TLSv1_1', 'TLSv1_2', 'TLSv1_3'],
      tls_maximum_protocol_version: ['TLS_AUTO', 'TLSv1_0', 'TLSv1_1', 'TLSv1_2', 'TLSv1_3'],
    },
  },
  [`${TLS}.TlsCertificate`]: {
    acted: ['certificate_chain', 'private_key', 'watched_directory'],
    notes: {
      certificate_chain: 'a file of a secret that came by SDS is followed also without `watched_directory`',
      watched_directory: WATCHED,
    },
  },
  [`${TLS}.CertificateValidationContext`]: {
    acted: [
      'trusted_ca',
      'crl',
      'watched_directory',
      'match_typed_subject_alt_names',
      'match_subject_alt_names',
      'verify_certificate_hash',
      'verify_certificate_spki',
    ],
    notes: { watched_directory: WATCHED },
    only: { trust_chain_verification: ['VERIFY_TRUST_CHAIN'], allow_expired_certificate: ['false'] },
  },
  [`${TLS}.SubjectAltNameMatcher`]: {
    acted: ['matcher'],
    only: { san_type: ['URI', 'DNS', 'IP_ADDRESS', 'EMAIL'] },
  },
  [`${TLS}.SdsSecretConfig`]: { acted: ['name', 'sds_config'] },
  [`${TLS}.Secret`]: {
    acted: ['name', 'tls_certificate', 'validation_context'],
  },
};
