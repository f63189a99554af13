// Subpath "@lateen/identity/host-files": secrets that are files of this host: what their SDS names mean, and when their content may have changed.
export * from './file-watch.js';
export * from './host-file-secrets.js';
