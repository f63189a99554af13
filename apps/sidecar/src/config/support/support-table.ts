// Support table: everything together. docs/compatibility.md is made from it; the walker refuses what it does not list.

import { ACCESS_LOG_SUPPORT } from './access-log-support.js';
import { BOOTSTRAP_SUPPORT, CONTROL_PLANE_CLUSTER_SUPPORT } from './bootstrap-support.js';
import { CLUSTER_SUPPORT } from './cluster-support.js';
import { HTTP_2_SUPPORT } from './http2-support.js';
import { LIMIT_SERVICE_SUPPORT } from './limits/limit-service-support.js';
import { RATE_LIMIT_SUPPORT } from './limits/rate-limit-support.js';
import { LISTENER_SUPPORT } from './listener-support.js';
import { EXT_AUTHZ_SUPPORT } from './rbac/ext-authz-support.js';
import { RBAC_SUPPORT } from './rbac/rbac-support.js';
import { ROUTE_FILTER_SUPPORT } from './route-filter-support.js';
import { ROUTE_SUPPORT } from './route-support.js';
import type { SupportTable } from './support-types.js';
import { TLS_SUPPORT } from './tls-support.js';
import { JWT_SUPPORT } from './tokens/jwt-support.js';

/** Bootstrap files and xDS resources alike. */
export const SUPPORT_TABLE: SupportTable = {
  ...BOOTSTRAP_SUPPORT,
  ...LISTENER_SUPPORT,
  ...ACCESS_LOG_SUPPORT,
  ...ROUTE_SUPPORT,
  ...RATE_LIMIT_SUPPORT,
  ...LIMIT_SERVICE_SUPPORT,
  ...JWT_SUPPORT,
  ...RBAC_SUPPORT,
  ...EXT_AUTHZ_SUPPORT,
  ...ROUTE_FILTER_SUPPORT,
  ...CLUSTER_SUPPORT,
  ...TLS_SUPPORT,
  ...HTTP_2_SUPPORT,
};

/** For the clusters of the bootstrap file that lead to the control plane. */
export const CONTROL_PLANE_SUPPORT_TABLE: SupportTable = { ...SUPPORT_TABLE, ...CONTROL_PLANE_CLUSTER_SUPPORT };
