// Started in place of an app while it is built: `record-code-cache.cjs CACHE dist/main.js ARGUMENTS` writes CACHE at the end.
'use strict';
const { writeFileSync } = require('node:fs');

// From here on the arguments are as the program has them.
const [cache] = process.argv.splice(1, 2).slice(1);
const program = require.resolve(process.argv[1]);
// Before the program runs, since it may end at once.
process.on('exit', () => writeFileSync(cache, require.cache[program].exports.createCachedData()));
require(program);
