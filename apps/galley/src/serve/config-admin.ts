// Serving: lateen.admin.v1.ConfigAdmin, what `lateenctl apply|delete|get|validate` calls (Connect, mTLS, port 15016).

import { create } from '@bufbuild/protobuf';
import { Code, ConnectError, type ConnectRouter, createContextKey, type HandlerContext } from '@connectrpc/connect';
import type { AdminRoles, SpiffeId } from '@lateen/identity';
import { type InputFile, kindByName, type Problem } from '@lateen/istio-config';
import type { Logger } from '@lateen/telemetry';
import {
  ApplyResponseSchema,
  ConfigAdmin,
  DeleteResponseSchema,
  ListResponseSchema,
  ProblemSchema,
  type SourceFile,
} from '@lateen/xds-proto/lateen/admin/v1/config_admin_pb.js';
import type { GalleyMetrics } from '../metrics.js';
import type { ConfigRules } from '../rules.js';
import { applyDocuments, type ChangeOutcome, deleteDocuments } from '../sources/apply-documents.js';
import type { ConfigStore } from '../store/config-store.js';
import { MESH_CONFIG, type StoredResource } from '../store/stored-resource.js';
import { HalfAppliedError } from '../store/transaction-journal.js';
import { toConfigResource } from './config-snapshot.js';

export interface ConfigAdminOptions {
  readonly store: ConfigStore;
  readonly rules: ConfigRules;
  readonly metrics: GalleyMetrics;
  readonly logger: Logger;
  /** Who may read and who may change. */
  readonly roles: AdminRoles;
  /** Why nothing is applied or deleted here; dry runs are for everybody. */
  readonly applyRefusal?: string;
}

/** SPIFFE id of the caller. */
export const callerKey = createContextKey('unknown' as SpiffeId, { description: 'SPIFFE id of the caller' });

const DEFAULT_NAMESPACE = 'default';

/** Adds the service to a Connect router. */
export function addConfigAdmin(router: ConnectRouter, options: ConfigAdminOptions): void {
  const { store, rules, metrics, logger, roles } = options;
  const record = (what: string, context: HandlerContext, outcome: ChangeOutcome, dryRun = false) => {
    const errors = outcome.problems.filter(({ severity }) => severity === 'error').length;
    const resources = outcome.outcomes.map(
      ({ kind, namespace, name, action }) => `${kind}/${namespace}/${name} ${action}`,
    );
    logger.info({ caller: context.values.get(callerKey), dryRun, errors, resources }, what);
  };
  const failed = (error: Error): never => {
    logger.error({ error }, 'a change could not be stored');
    const outcome = error instanceof HalfAppliedError ? 'galley restarts to complete it' : 'nothing was changed';
    throw new ConnectError(`the change could not be stored (${error.message}); ${outcome}`, Code.Internal);
  };
  /** A dry run changes nothing, so who may read may also try. */
  const requireEditor = (what: string, context: HandlerContext) => {
    const caller = context.values.get(callerKey);
    const refusal = roles.refusal(caller, 'editor');
    if (refusal === undefined) return;
    logger.warn({ caller }, `${what} refused: ${refusal}`);
    throw new ConnectError(refusal, Code.PermissionDenied);
  };
  const requireApply = () => {
    if (options.applyRefusal !== undefined) throw new ConnectError(options.applyRefusal, Code.FailedPrecondition);
  };
  router.service(ConfigAdmin, {
    apply: async (request, context) => {
      if (!request.dryRun) {
        requireEditor('apply', context);
        requireApply();
      }
      const outcome = await applyDocuments(store, rules, {
        files: request.files.map(toInputFile),
        defaultNamespace: request.defaultNamespace || DEFAULT_NAMESPACE,
        dryRun: request.dryRun,
      }).catch(failed);
      metrics.recordValidation(outcome);
      record('apply', context, outcome, request.dryRun);
      return create(ApplyResponseSchema, { problems: outcome.problems.map(toProblem), results: [...outcome.outcomes] });
    },
    delete: async (request, context) => {
      requireEditor('delete', context);
      requireApply();
      const outcome = await deleteDocuments(store, rules, {
        files: request.files.map(toInputFile),
        resources: request.resources,
        defaultNamespace: request.defaultNamespace || DEFAULT_NAMESPACE,
      }).catch(failed);
      record('delete', context, outcome);
      return create(DeleteResponseSchema, {
        problems: outcome.problems.map(toProblem),
        results: [...outcome.outcomes],
      });
    },
    list: ({ kind, namespace, name }) => {
      const wanted = kind === '' ? undefined : kindToList(kind);
      const resources = [...store.state.resources.values()].filter(
        (resource) =>
          (wanted === undefined || resource.kind === wanted) &&
          (namespace === '' || resource.namespace === namespace) &&
          (name === '' || resource.name === name),
      );
      return create(ListResponseSchema, { resources: resources.sort(compareResources).map(toConfigResource) });
    },
  });
}

function kindToList(word: string): string {
  if (word.toLowerCase() === MESH_CONFIG.kind.toLowerCase()) return MESH_CONFIG.kind;
  const kind = kindByName(word);
  if (kind === undefined || kind.family !== 'istio') {
    throw new ConnectError(`Galley has no kind ${JSON.stringify(word)}`, Code.InvalidArgument);
  }
  return kind.kind;
}

function compareResources(a: StoredResource, b: StoredResource): number {
  const left = `${a.kind}/${a.namespace}/${a.name}`;
  const right = `${b.kind}/${b.namespace}/${b.name}`;
  return left < right ? -1 : left > right ? 1 : 0;
}

function toInputFile({ name, content }: SourceFile): InputFile {
  return { name, content };
}

function toProblem(problem: Problem) {
  return create(ProblemSchema, { ...problem });
}
