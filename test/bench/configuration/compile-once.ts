// Benchmark (h): compiles the tables of N services once in a fresh process and prints the CPU milliseconds that it took.

import { createCore, createTables, formatProblem } from '@lateen/filters-wasm';
import { cluster, endpoints, routes } from './mesh-resources.js';

const services = Number(process.argv[2]);
const clusters = Array.from({ length: services }, (_, index) => ({
  cluster: cluster(index),
  endpoints: endpoints(index),
}));
const routeConfigurations = [routes(services)];
const tables = createTables(createCore());
const before = process.cpuUsage();
const result = tables.compile({ routeConfigurations, clusters, nowMs: Date.now() });
if (!result.ok) throw new Error(result.problems.map(formatProblem).join('\n'));
tables.activate();
const { user, system } = process.cpuUsage(before);
console.log(((user + system) / 1000).toFixed(1));
