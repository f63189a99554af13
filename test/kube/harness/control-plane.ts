// Test cluster: the control plane of Kubernetes: etcd, API server, controllers and scheduler, each as upstream builds it.

import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { Agent, get } from 'node:https';
import { join } from 'node:path';
import { stringify } from 'yaml';
import {
  API_SERVER_PORT,
  API_SERVER_SERVICE,
  CLUSTER_DOMAIN,
  CONTROL_PLANE,
  POD_RANGES,
  SERVICE_RANGES,
} from './addresses.js';
import { type ClusterAuthority, createAuthority, createSigningKey, type KeyPairFiles } from './certificates.js';
import { type Component, createComponent, waitUntilHealthy } from './component.js';
import type { KubePrograms } from './kube-programs.js';
import { writeKubeconfig } from './kubeconfig.js';

export const API_SERVER = `https://${CONTROL_PLANE.ipv4}:${API_SERVER_PORT}`;

export interface ControlPlane {
  /** Path of the administrator's kubeconfig. */
  readonly kubeconfig: string;
  readonly administrator: KeyPairFiles;
  /** Path of a kubeconfig without a user. */
  readonly anonymousKubeconfig: string;
  readonly authority: ClusterAuthority;
  /** One JSON line for each request of a service account outside kube-system. */
  readonly auditLog: string;
  readonly components: readonly Component[];
  readonly apiServer: Component;
  /** The API server answers and is ready. */
  waitUntilReady(): Promise<void>;
  /** Writes a kubeconfig for a certificate of this user. @returns its path */
  kubeconfigFor(user: string, groups?: readonly string[]): Promise<string>;
}

export interface ControlPlaneOptions {
  /** Where everything that it writes goes. */
  readonly directory: string;
  readonly programs: KubePrograms;
  /** Webhooks and aggregated servers are asked at their endpoints where no kube-proxy knows the addresses of Services. */
  readonly hasNodes: boolean;
}

