// SDS server: secrets alone, by streams of their own, as proxies ask the agent beside them for their certificate.

import { type ServiceDefinition, type sendUnaryData, status } from '@grpc/grpc-js';
import { grpcService, TYPE_URL } from '@lateen/xds-proto';
import { SecretDiscoveryService } from '@lateen/xds-proto/envoy/service/secret/v3/sds_pb.js';
import { createDiscoveryService } from './ads-service.js';
import type { AdsService, AdsServiceOptions } from './model.js';
import { plainServedType } from './served-types.js';

/**
 * Makes the SecretDiscoveryService for a @grpc/grpc-js server, both forms of its stream. Each answer of the
 * state-of-the-world form holds all secrets of the stream, so a name that there is none for is answered too: by its absence.
 */
export function createSdsService(options: Omit<AdsServiceOptions, 'types'>): AdsService {
  return createDiscoveryService(
    { ...options, types: [plainServedType(TYPE_URL.secret)] },
    {
      definition: grpcService(SecretDiscoveryService) as ServiceDefinition,
      streams: { sotw: 'streamSecrets', delta: 'deltaSecrets' },
      onlyType: TYPE_URL.secret,
      others: {
        fetchSecrets: (_call: unknown, answer: sendUnaryData<never>) =>
          answer({
            code: status.UNIMPLEMENTED,
            details: 'secrets are streamed, since they change: use StreamSecrets or DeltaSecrets',
          }),
      },
    },
  );
}
