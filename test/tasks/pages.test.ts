// Task pages: the first half of docs/tasks, and the guide to troubles, is read, applied to Bookinfo in local mode, and does what it says.

import { checkPages, halfOfPages } from './check-pages.js';

checkPages([...halfOfPages(0), '../troubleshooting.md']);
