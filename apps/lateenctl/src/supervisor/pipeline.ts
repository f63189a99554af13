// Supervisor: wires a local mesh together, in the order in which its parts need each other. Read this first.
//
//   block lease -> addresses -> (the network of the pods, where they are isolated) -> tokens, trust root -> citadel, galley, pilot -> gateway and pods (app + sidecar each)
//   -> workload registry stream to Pilot; the control socket takes orders from the command line.

import { writeFile } from 'node:fs/promises';
import { formatSpiffeId, writeFileAtomic } from '@lateen/identity';
import { createTokenSigner } from '@lateen/identity/tokens';
import type { Logger } from '@lateen/telemetry';
import { ObjectStore } from '../kubernetes/object-store.js';
import { makePrivateDirectory } from '../state/private-directory.js';
import { runtimeDirectory, type StateLayout } from '../state/state-layout.js';
import { ControlPlane } from './control-plane.js';
import { ControlServer } from './control-server.js';
import { MeshNetwork } from './isolation/mesh-network.js';
import { type MeshAddresses, meshAddresses } from './mesh-addresses.js';
import { meshFileContent } from './mesh-file.js';
import { lastBlock, openAddressBook } from './network/address-book.js';
import { leaseBlock } from './network/block-lease.js';
import { chooseIngressPorts } from './network/ingress-port.js';
import { SidecarRunner } from './pods/sidecar-runner.js';
import { startReaper } from './processes/reaper.js';
import { appProgram, ownProgram } from './programs.js';
import { ProxySettingsSource } from './proxy-settings-source.js';
import { EntryHosts } from './registry/entry-hosts.js';
import { RegistryStream } from './registry/registry-stream.js';
import { ChangeBell } from './settling/change-bell.js';
import { Supervisor } from './supervisor.js';
import { issueIdentity } from './supervisor-identity.js';
import { TokenFiles } from './token-files.js';
import { TrustRoots } from './trust-roots.js';
import { Workloads } from './workloads.js';

export interface SupervisorOptions {
  readonly layout: StateLayout;
  /** Port of 127.0.0.1 for the ingress gateway; 0 takes a free one. */
  readonly ingressPort: number;
  /** The same for HTTPS; undefined leaves it to the choice of the other. */
  readonly ingressHttpsPort: number | undefined;
  /** Undefined: `mesh.yaml` of the state directory. */
  readonly meshConfigFile: string | undefined;
  /** More flags of Citadel. */
  readonly citadelFlags: readonly string[];
  /** Whether each pod has a network namespace of its own. */
  readonly isolation: 'none' | 'netns';
  readonly trustDomain: string;
  readonly logLevel: string;
  readonly version: string;
  readonly logger: Logger;
  /** Where standard error goes; '' where that is not a file of the state directory. */
  readonly ownLogFile: string;
}

/** Starts a mesh and returns as soon as its processes are being started; `Supervisor.status` says how far it is. */
export async function startSupervisor(options: SupervisorOptions): Promise<Supervisor> {
  const { layout, trustDomain, logLevel, version, logger } = options;
  for (const app of ['citadel', 'galley', 'pilot', 'sidecar'] as const) appProgram(app);
  for (const directory of [layout.root, layout.supervisor, layout.logs, layout.pods]) makePrivateDirectory(directory);

  const ingressPorts = await chooseIngressPorts(options.ingressPort, options.ingressHttpsPort);
  const lease = await leaseBlock({
    runtimeDir: runtimeDirectory(),
    stateDir: layout.root,
    preferredBlock: lastBlock(layout.addressesFile),
  });
  const mesh = meshAddresses(lease.block);
  const addresses = openAddressBook(layout.addressesFile, lease.block);
  const store = await ObjectStore.open(layout.objectsFile);
  const entryHosts = new EntryHosts(layout.entryHostsFile);

  const network =
    options.isolation === 'none'
      ? undefined
      : await MeshNetwork.open({
          mesh,
          relayProgram: ownProgram('relay'),
          logger,
          onLost: () => void supervisor.close(),
        });

  const meshConfigFile = options.meshConfigFile ?? (await ownMeshConfig(layout));
  const signer = await createTokenSigner(layout.tokenKeyFile);
  await writeFileAtomic(layout.tokenJwksFile, `${JSON.stringify(signer.jwks)}\n`, { mode: 0o644 });
  const tokens = new TokenFiles(signer, logger);
  const roots = new TrustRoots(layout.component('citadel'), logger);
  const reaper = startReaper(ownProgram('reaper'));
  const shared = { layout, mesh, trustDomain, logLevel, tokens, roots, reaper, logger };
  const changes = new ChangeBell();
  const changed = () => {
    registry.changed();
    changes.ring();
  };
  const controlPlane = new ControlPlane({
    ...shared,
    meshConfigFile,
    citadelFlags: options.citadelFlags,
    onChange: () => {},
  });
  const identities = issueIdentity({ ...shared, citadelAddress: citadelAddress(mesh) });
  const settings = new ProxySettingsSource({
    galley: { address: mesh.galley.address, port: mesh.galley.adminPort },
    identity: () => identities.registry.current,
    meshConfigFile,
    logger,
  });
  const sidecars = new SidecarRunner({ ...shared, version, program: appProgram('sidecar'), settings });
  const workloads = new Workloads({
    ...shared,
    addresses,
    sidecars,
    store,
    entryHosts,
    ingressPorts,
    network,
    onChange: changed,
    settled: () => registry.settled(),
  });
  const registry = new RegistryStream({
    pilotAddress: `${mesh.pilot.address}:${mesh.pilot.xdsPort}`,
    pilotSpiffeId: formatSpiffeId({ trustDomain, namespace: 'istio-system', serviceAccount: 'pilot' }),
    identity: identities.registry,
    logger,
    buildReport: (sequence) => workloads.buildReport(sequence),
    onHosts: (hosts) => supervisor.takeEntryHosts(hosts),
  });

  const supervisor = new Supervisor({
    ...shared,
    ownLogFile: options.ownLogFile,
    ingressPorts,
    controlPlane,
    workloads,
    settings,
    registry,
    changes,
    closers: [
      () => identities.close(),
      () => tokens.close(),
      () => roots.close(),
      () => network?.close(),
      () => lease.release(),
    ],
  });
  try {
    controlPlane.start();
    identities.start();
    await workloads.reconcile();
    supervisor.attachControl(await ControlServer.listen(layout.controlSocket, supervisor));
    await writeFileAtomic(layout.meshFile, meshFileContent({ layout, mesh, trustDomain, ingressPorts }));
  } catch (error) {
    await supervisor.close();
    throw error;
  }
  return supervisor;
}

function citadelAddress(mesh: MeshAddresses): string {
  return `${mesh.citadel.address}:${mesh.citadel.grpcPort}`;
}

/** The state directory's own mesh.yaml, made with no settings where there is none. */
async function ownMeshConfig(layout: StateLayout): Promise<string> {
  const content = '# MeshConfig: settings of the whole mesh. Changes take effect at once.\n{}\n';
  await writeFile(layout.meshConfigFile, content, { flag: 'wx' }).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  return layout.meshConfigFile;
}
