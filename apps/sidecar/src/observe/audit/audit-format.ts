// Audit: the members of a record: values are taken when a request ends, and written as JSON with others, later.

import type { JsonObject } from '@bufbuild/protobuf';
import { auditJson, CHAIN_FIELDS } from '@lateen/telemetry/audit/chain.js';
import type { AccessLogRecord } from '../../data-plane.js';
import { RBAC_METADATA } from '../../rbac/rbac-filter.js';
import { createOperator, type Operator, type OperatorValue } from '../access-log-operators.js';

export interface AuditFormat {
  /** Takes what the format asks for; cheap, since it is done between requests. */
  read(record: AccessLogRecord): AuditValues;
  /** Members of a JSON object, without braces. What is not there is left out. */
  write(values: AuditValues): string;
}

/** One for each operator of the format, then what tells the decision: the details of the end, and what policies said. */
export type AuditValues = readonly OperatorValue[];

const POLICIES_SAID = `${RBAC_METADATA}:enforced_engine_result`;
const OPERATOR = /^%([A-Z_0-9]+)(?:\(([^)]*)\))?(?::(\d+))?%$/;
/** Longer values are cut, so that a client cannot fill the disk by one request. */
const MAX_VALUE_LENGTH = 1024;
/** How the details of what was refused begin. */
const DENIED = /^(?:rbac_access_denied|jwt_authn_access_denied|ext_authz_denied|ext_authz_error)/;

/**
 * Compiles the `json_format` of an audit log: an object of texts, each one operator or plain text.
 * @throws Error naming the member that is not supported
 */
export function compileAuditFormat(format: JsonObject): AuditFormat {
  const operators: Operator[] = [];
  const keys: string[] = [];
  let constant = '';
  for (const [key, value] of Object.entries(format)) {
    if (CHAIN_FIELDS.includes(key)) throw new Error(`json_format: ${key} is written by the audit log itself`);
    if (typeof value !== 'string') throw new Error(`json_format: ${key} must be a text`);
    const [, name, argument, length] = OPERATOR.exec(value) ?? [];
    if (name !== undefined) {
      keys.push(`,${auditJson(key)}:`);
      const maxLength = Math.min(length === undefined ? MAX_VALUE_LENGTH : Number(length), MAX_VALUE_LENGTH);
      operators.push(createOperator(name, argument, maxLength));
    } else if (value.includes('%')) {
      throw new Error(`json_format: ${key} must be one operator or plain text in an audit log`);
    } else {
      constant += `,${auditJson(key)}:${auditJson(value)}`;
    }
  }
  const first = constant.slice(1);
  if (first === '') throw new Error('json_format: needs a member with a plain text, such as type: request');
  const count = operators.length;
  // Most values are those of the record before: who, where and how change less than what.
  const lastValues: OperatorValue[] = new Array(count);
  const lastTexts: string[] = new Array(count).fill('');
  return {
    read: (record) => {
      const values: OperatorValue[] = new Array(count + 2);
      for (let index = 0; index < count; index++) values[index] = operators[index]!(record);
      values[count] = record.responseCodeDetails ?? record.connectionTerminationDetails;
      values[count + 1] = record.metadata(POLICIES_SAID);
      return values;
    },
    write: (values) => {
      let text = first;
      for (let index = 0; index < count; index++) {
        const value = values[index];
        if (value === undefined) continue;
        if (value !== lastValues[index]) {
          lastValues[index] = value;
          lastTexts[index] = keys[index]! + (typeof value === 'number' ? value : auditJson(value));
        }
        text += lastTexts[index]!;
      }
      return `${text},"decision":"${decisionOf(values[count], values[count + 1])}"`;
    },
  };
}

function decisionOf(details: OperatorValue, policies: OperatorValue): 'allowed' | 'denied' | 'none' {
  if (typeof details === 'string' && DENIED.test(details)) return 'denied';
  return policies === 'allowed' ? 'allowed' : 'none';
}
