// Permissions and principals of access rules (envoy.config.rbac.v3) as conditions; what is not supported is named.
import type { CidrRange } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import { CidrRangeSchema } from '@lateen/xds-proto/envoy/config/core/v3/address_pb.js';
import {
  type Permission,
  PermissionSchema,
  type Policy,
  PolicySchema,
  type Principal,
  PrincipalSchema,
} from '@lateen/xds-proto/envoy/config/rbac/v3/rbac_pb.js';
import type { HeaderMatcher } from '@lateen/xds-proto/envoy/config/route/v3/route_components_pb.js';
import {
  type FilterStateMatcher,
  FilterStateMatcherSchema,
} from '@lateen/xds-proto/envoy/type/matcher/v3/filter_state_pb.js';
import type { MetadataMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/metadata_pb.js';
import type { PathMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/path_pb.js';
import type { StringMatcher } from '@lateen/xds-proto/envoy/type/matcher/v3/string_pb.js';
import * as R from '../../rbac/rbac-layout.js';
import { readClaimMatcher } from '../match/claim-matchers.js';
import { readHeaderMatcher, readStringMatcher } from '../match/matchers.js';
import type { ProblemList } from '../problems.js';
import { join, refuseOtherFields } from '../supported-fields.js';
import { type Condition, subjectOfHeader, type TestList } from './condition.js';
import { readNetwork } from './network.js';
import { readPathTemplate } from './path-template.js';
import { readSpiffePath } from './spiffe-path.js';

/** Deeper nesting than any real rule has; conditions are walked recursively. */
const MAX_DEPTH = 64;
/** The URI name of the client's certificate, under the name by which Istio's filters pass it on. */
export const PEER_PRINCIPAL_STATE = 'io.istio.peer_principal';
const ALWAYS: Condition = { kind: 'always' };
const NEVER: Condition = { kind: 'never' };

/** Whether rules are about requests, or about connections whose bytes nobody reads. */
export type RuleScope = 'http' | 'network';

export class RuleReader {
  constructor(
    private readonly problems: ProblemList,
    private readonly tests: TestList,
    private readonly scope: RuleScope,
  ) {}

  /** Some permission and some principal of it. */
  readPolicy(path: string, policy: Policy): Condition {
    refuseOtherFields(this.problems, path, PolicySchema, policy, 'permissions principals');
    if (policy.permissions.length === 0) this.problems.add(join(path, 'permissions'), 'is empty');
    if (policy.principals.length === 0) this.problems.add(join(path, 'principals'), 'is empty');
    const permissions = policy.permissions.map((permission, index) =>
      this.readPermission(join(path, `permissions[${index}]`), permission, 0),
    );
    const principals = policy.principals.map((principal, index) =>
      this.readPrincipal(join(path, `principals[${index}]`), principal, 0),
    );
    return {
      kind: 'all',
      of: [
        { kind: 'any', of: permissions },
        { kind: 'any', of: principals },
      ],
    };
  }

  private readPermission(path: string, permission: Permission, depth: number): Condition {
    const { rule } = permission;
    if (this.isTooDeep(path, depth)) return NEVER;
    switch (rule.case) {
      case 'andRules':
      case 'orRules': {
        const at = join(path, rule.case === 'andRules' ? 'and_rules' : 'or_rules');
        const of = rule.value.rules.map((part, index) => this.readPermission(`${at}.rules[${index}]`, part, depth + 1));
        return this.joined(rule.case === 'andRules' ? 'all' : 'any', at, of);
      }
      case 'notRule':
        return { kind: 'not', of: this.readPermission(join(path, 'not_rule'), rule.value, depth + 1) };
      case 'any':
        return this.readAny(path, rule.value);
      case 'header':
        return this.readHeader(join(path, 'header'), rule.value);
      case 'urlPath':
        return this.readPath(join(path, 'url_path'), rule.value);
      case 'uriTemplate':
        if (this.needsRequest(join(path, 'uri_template'))) return NEVER;
        return this.tests.condition({
          subject: R.SUBJECT_PATH,
          matcher: readPathTemplate(this.problems, join(path, 'uri_template'), rule.value),
        });
      case 'metadata':
        return this.readMetadata(join(path, 'metadata'), rule.value);
      case 'destinationIp':
        return this.readAddress(join(path, 'destination_ip'), R.SUBJECT_LOCAL_ADDRESS, rule.value);
      case 'destinationPort':
        return this.readPorts(join(path, 'destination_port'), rule.value, rule.value + 1);
      case 'destinationPortRange':
        return this.readPorts(join(path, 'destination_port_range'), rule.value.start, rule.value.end);
      case 'requestedServerName':
        return this.readText(join(path, 'requested_server_name'), R.SUBJECT_SERVER_NAME, rule.value);
      default:
        refuseOtherFields(this.problems, path, PermissionSchema, permission, '');
        if (rule.case === undefined) this.problems.add(path, 'has no rule');
        return NEVER;
    }
  }

  private readPrincipal(path: string, principal: Principal, depth: number): Condition {
    const { identifier } = principal;
    if (this.isTooDeep(path, depth)) return NEVER;
    switch (identifier.case) {
      case 'andIds':
      case 'orIds': {
        const at = join(path, identifier.case === 'andIds' ? 'and_ids' : 'or_ids');
        const of = identifier.value.ids.map((part, index) =>
          this.readPrincipal(`${at}.ids[${index}]`, part, depth + 1),
        );
        return this.joined(identifier.case === 'andIds' ? 'all' : 'any', at, of);
      }
      case 'notId':
        return { kind: 'not', of: this.readPrincipal(join(path, 'not_id'), identifier.value, depth + 1) };
      case 'any':
        return this.readAny(path, identifier.value);
      case 'authenticated': {
        const { principalName } = identifier.value;
        if (principalName === undefined) return this.tests.condition({ subject: R.SUBJECT_TLS });
        return this.readText(join(path, 'authenticated.principal_name'), R.SUBJECT_NAME, principalName);
      }
      case 'sourceIp':
        return this.readAddress(join(path, 'source_ip'), R.SUBJECT_DIRECT_ADDRESS, identifier.value);
      case 'directRemoteIp':
        return this.readAddress(join(path, 'direct_remote_ip'), R.SUBJECT_DIRECT_ADDRESS, identifier.value);
      case 'remoteIp': {
        // Nothing of a connection names somebody else.
        const subject = this.scope === 'http' ? R.SUBJECT_REMOTE_ADDRESS : R.SUBJECT_DIRECT_ADDRESS;
        return this.readAddress(join(path, 'remote_ip'), subject, identifier.value);
      }
      case 'header':
        return this.readHeader(join(path, 'header'), identifier.value);
      case 'urlPath':
        return this.readPath(join(path, 'url_path'), identifier.value);
      case 'metadata':
        return this.readMetadata(join(path, 'metadata'), identifier.value);
      case 'filterState':
        return this.readFilterState(join(path, 'filter_state'), identifier.value);
      default:
        refuseOtherFields(this.problems, path, PrincipalSchema, principal, '');
        if (identifier.case === undefined) this.problems.add(path, 'has no identifier');
        return NEVER;
    }
  }

  private isTooDeep(path: string, depth: number): boolean {
    if (depth <= MAX_DEPTH) return false;
    this.problems.add(path, `is nested more than ${MAX_DEPTH} deep`);
    return true;
  }

  private needsRequest(path: string): boolean {
    if (this.scope === 'http') return false;
    this.problems.add(path, 'has no meaning for connections: nobody reads their requests');
    return true;
  }

  private joined(kind: 'all' | 'any', path: string, of: readonly Condition[]): Condition {
    if (of.length === 0) this.problems.add(path, 'is empty');
    return { kind, of };
  }

  private readAny(path: string, value: boolean): Condition {
    if (!value) this.problems.add(join(path, 'any'), 'must be true');
    return ALWAYS;
  }

  private readHeader(path: string, header: HeaderMatcher): Condition {
    if (this.needsRequest(path)) return NEVER;
    const matcher = readHeaderMatcher(this.problems, path, header);
    return this.tests.condition({ subject: subjectOfHeader(matcher.name), matcher });
  }

  private readPath(path: string, matcher: PathMatcher): Condition {
    if (this.needsRequest(path)) return NEVER;
    if (matcher.rule.case === 'path') return this.readText(join(path, 'path'), R.SUBJECT_PATH, matcher.rule.value);
    this.problems.add(join(path, 'path'), 'is required');
    return NEVER;
  }

  private readText(path: string, subject: number, text: StringMatcher): Condition {
    const read = readStringMatcher(this.problems, path, text, 0);
    const unnamed = { name: '', rangeStart: 0, rangeEnd: 0 };
    const spiffePath = subject === R.SUBJECT_NAME ? readSpiffePath(text) : undefined;
    if (spiffePath !== undefined) {
      return this.tests.condition({ subject: R.SUBJECT_SPIFFE_PATH, matcher: { ...unnamed, ...spiffePath } });
    }
    return this.tests.condition({ subject, matcher: { ...unnamed, ...read } });
  }

  private readMetadata(path: string, metadata: MetadataMatcher): Condition {
    if (this.needsRequest(path)) return NEVER;
    return this.tests.condition({
      subject: R.SUBJECT_CLAIM,
      matcher: readClaimMatcher(this.problems, path, metadata),
    });
  }

  private readFilterState(path: string, state: FilterStateMatcher): Condition {
    refuseOtherFields(this.problems, path, FilterStateMatcherSchema, state, 'key string_match');
    if (state.key !== PEER_PRINCIPAL_STATE) {
      this.problems.add(join(path, 'key'), `must be ${PEER_PRINCIPAL_STATE}: no other state is kept`);
    }
    if (state.matcher.case === 'stringMatch') {
      return this.readText(join(path, 'string_match'), R.SUBJECT_PRINCIPAL, state.matcher.value);
    }
    this.problems.add(join(path, 'string_match'), 'is required');
    return NEVER;
  }

  private readAddress(path: string, subject: number, range: CidrRange): Condition {
    refuseOtherFields(this.problems, path, CidrRangeSchema, range, 'address_prefix prefix_len');
    const network = readNetwork(range.addressPrefix, range.prefixLen ?? 0);
    if (network !== undefined) return this.tests.condition({ subject, network });
    this.problems.add(path, `"${range.addressPrefix}/${range.prefixLen ?? 0}" is no network`);
    return NEVER;
  }

  private readPorts(path: string, first: number, end: number): Condition {
    if (first >= 0 && first < end && end <= 65_536) {
      return this.tests.condition({ subject: R.SUBJECT_LOCAL_PORT, ports: { first, end } });
    }
    this.problems.add(path, 'is no range of ports');
    return NEVER;
  }
}