/** Makes keys and starts etcd, the API server, the controller manager and, where there are nodes, the scheduler. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { directory, programs, hasNodes } = options;
  const pki = join(directory, 'pki');
  const logs = join(directory, 'logs');
  mkdirSync(logs, { recursive: true });
  const authority = await createAuthority(pki, 'ca');
  const frontProxyAuthority = await createAuthority(pki, 'front-proxy-ca');
  const tokenKey = await createSigningKey(pki, 'service-accounts');
  const kubeconfigFor = async (user: string, groups: readonly string[] = []) => {
    const name = user.replaceAll(':', '-');
    const pair = await authority.issue(name, { commonName: user, organizations: groups });
    const path = join(directory, `${name}.kubeconfig`);
    return writeKubeconfig(path, { server: API_SERVER, authority: authority.certificate, user: pair });
  };
  const kubeconfig = await kubeconfigFor('admin', ['system:masters']);
  const component = (name: string, args: readonly string[]) =>
    createComponent(name, programs.kube, [name, ...args], join(logs, `${name}.log`));

  const etcd = component('etcd', etcdArguments(directory));
  const apiServer = component(
    'kube-apiserver',
    await apiServerArguments(options, authority, frontProxyAuthority, tokenKey),
  );
  const controllers = component('kube-controller-manager', [
    `--kubeconfig=${await kubeconfigFor('system:kube-controller-manager')}`,
    '--use-service-account-credentials',
    `--service-account-private-key-file=${tokenKey.privateKey}`,
    `--root-ca-file=${authority.certificate}`,
    `--cluster-signing-cert-file=${authority.certificate}`,
    `--cluster-signing-key-file=${authority.key}`,
    `--cluster-cidr=${POD_RANGES}`,
    `--service-cluster-ip-range=${SERVICE_RANGES}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    '--profiling=false',
  ]);
  const scheduler = component('kube-scheduler', [
    `--kubeconfig=${await kubeconfigFor('system:kube-scheduler')}`,
    '--leader-elect=false',
    '--bind-address=127.0.0.1',
    '--profiling=false',
  ]);

  const isReady = () => answersOk(`${API_SERVER}/readyz`, authority.certificate);
  const waitUntilReady = () => waitUntilHealthy(apiServer, isReady);
  etcd.start();
  apiServer.start(); // it waits for etcd by itself
  await waitUntilReady();
  const rest = hasNodes ? [controllers, scheduler] : [controllers];
  for (const one of rest) one.start();
  return {
    kubeconfig,
    administrator: { certificate: join(pki, 'admin.crt'), key: join(pki, 'admin.key') },
    anonymousKubeconfig: writeKubeconfig(join(directory, 'anonymous.kubeconfig'), {
      server: API_SERVER,
      authority: authority.certificate,
      user: {},
    }),
    authority,
    auditLog: join(directory, 'audit.log'),
    components: [etcd, apiServer, ...rest],
    apiServer,
    waitUntilReady,
    kubeconfigFor,
  };
}

function etcdArguments(directory: string): string[] {
  return [
    `--data-dir=${join(directory, 'etcd')}`,
    '--unsafe-no-fsync',
    '--listen-client-urls=http://127.0.0.1:2379',
    '--advertise-client-urls=http://127.0.0.1:2379',
    '--listen-peer-urls=http://127.0.0.1:2380',
    '--initial-advertise-peer-urls=http://127.0.0.1:2380',
    '--initial-cluster=default=http://127.0.0.1:2380',
    '--log-level=warn',
  ];
}

async function apiServerArguments(
  { directory, hasNodes }: ControlPlaneOptions,
  authority: ClusterAuthority,
  frontProxyAuthority: ClusterAuthority,
  tokenKey: { readonly privateKey: string; readonly publicKey: string },
): Promise<string[]> {
  const server = await authority.issue('kube-apiserver', {
    commonName: 'kube-apiserver',
    hosts: [
      CONTROL_PLANE.ipv4,
      CONTROL_PLANE.ipv6,
      API_SERVER_SERVICE,
      '127.0.0.1',
      'localhost',
      'kubernetes',
      'kubernetes.default',
      'kubernetes.default.svc',
      `kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    ],
  });
  const kubeletClient = await authority.issue('kubelet-client', {
    commonName: 'kube-apiserver-kubelet-client',
    organizations: ['system:masters'],
  });
  const frontProxy = await frontProxyAuthority.issue('front-proxy-client', { commonName: 'front-proxy-client' });
  const auditPolicy = join(directory, 'audit-policy.yaml');
  writeFileSync(auditPolicy, stringify(AUDIT_POLICY));
  return [
    '--etcd-servers=http://127.0.0.1:2379',
    `--advertise-address=${CONTROL_PLANE.ipv4}`,
    `--secure-port=${API_SERVER_PORT}`,
    `--service-cluster-ip-range=${SERVICE_RANGES}`,
    '--authorization-mode=Node,RBAC',
    '--enable-admission-plugins=NodeRestriction',
    `--client-ca-file=${authority.certificate}`,
    `--tls-cert-file=${server.certificate}`,
    `--tls-private-key-file=${server.key}`,
    `--service-account-issuer=https://kubernetes.default.svc.${CLUSTER_DOMAIN}`,
    `--service-account-key-file=${tokenKey.publicKey}`,
    `--service-account-signing-key-file=${tokenKey.privateKey}`,
    `--requestheader-client-ca-file=${frontProxyAuthority.certificate}`,
    '--requestheader-allowed-names=front-proxy-client',
    '--requestheader-username-headers=X-Remote-User',
    '--requestheader-group-headers=X-Remote-Group',
    '--requestheader-extra-headers-prefix=X-Remote-Extra-',
    `--proxy-client-cert-file=${frontProxy.certificate}`,
    `--proxy-client-key-file=${frontProxy.key}`,
    `--kubelet-certificate-authority=${authority.certificate}`,
    `--kubelet-client-certificate=${kubeletClient.certificate}`,
    `--kubelet-client-key=${kubeletClient.key}`,
    '--kubelet-preferred-address-types=InternalIP',
    `--enable-aggregator-routing=${!hasNodes}`,
    '--allow-privileged',
    `--audit-policy-file=${auditPolicy}`,
    `--audit-log-path=${join(directory, 'audit.log')}`,
    '--profiling=false',
  ];
}

/** Who asked for what, so that a test can tell which permissions are used. */
const AUDIT_POLICY = {
  apiVersion: 'audit.k8s.io/v1',
  kind: 'Policy',
  omitStages: ['RequestReceived'],
  rules: [
    { level: 'None', userGroups: ['system:serviceaccounts:kube-system'] },
    { level: 'Metadata', userGroups: ['system:serviceaccounts'] },
    { level: 'None' },
  ],
};

/** @throws Error where nobody answers */
function answersOk(url: string, authority: string): Promise<boolean> {
  const agent = new Agent({ ca: readFileSync(authority), keepAlive: false });
  return new Promise((resolve, reject) => {
    get(url, { agent, timeout: 2_000 }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode === 200));
    })
      .once('timeout', function (this: ReturnType<typeof get>) {
        this.destroy(new Error('no answer'));
      })
      .once('error', reject);
  });
}
