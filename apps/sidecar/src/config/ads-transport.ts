// ADS: the gRPC channel to the control plane with the credentials that the bootstrap file asks for.

import { type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js';
import { grpcChannelCredentials, type IdentitySource, identityFromPem, StaticIdentity } from '@lateen/identity';
import { type AdsTransport, createGrpcTransport } from '@lateen/xds-stream';
import type { AdsConfig } from './ads-config.js';

/** @param own the own identity; required where the bootstrap file's security is `own-identity` */
export function createAdsTransport(config: AdsConfig, own: IdentitySource | undefined): AdsTransport {
  const secured = createCredentials(config, own);
  return createGrpcTransport({
    target: config.target,
    // They follow renewals by themselves: each new connection takes the certificate of that moment.
    credentials: () => secured,
    channelOptions: channelOptions(config),
    metadata: () => {
      const metadata = new Metadata();
      for (const { key, value } of config.headers) metadata.add(key, value);
      return metadata;
    },
  });
}

/** What any call to the control plane needs: its credentials and its name. */
export function createControlPlaneChannel(config: AdsConfig, own: IdentitySource | undefined) {
  return {
    target: config.target,
    credentials: createCredentials(config, own),
    channelOptions: channelOptions(config),
  };
}

function channelOptions({ authority }: AdsConfig): Record<string, string> {
  return authority === undefined ? {} : { 'grpc.default_authority': authority };
}

function createCredentials({ security }: AdsConfig, own: IdentitySource | undefined): ChannelCredentials {
  switch (security.kind) {
    case 'plaintext':
      return credentials.createInsecure();
    case 'files':
      return grpcChannelCredentials(new StaticIdentity(identityFromPem(security)), {
        expectedSpiffeIds: security.expectedSpiffeIds,
      });
    case 'own-identity':
      if (own === undefined) {
        throw new Error('the connection to the control plane needs the own certificate; set --citadel-address');
      }
      return grpcChannelCredentials(own, { expectedSpiffeIds: security.expectedSpiffeIds });
  }
}
