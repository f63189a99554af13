// Entry of lateen-redirect.
import { runRedirect } from './redirect-program.js';

process.exitCode = await runRedirect(process.argv.slice(2));
