// The form of a cluster's retry budget, read by TypeScript and by AssemblyScript. Like layout.ts: literals only, no import.

/** RETRY_BUDGET_SET, hundredths of a percent from bit 16 on, and retries that there may always be; 0: LIMIT_RETRIES counts. */
export const CLUSTER_RETRY_BUDGET = 48;
export const RETRY_BUDGET_SET = 0x40000000;
