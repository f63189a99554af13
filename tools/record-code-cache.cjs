// Started in place of an app while it is built: `record-code-cache.cjs CACHE dist/main.js ARGUMENTS` writes CACHE at the end.
'use strict';
const { writeFileSync } = require('node:fs');

// From here on the arguments are as the program has them.
const [cache] = process.argv.splice(1, 2).slice(1);
const script = require(process.argv[1]);
process.on('exit', () => writeFileSync(cache, script.createCachedData()));
