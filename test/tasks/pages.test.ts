// Task pages: the first half of docs/tasks is read, applied to Bookinfo in local mode, and does what it says.

import { checkPages, halfOfPages } from './check-pages.js';

checkPages(halfOfPages(0));
