// First import of main.ts: keeps the young part of the heap at 1 MiB. Without it, garbage grows to tens of MiB before V8 collects it.

// What of Node the program uses: Node takes its own compiled code for it only while V8's flags are as they were.
import 'node:assert';
import 'node:child_process';
import 'node:dns/promises';
import 'node:fs/promises';
import 'node:http2';
import 'node:https';
import 'node:stream';
import 'node:tls';
import 'node:worker_threads';
import 'node:zlib';
import { setFlagsFromString } from 'node:v8';

/**
 * As `--max-semi-space-size=1`, which on the command line would have Node and V8 compile everything anew (see above), a
 * third of a start. Who gives a flag about it knows better.
 */
const given = [...process.execArgv, process.env.NODE_OPTIONS ?? ''].some((flag) => /semi[-_]space/.test(flag));
if (!given) setFlagsFromString('--semi-space-growth-factor=1');
