// Entry of lateen-redirect, and with `cni` as its first argument of lateen-cni: one file, so that a node needs only one.
const [first, ...others] = process.argv.slice(2);
process.exitCode =
  first === 'cni'
    ? await (await import('./cni/program.js')).runCni(others)
    : await (await import('./redirect-program.js')).runRedirect(process.argv.slice(2));
