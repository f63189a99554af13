// Push: who may be served as which proxy.

import { status } from '@grpc/grpc-js';
import { GrpcAccessError, parseSpiffeId, peerSpiffeId } from '@lateen/identity';
import { parseProxyNode } from '@lateen/translate';
import type { Node } from '@lateen/xds-proto/envoy/config/core/v3/base_pb.js';
import type { AdsPeer, AdsRefusal } from '@lateen/xds-stream';
import type { Call } from '../quota/quota-answers.js';
import { CALLER_METADATA } from '../quota/quota-relay.js';
import type { QuotaAdmission } from '../quota/quota-service.js';

/** Plaintext, loopback only: whoever is on this host may ask, if the node is a proxy's. */
export function admitProxyNode(node: Node | undefined): AdsRefusal | undefined {
  const parsed = parseProxyNode(node);
  if (parsed.ok) return undefined;
  return { refused: parsed.errors.join('; '), code: status.INVALID_ARGUMENT };
}

/** mTLS: the certificate must be of this trust domain and of the namespace and service account that the node claims. */
export function admitCertifiedProxy(
  trustDomain: string,
): (peer: Pick<AdsPeer, 'call'>, node: Node | undefined) => AdsRefusal | undefined {
  return ({ call }, node) => {
    try {
      const identity = parseSpiffeId(peerSpiffeId(call));
      if (identity.trustDomain !== trustDomain) {
        return { refused: `${identity.id} is not of the trust domain ${trustDomain}` };
      }
      const parsed = parseProxyNode(node);
      if (!parsed.ok) return { refused: parsed.errors.join('; '), code: status.INVALID_ARGUMENT };
      const { id, namespace, serviceAccount } = parsed.proxy;
      if (identity.namespace !== namespace || identity.serviceAccount !== serviceAccount) {
        return {
          refused:
            `the certificate is of ${identity.id}, but the node ${id} claims namespace "${namespace}" and ` +
            `SERVICE_ACCOUNT "${serviceAccount}"; a proxy is served only as itself`,
        };
      }
      return undefined;
    } catch (error) {
      if (error instanceof GrpcAccessError) return { refused: error.message, code: error.code };
      throw error;
    }
  };
}

/**
 * mTLS: a workload reports quotas of its own namespace.
 *
 * @param replica what other replicas are certified as: they say who it is that they hand on
 */
export function admitQuotaReports(trustDomain: string, replica: string): (call: Call) => QuotaAdmission {
  return (call) => {
    try {
      const peer = parseSpiffeId(peerSpiffeId(call));
      const handedOn = peer.id === replica ? call.metadata.get(CALLER_METADATA)[0]?.toString('utf8') : undefined;
      const identity = handedOn === undefined ? peer : parseSpiffeId(handedOn);
      if (identity.trustDomain !== trustDomain) {
        return { refused: `${identity.id} is not of the trust domain ${trustDomain}` };
      }
      const mayReport = (namespace: string) => namespace === identity.namespace;
      return { identity: identity.id, mayReport, isHandedOn: handedOn !== undefined };
    } catch (error) {
      if (error instanceof GrpcAccessError) return { refused: error.message };
      throw error;
    }
  };
}
