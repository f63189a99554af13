// The table compiler's owner: slots by name, two arenas, and the swap. See tables.ts for what it promises.
import type { Core } from '../core.js';
import type { Tables } from '../tables.js';

/** Makes the tables of a core; one for each core. */
export declare function createTables(core: Core): Tables;
